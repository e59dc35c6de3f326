//! Decides what a line of input is: a CloudEvent, data to make one of, or bytes as they are.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::json;

/// Members every CloudEvent has.
const REQUIRED: [&str; 4] = ["id", "source", "specversion", "type"];

/// How lines are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) json_key: Option<&'a str>,
    pub(super) kind: Option<&'a str>,
    pub(super) source: &'a str,
}

/// One event to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its line, from 1.
    pub(super) line: u64,
    pub(super) form: Form,
}

/// How an event is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// A CloudEvent in structured mode, which fits a batch.
    CloudEvent(String),
    /// Bytes with a media type, and the key found in them.
    Plain { data: Vec<u8>, media: &'static str, key: Option<String> },
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitionkey: Option<String>,
    datacontenttype: &'static str,
    data: &'a RawValue,
}

impl Reading<'_> {
    /// Reads one line.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent as asked, in words.
    pub(super) fn line(&self, line: u64, text: &[u8]) -> Result<Entry, String> {
        let raw = std::str::from_utf8(text)
            .ok()
            .and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
        let form = match (raw, raw.and_then(cloud_event)) {
            (_, Some(members)) => self.cloud_event(&members)?,
            (raw, None) => self.data(text, raw)?,
        };
        Ok(Entry { line, form })
    }

    fn cloud_event(&self, members: &BTreeMap<String, &RawValue>) -> Result<Form, String> {
        let key = self.key(members.get("data").copied())?;
        let key = key.and_then(|key| to_raw_value(&key).ok());
        let mut members = members.clone();
        if let Some(key) = &key {
            members.insert("partitionkey".to_owned(), key);
        }
        written(&members).map(Form::CloudEvent)
    }

    fn data(&self, text: &[u8], raw: Option<&RawValue>) -> Result<Form, String> {
        let key = self.key(raw)?;
        let Some(kind) = self.kind else {
            let media = match raw {
                Some(_) => "application/json",
                None if std::str::from_utf8(text).is_ok() => "text/plain; charset=utf-8",
                None => "application/octet-stream",
            };
            return Ok(Form::Plain { data: text.to_vec(), media, key });
        };
        let (data, datacontenttype) = match (raw, std::str::from_utf8(text)) {
            (Some(raw), _) => (raw.to_owned(), "application/json"),
            (None, Ok(text)) => {
                (to_raw_value(text).map_err(|error| error.to_string())?, "text/plain")
            }
            (None, Err(_)) => return Err("--type takes JSON or text, not bytes".to_owned()),
        };
        let id = uuid::Uuid::new_v4().to_string();
        let (source, partitionkey) = (self.source, key);
        let specversion = "1.0";
        let event = CloudEvent {
            specversion,
            id,
            source,
            kind,
            partitionkey,
            datacontenttype,
            data: &data,
        };
        written(&event).map(Form::CloudEvent)
    }

    fn key(&self, data: Option<&RawValue>) -> Result<Option<String>, String> {
        let Some(pointer) = self.json_key else { return Ok(None) };
        let Some(data) = data else { return Err("--json-key needs JSON, this is none".to_owned()) };
        json::pointed(data, pointer)
            .filter(|key| !key.is_empty())
            .map(Some)
            .ok_or_else(|| format!("there is no key at {pointer}"))
    }
}

/// The members of a CloudEvent in structured mode.
fn cloud_event(raw: &RawValue) -> Option<BTreeMap<String, &RawValue>> {
    let members = json::members(raw)?;
    REQUIRED.iter().all(|name| members.contains_key(*name)).then_some(members)
}

fn written(event: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(event).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOUD_EVENT: &str =
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":1.10,"k":7}}"#;

    fn read(json_key: Option<&str>, kind: Option<&str>, text: &str) -> Result<Form, String> {
        let reading = Reading { json_key, kind, source: "/test" };
        reading.line(1, text.as_bytes()).map(|entry| entry.form)
    }

    fn plain(data: &str, media: &'static str, key: Option<&str>) -> Form {
        Form::Plain { data: data.into(), media, key: key.map(str::to_owned) }
    }

    #[test]
    fn without_type_lines_go_as_they_are() {
        assert_eq!(
            read(Some("/a"), None, r#"{"a":1.50}"#),
            Ok(plain(r#"{"a":1.50}"#, "application/json", Some("1.50")))
        );
        assert_eq!(read(None, None, "hi"), Ok(plain("hi", "text/plain; charset=utf-8", None)));
        assert!(read(Some("/a"), None, "hi").is_err());
        assert!(read(Some("/a"), None, r#"{"a":""}"#).is_err());
    }

    #[test]
    fn cloud_events_keep_every_digit_and_get_their_key() {
        let Ok(Form::CloudEvent(text)) = read(Some("/k"), Some("other"), CLOUD_EVENT) else {
            panic!("a CloudEvent is one");
        };
        assert!(text.contains(r#""data":{"n":1.10,"k":7}"#), "{text}");
        assert!(text.contains(r#""partitionkey":"7""#) && text.contains(r#""type":"t""#), "{text}");
    }

    #[test]
    fn a_type_makes_cloud_events() {
        for (text, data) in [(r#"{"a":1.50}"#, r#""data":{"a":1.50}"#), ("hi", r#""data":"hi""#)] {
            let Ok(Form::CloudEvent(event)) = read(None, Some("order.placed"), text) else {
                panic!("{text} becomes one");
            };
            assert!(event.contains(data) && event.contains(r#""type":"order.placed""#), "{event}");
        }
        let bytes = Reading { json_key: None, kind: Some("t"), source: "/s" }.line(1, b"\xff");
        assert!(bytes.is_err());
    }
}
