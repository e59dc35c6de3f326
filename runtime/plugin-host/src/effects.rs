//! Owns what an attempt leaves behind and why a guest's request was refused. It never applies an
//! effect: the driver does, when the checkpoint is durable.

use std::fmt;

use bytes::Bytes;

use crate::Header;

/// Everything a successful attempt asks for. Nothing of it is done yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Emissions in call order; the index is part of an emission's id.
    pub emissions: Vec<Emission>,
    /// Last write of every state name, in byte order of the names.
    pub state: Vec<StateChange>,
    /// Timers set and cancelled, in call order.
    pub timers: Vec<TimerRequest>,
    /// Size of all of the above, in bytes.
    pub bytes: u64,
}

/// An event to publish, field by field as `gristmill:plugin/publish.emission`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emission {
    /// Topic to publish to.
    pub topic: String,
    /// Type of the event; `type` in the contract.
    pub kind: String,
    /// Version of the type.
    pub version: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// Record key; without one, the key of the handled event.
    pub key: Option<Bytes>,
    /// The data.
    pub payload: Bytes,
    /// Media type of the payload; `application/json` without one.
    pub content_type: Option<String>,
    /// Further headers.
    pub headers: Vec<Header>,
    /// Correlation id; inherited without one.
    pub correlation_id: Option<String>,
}

impl Emission {
    /// Size of all text and data, in bytes; what counts to `emitted_bytes`.
    pub fn bytes(&self) -> u64 {
        let text = [&self.version, &self.subject, &self.content_type, &self.correlation_id];
        let text: usize = text.into_iter().flatten().map(String::len).sum();
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let key = self.key.as_ref().map_or(0, Bytes::len);
        let sum = self.topic.len() + self.kind.len() + text + key + self.payload.len() + headers;
        u64::try_from(sum).unwrap_or(u64::MAX)
    }
}

/// One write of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    /// Sets `name`.
    Set {
        /// Name within the key, 1 to 1,024 bytes.
        name: String,
        /// The value.
        value: Bytes,
        /// Life in milliseconds from the handled event's time; for ever without.
        ttl_ms: Option<u64>,
    },
    /// Deletes `name`.
    Delete {
        /// Name within the key, 1 to 1,024 bytes.
        name: String,
    },
}

/// One change of the key's timers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerRequest {
    /// Sets or overwrites `name`.
    Set {
        /// Name within the key, 1 to 1,024 bytes.
        name: String,
        /// When it fires, in milliseconds since the Unix epoch.
        due_ms: u64,
        /// What the handler leaves for itself, at most 64 KiB.
        payload: Bytes,
    },
    /// Cancels `name`, if it is set.
    Cancel {
        /// Name within the key, 1 to 1,024 bytes.
        name: String,
    },
}

/// Why an emission was refused; told to the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmitError {
    /// The manifest grants no such topic; the line that would.
    NotGranted(String),
    /// No such topic, and it may not be created.
    UnknownTopic(String),
    /// Larger than the topic's largest event; the bytes it may have.
    TooLarge(u64),
    /// More emissions or bytes than one event may cause; the limit that was reached.
    LimitReached(String),
    /// The topic's schema does not hold; every violation.
    Schema(Vec<String>),
    /// The emission itself is malformed; how.
    Invalid(String),
}

impl fmt::Display for EmitError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted(line) => write!(out, "not granted; the manifest needs {line}"),
            Self::UnknownTopic(topic) => write!(out, "unknown topic {topic}"),
            Self::TooLarge(bytes) => write!(out, "larger than {bytes} bytes"),
            Self::LimitReached(limit) => write!(out, "limit reached: {limit}"),
            Self::Schema(violations) => write!(out, "schema: {}", violations.join("; ")),
            Self::Invalid(how) => write!(out, "invalid: {how}"),
        }
    }
}

/// Why a state call was refused; told to the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateError {
    /// The manifest does not grant state; the line that would.
    NotGranted(String),
    /// Larger than a value, or all writes of one event, may be; the bytes it may have.
    TooLarge(u64),
    /// The name is empty, longer than 1,024 bytes or begins with `local:`.
    InvalidName,
    /// The store is unavailable. A handler that then fails ends as class `infrastructure`.
    Unavailable(String),
}

/// Why a timer call was refused; told to the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerError {
    /// The manifest does not grant timers; the line that would.
    NotGranted(String),
    /// More than a year ahead of the handled event's time; the latest moment allowed.
    TooFar(u64),
    /// As many timers as there may be; the limit.
    LimitReached(u64),
    /// The name or payload is malformed; how.
    Invalid(String),
}
