//! Owns what a handler is given, as plain values that are cheap to clone and borrow. It never
//! decides what a field means: the driver fills them as the contract says.

use std::sync::Arc;

use bytes::Bytes;

/// What one attempt handles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// An event; calls `event-handler.handle`.
    Event(Event),
    /// A timer that came due; calls `timer-handler.on-timer`.
    Timer(Timer),
}

/// One header of an event or emission. Names may repeat; order is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: Arc<str>,
    /// Any bytes.
    pub value: Bytes,
}

/// One event, field by field as `gristmill:plugin/types.event`.
///
/// Text is shared (`Arc<str>`) and data is sliced (`Bytes`), so that a retry clones no contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Identity given by the producer.
    pub id: Arc<str>,
    /// What happened; `type` in the contract.
    pub kind: Arc<str>,
    /// Version of the type.
    pub version: Option<Arc<str>>,
    /// Who produced it.
    pub source: Arc<str>,
    /// What it is about.
    pub subject: Option<Arc<str>>,
    /// When it happened, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Topic it was read from.
    pub topic: Arc<str>,
    /// Partition, from 0.
    pub partition: u32,
    /// Offset in the partition, from 0.
    pub offset: u64,
    /// Record key.
    pub key: Option<Bytes>,
    /// The data.
    pub payload: Bytes,
    /// True when the record has no value at all.
    pub tombstone: bool,
    /// All headers of the record.
    pub headers: Arc<[Header]>,
    /// The record's own timestamp, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// Media type of the payload.
    pub content_type: Option<Arc<str>>,
    /// Inherited by everything this event causes.
    pub correlation_id: Arc<str>,
    /// Id of the event that caused this one.
    pub causation_id: Option<Arc<str>>,
    /// W3C trace context.
    pub trace_parent: Option<Arc<str>>,
    /// Tenant.
    pub tenant: Option<Arc<str>>,
    /// 1 for the first counted attempt.
    pub attempt: u32,
    /// How the attempt before failed.
    pub previous_error: Option<Arc<str>>,
}

/// A timer that came due, field by field as `gristmill:plugin/types.timer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// Name it was set under.
    pub name: Arc<str>,
    /// Key whose handler set it.
    pub key: Bytes,
    /// Moment it was set for, in milliseconds since the Unix epoch.
    pub due_ms: u64,
    /// What the handler left for itself.
    pub payload: Bytes,
    /// Id of the event that set it.
    pub set_by: Arc<str>,
    /// Inherited from the event that set it.
    pub correlation_id: Arc<str>,
    /// W3C trace context of the event that set it.
    pub trace_parent: Option<Arc<str>>,
    /// Partition of the lane, from 0.
    pub partition: u32,
    /// 1 for the first counted attempt.
    pub attempt: u32,
    /// How the attempt before failed.
    pub previous_error: Option<Arc<str>>,
}

impl Request {
    /// Identity used in logs: the event's id, or that of the event which set the timer.
    pub fn id(&self) -> &Arc<str> {
        match self {
            Self::Event(event) => &event.id,
            Self::Timer(timer) => &timer.set_by,
        }
    }

    /// Number of the attempt, from 1.
    pub const fn attempt(&self) -> u32 {
        match self {
            Self::Event(event) => event.attempt,
            Self::Timer(timer) => timer.attempt,
        }
    }
}
