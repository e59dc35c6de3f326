//! Owns what an entry says and how it is hashed. `docs/audit.md` fixes both.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gristmill_plugin::Event;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// First of what is hashed: another form of entries would begin otherwise.
const FORM: &[u8] = b"gristmill-audit-1";

/// End of a chain: its last entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) sequence: u64,
    pub(crate) hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { sequence: 0, hash: "0".repeat(64) }
    }
}

/// One entry.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) previous: String,
    pub(crate) hash: String,
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) timestamp_ms: u64,
    #[serde(flatten)]
    pub(crate) key: Key,
    pub(crate) headers: Vec<(String, Text)>,
    pub(crate) payload_sha256: String,
    #[serde(flatten)]
    pub(crate) body: Body,
}

/// A record's key.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Key {
    Text { key: String },
    Bytes { key_base64: String },
    None {},
}

/// A header's value.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Text {
    Text(String),
    Bytes { base64: String },
}

/// A record's payload.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Body {
    Text {
        payload: String,
    },
    Bytes {
        payload_base64: String,
    },
    Tombstone {
        tombstone: bool,
    },
    #[serde(serialize_with = "omitted")]
    Omitted,
}

fn omitted<S: serde::Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap as _;

    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry("omitted", &true)?;
    map.end()
}

impl Entry {
    /// The entry of `event`, after `head`.
    pub(crate) fn after(head: &Head, event: &Event) -> Self {
        let payload_sha256 = hex(&Sha256::digest(&event.payload));
        let sequence = head.sequence + 1;
        Self {
            sequence,
            hash: hash(head, sequence, &payload_sha256, event),
            previous: head.hash.clone(),
            topic: event.topic.clone(),
            partition: event.partition,
            offset: event.offset,
            timestamp_ms: event.timestamp.as_millis(),
            key: key(event.key.as_deref()),
            headers: event
                .headers
                .iter()
                .map(|header| (header.name.clone(), text(&header.value)))
                .collect(),
            payload_sha256,
            body: body(event),
        }
    }

    /// Name of its chain, which is its key: entries of a chain keep their order.
    pub(crate) fn chain(&self) -> String {
        format!("{}/{}", self.topic, self.partition)
    }
}

fn key(key: Option<&[u8]>) -> Key {
    match key.map(|key| (std::str::from_utf8(key), key)) {
        None => Key::None {},
        Some((Ok(text), _)) => Key::Text { key: text.to_owned() },
        Some((Err(_), bytes)) => Key::Bytes { key_base64: BASE64_STANDARD.encode(bytes) },
    }
}

fn text(value: &[u8]) -> Text {
    match std::str::from_utf8(value) {
        Ok(text) => Text::Text(text.to_owned()),
        Err(_) => Text::Bytes { base64: BASE64_STANDARD.encode(value) },
    }
}

fn body(event: &Event) -> Body {
    if event.tombstone {
        return Body::Tombstone { tombstone: true };
    }
    match std::str::from_utf8(&event.payload) {
        Ok(text) => Body::Text { payload: text.to_owned() },
        Err(_) => Body::Bytes { payload_base64: BASE64_STANDARD.encode(&event.payload) },
    }
}

/// Hash of an entry: of its parts in a fixed order, each after its length, so that no two entries
/// have the same bytes.
fn hash(head: &Head, sequence: u64, payload_sha256: &str, event: &Event) -> String {
    let mut hasher = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    part(FORM);
    part(head.hash.as_bytes());
    for number in [
        sequence,
        u64::from(event.partition),
        event.offset,
        event.timestamp.as_millis(),
        u64::from(event.tombstone),
        u64::from(event.key.is_some()),
        event.headers.len() as u64,
    ] {
        part(&number.to_be_bytes());
    }
    part(event.topic.as_bytes());
    part(event.key.as_deref().unwrap_or_default());
    for header in &event.headers {
        part(header.name.as_bytes());
        part(&header.value);
    }
    part(payload_sha256.as_bytes());
    hex(&hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
