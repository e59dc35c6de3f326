//! Owns what a handler publishes and why it may be refused. It never publishes by itself.

use std::{error::Error, fmt};

use serde::Serialize;

use crate::{Failure, Header};

/// An event to publish.
///
/// The host gives it an id that is the same at every attempt, redrive and replay, the causation
/// id and the trace context, and publishes it when, and only when, the handled event's checkpoint
/// is durable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Emission {
    /// Topic; the manifest's `emit` must grant it.
    pub topic: String,
    /// Type; `ce_type` of the published CloudEvent.
    pub event_type: String,
    /// Version of the type.
    pub version: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// Record key; equal keys keep their order. Without one, the key of the handled event.
    pub key: Option<Vec<u8>>,
    /// The data.
    pub payload: Vec<u8>,
    /// Media type of the payload; `application/json` without one.
    pub content_type: Option<String>,
    /// Further headers. Names the host writes itself (`ce_*`, `dlq-*`, `traceparent`) are refused.
    pub headers: Vec<Header>,
    /// Correlation id; inherited without one.
    pub correlation_id: Option<String>,
}

impl Emission {
    /// An event of type `event_type` for `topic` with any payload.
    #[must_use]
    pub fn new(
        topic: impl Into<String>,
        event_type: impl Into<String>,
        payload: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            topic: topic.into(),
            event_type: event_type.into(),
            payload: payload.into(),
            ..Self::default()
        }
    }

    /// An event whose payload is `value` as JSON.
    ///
    /// # Errors
    ///
    /// A rejection with the code `json` when `value` has no JSON form, such as a map whose keys
    /// are not text.
    pub fn json<T: Serialize + ?Sized>(
        topic: impl Into<String>,
        event_type: impl Into<String>,
        value: &T,
    ) -> Result<Self, Failure> {
        Ok(Self::new(topic, event_type, serde_json::to_vec(value)?))
    }

    /// With this record key.
    #[must_use]
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(key.as_ref().to_vec());
        self
    }

    /// With this version of the type.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// About this subject.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// With this media type.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push(Header { name: name.into(), value: value.as_ref().to_vec() });
        self
    }

    /// In another chain of events than the handled one.
    #[must_use]
    pub fn correlation_id(mut self, correlation_id: impl Into<String>) -> Self {
        self.correlation_id = Some(correlation_id.into());
        self
    }
}

/// Why an emission was refused.
///
/// The event goes on; what to do is the handler's choice. `?` rejects the event, which then ends
/// as class `output` under the code of [`EmitError::code`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmitError {
    /// The manifest grants no such topic; the text is the line that would.
    NotGranted(String),
    /// No such topic, and it may not be created.
    UnknownTopic(String),
    /// Larger than the topic's largest event.
    TooLarge {
        /// The bytes it may have.
        bytes_max: u64,
    },
    /// More emissions or bytes than one event may cause (default 1,000 and 8 MiB); the limit that
    /// was reached.
    LimitReached(String),
    /// The topic's schema does not hold; every violation.
    Schema(Vec<String>),
    /// The emission itself is malformed; how.
    Invalid(String),
}

impl EmitError {
    /// The stable word that `?` rejects the event with.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotGranted(_) => "emit-not-granted",
            Self::UnknownTopic(_) => "emit-unknown-topic",
            Self::TooLarge { .. } => "emit-too-large",
            Self::LimitReached(_) => "emit-limit",
            Self::Schema(_) => "emit-schema",
            Self::Invalid(_) => "emit-invalid",
        }
    }
}

impl fmt::Display for EmitError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted(line) => write!(out, "emission is not granted; grant: {line}"),
            Self::UnknownTopic(topic) => write!(out, "no topic {topic}"),
            Self::TooLarge { bytes_max } => write!(out, "emission is over {bytes_max} bytes"),
            Self::LimitReached(limit) => write!(out, "one event may cause no more: {limit}"),
            Self::Schema(violations) => {
                write!(out, "schema does not hold: {}", violations.join("; "))
            }
            Self::Invalid(how) => write!(out, "malformed emission: {how}"),
        }
    }
}

impl Error for EmitError {}
