//! Names everything that can be written, and what is handed back. A [`Batch`] is the only way
//! anything in the store changes; this module writes nothing itself.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_engine::{
    Bytes as Size, IdHash, Instant, KeyHash, Mark, Offset, ParkedEvent, ParkedLane, PartitionId,
    StoredProgress, SubscriptionId, TimerEntry, TimerHash, TopicId,
};

/// One partition of one subscription: whose state, timers, marks and parked lanes it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The partition number, shared by all topics of the subscription.
    pub partition: PartitionId,
}

/// An event as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp, as appended.
    pub timestamp: Instant,
    /// Its key; `None` for a null key.
    pub key: Option<Bytes>,
    /// Its headers in order; names may repeat. Shared, as whoever handles it is given them.
    pub headers: Arc<[Header]>,
    /// Its payload; `None` is a tombstone.
    pub payload: Option<Bytes>,
}

/// One header of an event: its name, and any bytes.
pub type Header = (ByteString, Bytes);

/// An event to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The topic; it must exist.
    pub topic: TopicId,
    /// The partition; see [`Store::partition_for`](crate::Store::partition_for).
    pub partition: PartitionId,
    /// Its timestamp: retention by age and search by time go by it.
    pub timestamp: Instant,
    /// Its key; `None` for a null key. In a compacted topic an event without key is kept.
    pub key: Option<Bytes>,
    /// Its headers in order; names may repeat.
    pub headers: Vec<Header>,
    /// Its payload; `None` is a tombstone.
    pub payload: Option<Bytes>,
}

/// How much one read returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// Events at most; 0 counts as 1.
    pub events: u32,
    /// Bytes of keys, headers and payloads after which no further event is added.
    pub bytes: Size,
}

/// Changes that become durable together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Refuse this batch while free space is low or the queue is full. For what comes from
    /// outside; checkpoints of workers leave it false.
    pub ingest: bool,
    /// Events to append. Offsets rise in this order within a partition.
    pub appends: Vec<Append>,
    /// Other changes, applied in this order.
    pub changes: Vec<Change>,
}

/// A batch is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Number of the checkpoint it became part of; shared by all batches committed together.
    pub checkpoint: u64,
    /// Offsets of the appends, in their order.
    pub offsets: Vec<Offset>,
}

/// One change.
#[derive(Debug, Clone)]
pub enum Change {
    /// Sets a state value, whatever was there.
    StateSet {
        /// Whose state.
        scope: Scope,
        /// The event's key.
        key: Bytes,
        /// Name of the value under that key.
        name: String,
        /// The value.
        value: Bytes,
        /// When it ceases to exist; `None` never.
        expires: Option<Instant>,
    },
    /// Sets a state value that is read like any other, and is not forgotten by itself once it
    /// expires: of a state that is made beside another, whose time is not the clock's.
    StateKeep {
        /// Whose state.
        scope: Scope,
        /// The event's key.
        key: Bytes,
        /// Name of the value under that key.
        name: String,
        /// The value.
        value: Bytes,
        /// When it ceases to exist; `None` never.
        expires: Option<Instant>,
    },
    /// Gives a scope the state and timers of another, which has none afterwards. What it had is
    /// forgotten. Takes constant time; the space comes back in the background.
    StateMove {
        /// Whose they were.
        from: Scope,
        /// Whose they are.
        to: Scope,
    },
    /// Deletes a state value, if there is one.
    StateDelete {
        /// Whose state.
        scope: Scope,
        /// The event's key.
        key: Bytes,
        /// Name of the value under that key.
        name: String,
    },
    /// Sets or overwrites a timer.
    TimerSet {
        /// Whose timer.
        scope: Scope,
        /// The timer.
        record: TimerRecord,
    },
    /// Deletes a timer, if it is set.
    TimerDelete {
        /// Whose timer.
        scope: Scope,
        /// The timer.
        timer: TimerHash,
    },
    /// Marks a business id as settled.
    MarkSet {
        /// Whose mark.
        scope: Scope,
        /// The id.
        id: IdHash,
        /// Where its event stood.
        mark: Mark,
        /// When; it is forgotten `marks_age` later.
        at: Instant,
    },
    /// Adds an event to a parked lane.
    ParkedPut {
        /// Whose lane.
        scope: Scope,
        /// The lane.
        lane: KeyHash,
        /// The event.
        record: ParkedRecord,
    },
    /// Gives a parked event new figures; ignored if it is not there.
    ParkedUpdate {
        /// Whose lane.
        scope: Scope,
        /// The lane.
        lane: KeyHash,
        /// Place in the lane.
        sequence: u64,
        /// Counted attempts so far.
        attempts: u32,
        /// When it first failed, if it did.
        first_failure: Option<Instant>,
        /// When it may run again.
        due: Instant,
        /// Text of its last error.
        error: String,
    },
    /// Takes an event out of a parked lane.
    ParkedDelete {
        /// Whose lane.
        scope: Scope,
        /// The lane.
        lane: KeyHash,
        /// Place in the lane.
        sequence: u64,
    },
    /// Stores how far a subscription has come in a topic.
    Progress {
        /// Whose progress.
        scope: Scope,
        /// The topic.
        topic: TopicId,
        /// The progress.
        progress: StoredProgress,
    },
    /// Forgets what a subscription, or one partition of it, remembers. Takes constant time per
    /// partition; the space comes back in the background.
    SubscriptionClear {
        /// The subscription.
        subscription: SubscriptionId,
        /// One partition of it, or all.
        partition: Option<PartitionId>,
        /// What is forgotten.
        what: Cleared,
    },
    /// Sets or deletes a small named document of the driver.
    Document {
        /// Its name, 1 to 1,024 bytes.
        name: String,
        /// Its content; `None` deletes it.
        value: Option<Bytes>,
    },
}

impl Change {
    /// The scope it belongs to; `None` for documents, which have none, and for moves and clears,
    /// which may be of many.
    pub fn scope(&self) -> Option<Scope> {
        match self {
            Self::StateSet { scope, .. }
            | Self::StateKeep { scope, .. }
            | Self::StateDelete { scope, .. }
            | Self::TimerSet { scope, .. }
            | Self::TimerDelete { scope, .. }
            | Self::MarkSet { scope, .. }
            | Self::ParkedPut { scope, .. }
            | Self::ParkedUpdate { scope, .. }
            | Self::ParkedDelete { scope, .. }
            | Self::Progress { scope, .. } => Some(*scope),
            Self::StateMove { .. } | Self::SubscriptionClear { .. } | Self::Document { .. } => None,
        }
    }
}

/// What [`Change::SubscriptionClear`] forgets. Default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of five independent choices")]
pub struct Cleared {
    /// State values.
    pub state: bool,
    /// Dedupe marks.
    pub marks: bool,
    /// Progress in every topic.
    pub progress: bool,
    /// Timers.
    pub timers: bool,
    /// Parked lanes.
    pub parked: bool,
}

/// A timer with what the driver needs to run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerRecord {
    /// What the engine knows of it.
    pub entry: TimerEntry,
    /// The lane's key.
    pub key: Bytes,
    /// Its name under that key.
    pub name: String,
    /// What the handler gave it.
    pub payload: Bytes,
    /// Opaque to the store: who set it, correlation, trace.
    pub context: Bytes,
}

/// A parked event with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedRecord {
    /// What the engine knows of it.
    pub event: ParkedEvent,
    /// The event itself.
    pub source: Parked,
    /// Text of its last error; empty if it waits behind another.
    pub error: String,
}

/// What is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parked {
    /// An event of a topic.
    Event {
        /// The topic it was read from.
        topic: TopicId,
        /// The event.
        stored: Stored,
    },
    /// A timer that came due.
    Timer(TimerRecord),
}

/// A state value with all that is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateEntry {
    /// The event's key.
    pub key: Bytes,
    /// Name of the value under that key.
    pub name: String,
    /// The value.
    pub value: Bytes,
    /// When it ceases to exist; `None` never.
    pub expires: Option<Instant>,
}

/// Everything durable about one partition of a subscription, for an assignment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// Progress per topic.
    pub progress: Vec<(TopicId, StoredProgress)>,
    /// Parked lanes by key, their events in order.
    pub parked: Vec<ParkedLane>,
    /// Timers, in no particular order.
    pub timers: Vec<TimerEntry>,
}
