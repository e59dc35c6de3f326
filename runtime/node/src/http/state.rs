//! Answers questions about the state that handlers keep. What is asked for is as of the last
//! checkpoint of its partition.

use axum::Json;
use axum::extract::{Path, State};
use bytes::Bytes;
use gristmill_engine::PartitionId;
use gristmill_store::Names;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Api;
use super::error::ApiError;
use super::event_json::json_of;
use super::query::Parameters;
use crate::envelope::{base64_decode, base64_encode};
use crate::states::{Entry, States};

/// Entries answered at once, unless asked otherwise.
const ENTRIES: usize = 100;
/// Entries answered at once at most.
const ENTRIES_MAX: usize = 1_000;

/// A page of the values under one key.
#[derive(Debug, Serialize)]
pub(super) struct KeyPage {
    subscription: String,
    partition: u32,
    key: String,
    values: Vec<Shown>,
    /// The last name, when there may be more after it.
    next: Option<String>,
}

/// A value: JSON as it is, everything else as base64.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl From<(String, Bytes)> for Shown {
    fn from((name, bytes): (String, Bytes)) -> Self {
        let value = json_of(&bytes);
        let value_base64 = value.is_none().then(|| base64_encode(&bytes));
        Self { name, value, value_base64 }
    }
}

/// The values under one key, by name.
pub(super) async fn of_key(
    State(api): State<Api>,
    Path((subscription, key)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Json<KeyPage>, ApiError> {
    let parameters = parameters.only(&["prefix", "after", "limit"])?;
    let limit = parameters.limit(ENTRIES, ENTRIES_MAX)?;
    let states = states_of(&api, &subscription)?;
    let prefix = parameters.text("prefix").unwrap_or_default().to_owned();
    let after = parameters.text("after").map(str::to_owned);
    let (looked, asked) = (states.clone(), key.clone());
    let found = api.blocking(move |_| {
        let count = u32::try_from(limit).unwrap_or(u32::MAX);
        let page = Names { prefix: &prefix, after: after.as_deref(), limit: count };
        Ok(looked.of_key(asked.as_bytes(), page)?)
    });
    let Some(found) = found.await? else {
        return Err(ApiError::no_state(&subscription, &key, &elsewhere(&states)));
    };
    let is_full = found.values.len() == limit;
    let next = found.values.last().filter(|_| is_full).map(|(name, _)| name.clone());
    let values = found.values.into_iter().map(Shown::from).collect();
    Ok(Json(KeyPage { subscription, partition: found.partition.0, key, values, next }))
}

/// Which keys have which values, by partition, key and name.
pub(super) async fn list(
    State(api): State<Api>,
    Path(subscription): Path<String>,
    parameters: Parameters,
) -> Result<Json<Value>, ApiError> {
    let parameters = parameters.only(&["prefix", "after", "limit"])?;
    let limit = parameters.limit(ENTRIES, ENTRIES_MAX)?;
    let states = states_of(&api, &subscription)?;
    let prefix = Bytes::from(parameters.text("prefix").unwrap_or_default().to_owned());
    let after = parameters.text("after").map(|text| {
        let wanted = || ApiError::parameter("after", text, "the `next` of the page before");
        entry_of(text).ok_or_else(wanted)
    });
    let after = after.transpose()?;
    let looked = states.clone();
    let found = api.blocking(move |_| {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        Ok(looked.list(&prefix, after.as_ref(), limit)?)
    });
    let found = found.await?;
    let next = found.last().filter(|_| found.len() == limit).map(text_of);
    let entries: Vec<Value> = found.iter().map(listed).collect();
    Ok(Json(json!({
        "subscription": subscription,
        "entries": entries,
        "next": next,
        "partitions_elsewhere": elsewhere(&states),
    })))
}

fn states_of(api: &Api, subscription: &str) -> Result<States, ApiError> {
    api.host.states(subscription)?.ok_or_else(|| ApiError::stateless(subscription))
}

/// Partitions of which this host knows nothing.
fn elsewhere(states: &States) -> Vec<u32> {
    states.partitions().1.into_iter().map(|partition| partition.0).collect()
}

fn listed(Entry { partition, key, name }: &Entry) -> Value {
    let mut fields = Map::new();
    fields.insert("partition".to_owned(), json!(partition.0));
    match std::str::from_utf8(key) {
        Ok(text) => fields.insert("key".to_owned(), json!(text)),
        Err(_) => fields.insert("key_base64".to_owned(), json!(base64_encode(key))),
    };
    fields.insert("name".to_owned(), json!(name));
    Value::Object(fields)
}

/// An entry as a page's end, which whoever asks need not understand.
fn text_of(Entry { partition, key, name }: &Entry) -> String {
    let parts = (partition.0, base64_encode(key), name);
    hex(serde_json::to_string(&parts).unwrap_or_default().as_bytes())
}

fn entry_of(text: &str) -> Option<Entry> {
    let (partition, key, name): (u32, String, String) =
        serde_json::from_slice(&unhex(text)?).ok()?;
    Some(Entry { partition: PartitionId(partition), key: base64_decode(&key)?.into(), name })
}

/// Base64 would need escapes in a query.
fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.len().is_multiple_of(2).then(|| digits.map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_page_comes_back_as_it_was() {
        for (key, name) in [(&b"k-1"[..], "cart"), (b"\xff\x00", "\u{e9}/\"x\""), (b"", "")] {
            let key = Bytes::copy_from_slice(key);
            let entry = Entry { partition: PartitionId(7), key, name: name.to_owned() };
            assert_eq!(entry_of(&text_of(&entry)), Some(entry));
        }
        for text in ["", "zz", "5", "5b5d", "+1"] {
            assert_eq!(entry_of(text), None, "{text}");
        }
    }

    #[test]
    fn values_are_shown_as_they_are_where_they_are_json() {
        for (bytes, text) in [
            (&b"{\"a\": 1.50}"[..], r#"{"name":"n","value":{"a": 1.50}}"#),
            (b"plain", r#"{"name":"n","value_base64":"cGxhaW4="}"#),
            (b"\xff", r#"{"name":"n","value_base64":"/w=="}"#),
        ] {
            let shown = Shown::from(("n".to_owned(), Bytes::copy_from_slice(bytes)));
            assert_eq!(serde_json::to_string(&shown).unwrap(), text);
        }
    }
}
