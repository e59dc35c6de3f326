//! Reads an event as hosts show it, without changing a digit of its payload.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json;

/// One event of a topic.
#[derive(Debug)]
pub(crate) struct Event {
    /// As the host wrote it: one line of JSON.
    pub(crate) text: String,
    members: Members,
}

#[derive(Debug, Deserialize)]
struct Members {
    topic: String,
    partition: u32,
    offset: u64,
    timestamp_ms: u64,
    key: Option<String>,
    key_base64: Option<String>,
    #[serde(default)]
    headers: Vec<Header>,
    payload: Option<Box<RawValue>>,
    payload_base64: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Header {
    name: String,
    value: Option<String>,
}

impl Event {
    /// `None` where `text` is not an event.
    pub(crate) fn read(text: String) -> Option<Self> {
        let members = serde_json::from_str(&text).ok()?;
        Some(Self { text, members })
    }

    pub(crate) fn topic(&self) -> &str {
        &self.members.topic
    }

    /// The last header of a name that is text, as Kafka's clients read a repeated one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.members.headers.iter().rev().filter(|header| header.name == name);
        named.next()?.value.as_deref()
    }

    /// What a pointer into the payload leads to, where that is JSON.
    pub(crate) fn pointed(&self, pointer: &str) -> Option<String> {
        json::pointed(self.members.payload.as_deref()?, pointer)
    }

    /// The payload as JSON text, where it is JSON.
    pub(crate) fn payload_json(&self) -> Option<&str> {
        self.members.payload.as_deref().map(RawValue::get)
    }

    /// The payload in base64, where the host shows it so.
    pub(crate) fn payload_base64(&self) -> Option<&str> {
        self.members.payload_base64.as_deref()
    }

    pub(crate) const fn partition(&self) -> u32 {
        self.members.partition
    }

    pub(crate) const fn offset(&self) -> u64 {
        self.members.offset
    }

    pub(crate) const fn timestamp_ms(&self) -> u64 {
        self.members.timestamp_ms
    }

    /// The key, in base64 where it is not text; `-` for none.
    pub(crate) fn key(&self) -> &str {
        self.members.key.as_deref().or(self.members.key_base64.as_deref()).unwrap_or("-")
    }

    /// Type as the host tells it: the CloudEvent's, else what the usual members of a JSON
    /// envelope say, else the topic's name.
    pub(crate) fn kind(&self) -> Cow<'_, str> {
        if let Some(kind) = self.header("ce_type") {
            return Cow::Borrowed(kind);
        }
        let usual = ["/eventType", "/EventType", "/type"];
        let told = usual.iter().find_map(|at| self.pointed(at));
        told.map_or(Cow::Borrowed(&self.members.topic), Cow::Owned)
    }

    /// The payload: JSON and text as they are, bytes in base64, `-` for none.
    pub(crate) fn payload(&self) -> Cow<'_, str> {
        if let Some(raw) = &self.members.payload {
            return Cow::Borrowed(raw.get());
        }
        let Some(base64) = self.members.payload_base64.as_deref() else {
            return Cow::Borrowed("-");
        };
        let text = decoded(base64).and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.filter(|text| !text.contains(is_control));
        text.map_or(Cow::Borrowed(base64), Cow::Owned)
    }
}

/// What a terminal would obey rather than show, and what would break the line.
fn is_control(letter: char) -> bool {
    letter.is_control() && letter != '\t'
}

/// The bytes of padded base64.
fn decoded(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut held, mut bits) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|it| *it == letter)?;
        held = held << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(members: &str) -> Event {
        let place = r#""topic":"orders","partition":3,"offset":9,"timestamp_ms":5"#;
        Event::read(format!("{{{place},{members}}}")).unwrap()
    }

    #[test]
    fn type_and_payload_are_told_as_a_host_does() {
        for (members, kind, payload) in [
            (
                r#""headers":[{"name":"ce_type","value":"a.b"}],"payload":{"type":"c"}"#,
                "a.b",
                r#"{"type":"c"}"#,
            ),
            (r#""headers":[],"payload":{"type":"c","n":1.10}"#, "c", r#"{"type":"c","n":1.10}"#),
            (r#""payload":null"#, "orders", "-"),
            (r#""payload_base64":"aGkgw6k=""#, "orders", "hi é"),
            (r#""payload_base64":"AP8=""#, "orders", "AP8="),
            (r#""payload_base64":"GzJK""#, "orders", "GzJK"),
        ] {
            let event = event(members);
            assert_eq!((&*event.kind(), &*event.payload()), (kind, payload), "{members}");
            assert_eq!((event.key(), event.partition(), event.offset()), ("-", 3, 9));
        }
        assert_eq!(event(r#""key":"k""#).key(), "k");
        assert_eq!(event(r#""key_base64":"/w==""#).key(), "/w==");
        assert!(Event::read("{}".to_owned()).is_none());
    }
}
