//! Owns what an entry of a trail says and how it is hashed, as `docs/audit.md` fixes both.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// First of what is hashed.
const FORM: &[u8] = b"gristmill-audit-1";

/// One entry.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) previous: String,
    pub(super) hash: String,
    pub(super) topic: String,
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) timestamp_ms: u64,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    key_base64: Option<String>,
    #[serde(default)]
    headers: Vec<(String, Text)>,
    pub(super) payload_sha256: String,
    #[serde(default)]
    payload: Option<String>,
    #[serde(default)]
    payload_base64: Option<String>,
    #[serde(default)]
    tombstone: bool,
    #[serde(default)]
    omitted: bool,
}

/// A header's value.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Bytes { base64: String },
}

impl Entry {
    /// Name of its chain.
    pub(super) fn chain(&self) -> String {
        format!("{}/{}", self.topic, self.partition)
    }

    /// What is wrong with it by itself; nothing where it is as it was written.
    pub(super) fn flaw(&self) -> Option<&'static str> {
        let Some(hash) = self.computed() else { return Some("something in it is no base64") };
        if hash != self.hash {
            return Some("it was changed: its hash is another");
        }
        let payload = match (&self.payload, &self.payload_base64) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (None, Some(base64)) => BASE64_STANDARD.decode(base64).ok(),
            (None, None) if self.tombstone => Some(Vec::new()),
            (None, None) => None,
        };
        match payload {
            Some(bytes) if hex(&Sha256::digest(&bytes)) == self.payload_sha256 => None,
            None if self.omitted => None,
            Some(_) | None => Some("its payload was changed"),
        }
    }

    /// Its hash, from what it says.
    fn computed(&self) -> Option<String> {
        let key = match (&self.key, &self.key_base64) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (None, Some(base64)) => Some(BASE64_STANDARD.decode(base64).ok()?),
            (None, None) => None,
        };
        let mut hashed = Hashed(Sha256::new());
        hashed.part(FORM);
        hashed.part(self.previous.as_bytes());
        hashed.number(self.sequence);
        hashed.number(u64::from(self.partition));
        hashed.number(self.offset);
        hashed.number(self.timestamp_ms);
        hashed.number(u64::from(self.tombstone));
        hashed.number(u64::from(key.is_some()));
        hashed.number(u64::try_from(self.headers.len()).ok()?);
        hashed.part(self.topic.as_bytes());
        hashed.part(&key.unwrap_or_default());
        for (name, value) in &self.headers {
            hashed.part(name.as_bytes());
            match value {
                Text::Text(text) => hashed.part(text.as_bytes()),
                Text::Bytes { base64 } => hashed.part(&BASE64_STANDARD.decode(base64).ok()?),
            }
        }
        hashed.part(self.payload_sha256.as_bytes());
        Some(hex(&hashed.0.finalize()))
    }
}

/// Parts, each after its length.
struct Hashed(Sha256);

impl Hashed {
    fn part(&mut self, bytes: &[u8]) {
        self.0.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(bytes);
    }

    fn number(&mut self, number: u64) {
        self.part(&number.to_be_bytes());
    }
}

/// Bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
