//! Owns what a span is made of, as plain values that are cheap to make: whoever does the work makes
//! it, and another thread turns it into what is sent.

use std::num::NonZeroU64;
use std::time::SystemTime;

use bytestring::ByteString;

use crate::TraceContext;

/// One piece of work.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Where it stands.
    pub context: TraceContext,
    /// The span within which it happened, where there is one.
    pub parent: Option<NonZeroU64>,
    /// What kind of work it is.
    pub kind: SpanKind,
    /// What was done: the first word of its name.
    pub verb: &'static str,
    /// To what: the rest of its name; empty for none.
    pub target: ByteString,
    /// When it began, in nanoseconds since the Unix epoch.
    pub began_ns: u64,
    /// When it ended, in the same.
    pub ended_ns: u64,
    /// What else is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed, where it did.
    pub error: Option<ByteString>,
}

/// What kind of work a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Answers a request.
    Server,
    /// Makes a request.
    Client,
    /// Publishes an event.
    Producer,
    /// Handles an event.
    Consumer,
    /// Something else.
    Internal,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(ByteString),
    /// A number.
    Number(i64),
    /// Whether something is so.
    Flag(bool),
}

impl Value {
    /// A number that is never negative; the largest there is stands for larger ones.
    pub fn count(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<&ByteString> for Value {
    fn from(text: &ByteString) -> Self {
        Self::Text(text.clone())
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(ByteString::from_static(text))
    }
}

/// Now, in nanoseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "nothing is decided by what spans say of time")]
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
