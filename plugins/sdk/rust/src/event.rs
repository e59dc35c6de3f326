//! Owns what a handler is given: events and timers. It never fetches one.

use std::{fmt, str};

use serde::Deserialize;

use crate::Timestamp;

/// One header of an event. Names may repeat; order is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Name, compared exactly.
    pub name: String,
    /// Any bytes; text by convention is UTF-8.
    pub value: Vec<u8>,
}

/// One event, delivered to one handler.
///
/// The host recognises envelopes: with a CloudEvent or a JSON envelope, `id`, `event_type`,
/// `version`, `source`, `subject` and `time` are taken from it and `payload` is its data. Without
/// one, `id` is made from the position, `event_type` and `source` are the topic's name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Identity given by the producer, unique within `source`. Two events of one identity have
    /// one effect.
    pub id: String,
    /// What happened, such as `order.placed`.
    pub event_type: String,
    /// Version of the type, where the envelope carries one.
    pub version: Option<String>,
    /// Who produced it.
    pub source: String,
    /// What it is about, where the envelope says so.
    pub subject: Option<String>,
    /// When it happened by the producer's clock, else the record's timestamp.
    pub time: Timestamp,
    /// Topic it was read from.
    pub topic: String,
    /// Partition, from 0.
    pub partition: u32,
    /// Offset in the partition, from 0.
    pub offset: u64,
    /// Record key. A lane is the order of one key.
    pub key: Option<Vec<u8>>,
    /// The data, as its content type says; empty for a tombstone.
    pub payload: Vec<u8>,
    /// True when the record has no value at all.
    pub tombstone: bool,
    /// All headers of the record, envelope headers among them.
    pub headers: Vec<Header>,
    /// The record's own timestamp.
    pub timestamp: Timestamp,
    /// Media type of the payload, where known.
    pub content_type: Option<String>,
    /// Inherited by everything this event causes; the event's id when it began the chain.
    pub correlation_id: String,
    /// Id of the event that caused this one.
    pub causation_id: Option<String>,
    /// W3C trace context; emissions continue it.
    pub trace_parent: Option<String>,
    /// Tenant, where a key or header rule names one.
    pub tenant: Option<String>,
    /// 1 for the first attempt. Only counted attempts count: cancelled ones do not.
    pub attempt: u32,
    /// How the attempt before failed.
    pub previous_error: Option<String>,
}

impl Event {
    /// The payload read as JSON.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] when the payload is not JSON of this shape; `?` makes it a rejection with
    /// the code `payload`.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, PayloadError> {
        serde_json::from_slice(&self.payload).map_err(PayloadError::Json)
    }

    /// The payload as text.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] when the payload is not UTF-8; `?` makes it a rejection with the code
    /// `payload`.
    pub fn text(&self) -> Result<&str, PayloadError> {
        str::from_utf8(&self.payload).map_err(PayloadError::Text)
    }

    /// The key as text, when there is one and it is UTF-8.
    pub fn key_text(&self) -> Option<&str> {
        str::from_utf8(self.key.as_deref()?).ok()
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|header| header.name == name).map(|header| &*header.value)
    }

    /// The first header of this name as text, when it is UTF-8.
    pub fn header_text(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.header(name)?).ok()
    }
}

/// A timer that came due. It runs in the lane of the key that set it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timer {
    /// Name it was set under; unique within the key.
    pub name: String,
    /// Key whose handler set it.
    pub key: Vec<u8>,
    /// Moment it was set for. The host never fires it earlier.
    pub due: Timestamp,
    /// What the handler left for itself.
    pub payload: Vec<u8>,
    /// Id of the event that set it; becomes the causation id of emissions.
    pub set_by: String,
    /// Inherited from the event that set it.
    pub correlation_id: String,
    /// W3C trace context of the event that set it.
    pub trace_parent: Option<String>,
    /// Partition of the lane.
    pub partition: u32,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// How the attempt before failed.
    pub previous_error: Option<String>,
}

impl Timer {
    /// The payload read as JSON.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] when the payload is not JSON of this shape; `?` makes it a rejection with
    /// the code `payload`.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, PayloadError> {
        serde_json::from_slice(&self.payload).map_err(PayloadError::Json)
    }

    /// The key as text, when it is UTF-8.
    pub fn key_text(&self) -> Option<&str> {
        str::from_utf8(&self.key).ok()
    }
}

/// A payload is not what the handler expects. Trying again never helps.
#[derive(Debug)]
#[non_exhaustive]
pub enum PayloadError {
    /// Not JSON, or JSON of another shape.
    Json(serde_json::Error),
    /// Not UTF-8.
    Text(str::Utf8Error),
}

impl fmt::Display for PayloadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Json(_) => "read payload as JSON",
            Self::Text(_) => "read payload as text",
        })
    }
}

impl std::error::Error for PayloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(source) => Some(source),
            Self::Text(source) => Some(source),
        }
    }
}
