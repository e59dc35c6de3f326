//! Owns what a handler is given, as plain values that are cheap to clone and borrow. It never
//! decides what a field means: the driver fills them as the contract says.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_telemetry::TraceContext;

/// What one attempt is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it handles; shared, so that a retry copies nothing.
    pub handled: Handled,
    /// 1 for the first counted attempt.
    pub attempt: u32,
    /// How the attempt before failed.
    pub previous_error: Option<ByteString>,
    /// The attempt's own span: its requests go on from there, and have spans where it is told of.
    pub span: Option<TraceContext>,
}

/// What one attempt handles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handled {
    /// An event; calls `event-handler.handle`.
    Event(Arc<Event>),
    /// A timer that came due; calls `timer-handler.on-timer`.
    Timer(Arc<Timer>),
}

/// One header of an event or emission: its name, and any bytes. Names may repeat; order is kept.
pub type Header = (ByteString, Bytes);

/// One event, field by field as `gristmill:plugin/types.event`.
///
/// Text and data are slices of the record they were read from where they can be: an event costs
/// one allocation, and counting references instead of copying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Identity given by the producer.
    pub id: ByteString,
    /// What happened; `type` in the contract.
    pub kind: ByteString,
    /// Version of the type.
    pub version: Option<ByteString>,
    /// Who produced it.
    pub source: ByteString,
    /// What it is about.
    pub subject: Option<ByteString>,
    /// When it happened, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Topic it was read from.
    pub topic: ByteString,
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
    pub content_type: Option<ByteString>,
    /// Inherited by everything this event causes.
    pub correlation_id: ByteString,
    /// Id of the event that caused this one.
    pub causation_id: Option<ByteString>,
    /// W3C trace context.
    pub trace_parent: Option<ByteString>,
    /// Tenant.
    pub tenant: Option<ByteString>,
}

/// A timer that came due, field by field as `gristmill:plugin/types.timer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// Name it was set under.
    pub name: ByteString,
    /// Key whose handler set it.
    pub key: Bytes,
    /// Moment it was set for, in milliseconds since the Unix epoch.
    pub due_ms: u64,
    /// What the handler left for itself.
    pub payload: Bytes,
    /// Id of the event that set it.
    pub set_by: ByteString,
    /// Inherited from the event that set it.
    pub correlation_id: ByteString,
    /// W3C trace context of the event that set it.
    pub trace_parent: Option<ByteString>,
    /// Partition of the lane, from 0.
    pub partition: u32,
}

impl Request {
    /// The first attempt of `handled`.
    pub const fn first(handled: Handled) -> Self {
        Self { handled, attempt: 1, previous_error: None, span: None }
    }
}

impl Handled {
    /// Identity used in logs and inherited as the cause of emissions: the event's id, or that of
    /// the event which set the timer.
    pub fn id(&self) -> &ByteString {
        match self {
            Self::Event(event) => &event.id,
            Self::Timer(timer) => &timer.set_by,
        }
    }

    /// Correlation id that emissions inherit.
    pub fn correlation_id(&self) -> &ByteString {
        match self {
            Self::Event(event) => &event.correlation_id,
            Self::Timer(timer) => &timer.correlation_id,
        }
    }

    /// W3C trace context that emissions continue.
    pub fn trace_parent(&self) -> Option<&ByteString> {
        match self {
            Self::Event(event) => event.trace_parent.as_ref(),
            Self::Timer(timer) => timer.trace_parent.as_ref(),
        }
    }
}
