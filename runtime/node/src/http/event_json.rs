//! Shows a stored event as JSON: JSON data as it is, text as text, everything else as base64. It
//! changes nothing that can be seen: only white space between tokens.

use gristmill_store::Stored;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::envelope::{Headers, base64_encode, header, is_json};

/// One event of a topic.
#[derive(Debug, Serialize)]
pub(super) struct EventJson {
    topic: String,
    partition: u32,
    offset: u64,
    timestamp_ms: u64,
    #[serde(flatten)]
    key: Option<Key>,
    headers: Vec<HeaderJson>,
    #[serde(flatten)]
    payload: Payload,
}

#[derive(Debug, Serialize)]
enum Key {
    #[serde(rename = "key")]
    Text(String),
    #[serde(rename = "key_base64")]
    Bytes(String),
}

#[derive(Debug, Serialize)]
struct HeaderJson {
    name: String,
    #[serde(flatten)]
    value: Value,
}

#[derive(Debug, Serialize)]
enum Value {
    #[serde(rename = "value")]
    Text(String),
    #[serde(rename = "value_base64")]
    Bytes(String),
}

#[derive(Debug)]
enum Payload {
    None,
    Json(Box<RawValue>),
    Bytes(String),
}

/// Not derived: a variant without content cannot be flattened.
impl Serialize for Payload {
    fn serialize<S: serde::Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = writer.serialize_map(Some(1))?;
        match self {
            Self::None => map.serialize_entry("payload", &())?,
            Self::Json(raw) => map.serialize_entry("payload", raw)?,
            Self::Bytes(text) => map.serialize_entry("payload_base64", text)?,
        }
        map.end()
    }
}

impl EventJson {
    /// The event at its place, with all its headers.
    pub(super) fn new(topic: &str, partition: u32, stored: &Stored) -> Self {
        Self::with_headers(topic, partition, stored, &stored.headers)
    }

    /// The event at its place, with some of its headers: those a dead letter had before it was one.
    pub(super) fn with_headers(
        topic: &str,
        partition: u32,
        stored: &Stored,
        headers: &Headers,
    ) -> Self {
        let key = stored.key.as_deref().map(|key| match std::str::from_utf8(key) {
            Ok(text) => Key::Text(text.to_owned()),
            Err(_) => Key::Bytes(base64_encode(key)),
        });
        Self {
            topic: topic.to_owned(),
            partition,
            offset: stored.offset.0,
            timestamp_ms: stored.timestamp.0,
            key,
            headers: headers.iter().map(|(name, value)| shown(name, value)).collect(),
            payload: payload(stored),
        }
    }

    /// The same with its payload byte for byte.
    pub(super) fn exact(mut self, stored: &Stored) -> Self {
        if let Some(bytes) = &stored.payload {
            self.payload = Payload::Bytes(base64_encode(bytes));
        }
        self
    }
}

fn shown(name: &str, value: &[u8]) -> HeaderJson {
    let value = match std::str::from_utf8(value) {
        Ok(text) => Value::Text(text.to_owned()),
        Err(_) => Value::Bytes(base64_encode(value)),
    };
    HeaderJson { name: name.to_owned(), value }
}

fn payload(stored: &Stored) -> Payload {
    let Some(bytes) = &stored.payload else { return Payload::None };
    let media = header(&stored.headers, "content-type");
    let media = media.and_then(|value| std::str::from_utf8(value).ok());
    // A media type that is not JSON is taken at its word, even if the bytes would pass for it.
    match media.is_none_or(is_json).then(|| json_of(bytes)).flatten() {
        Some(raw) => Payload::Json(raw),
        None => Payload::Bytes(base64_encode(bytes)),
    }
}

/// The bytes as JSON, where they are.
pub(super) fn json_of(bytes: &[u8]) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let raw = serde_json::from_str::<&RawValue>(text).ok()?;
    // Line breaks in JSON stand between tokens only; without them it fits in one line of a stream.
    RawValue::from_string(raw.get().replace(['\n', '\r'], " ")).ok()
}
