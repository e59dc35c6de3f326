//! Owns what a worker holds in memory for one partition of a subscription: the bytes of events
//! the engine knows only by position, the read cursors and the uncommitted writes. It never
//! decides how long; the engine says when an event is released.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_config::StateOf;
use gristmill_engine::{
    Assignment, Bytes as Size, Cursor, EventRef, Generation, Instant, Offset, PartitionId,
    Position, TopicId, Version,
};
use gristmill_kafka::Reading;
use gristmill_plugin_host::{Failure, Handled};
use gristmill_store::{Header, Parked, Stored, TimerRecord};

use super::Map;
use super::overlay::Overlay;
use super::standing::Standing;
use crate::binding::Binding;
use crate::envelope::{self, OriginBuf};
use crate::topics;

/// One partition of a subscription on this worker.
#[derive(Debug)]
pub(super) struct Part {
    /// The version whose rules decode what is read.
    pub(super) binding: Arc<Binding>,
    pub(super) generation: Generation,
    pub(super) cursors: Vec<ReadCursor>,
    pub(super) slots: Map<EventRef, Slot>,
    /// Shared with the attempts that run; each lane's reads and writes take turns.
    pub(super) overlay: Arc<Mutex<Overlay>>,
    /// Where its changelog stands, when topics live in a cluster.
    pub(super) changelog: Standing,
}

/// Where reading stands in one topic.
#[derive(Debug)]
pub(super) struct ReadCursor {
    pub(super) topic: TopicId,
    /// Nothing is read before the engine has said from where.
    pub(super) next: Option<Offset>,
    pub(super) is_paused: bool,
    /// Every offset below is finished, as of the last checkpoint.
    pub(super) finished: Offset,
    /// Where records come from, when topics live in a cluster.
    pub(super) reading: Option<Reading>,
}

/// The bytes of one event and what is known of its failures.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) content: Content,
    /// When it was read, for the queue-wait metric.
    pub(super) since: Instant,
    /// What a handler is given, and the version whose rules read it.
    pub(super) handled: Option<(Version, Handled)>,
    /// How its last attempt failed, or why it cannot be attempted.
    pub(super) failure: Option<Failure>,
}

/// What an event is made of.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A record of a topic.
    Record(Arc<Held>),
    /// A timer of the lane.
    Timer(Arc<TimerRecord>),
}

/// A record that was read, with the place it first came from.
#[derive(Debug)]
pub(super) struct Held {
    /// Where it was read: for one that was redriven or forwarded, the topic for that.
    pub(super) read_at: Position,
    /// Where it first came from: ids of emissions are made of this.
    pub(super) origin: OriginBuf,
    /// Key, headers and payload as the handler is given them.
    pub(super) stored: Stored,
    /// Headers as they were read, where those say where it first came from: for parking it.
    wrapped: Option<Arc<[Header]>>,
    /// What state and timers belong to, where that is not the key.
    owner: Option<Bytes>,
}

impl Part {
    /// A partition just assigned; nothing is read yet.
    pub(super) fn new(binding: &Arc<Binding>, assignment: &Assignment) -> Self {
        Self {
            binding: Arc::clone(binding),
            generation: assignment.generation,
            cursors: assignment.cursors.iter().map(ReadCursor::new).collect(),
            slots: Map::default(),
            overlay: Arc::new(Mutex::new(Overlay::default())),
            changelog: Standing::default(),
        }
    }

    /// The uncommitted writes, for this thread alone.
    pub(super) fn lock_overlay(&self) -> MutexGuard<'_, Overlay> {
        // Every write to an overlay is whole: a panicking attempt leaves nothing half done.
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadCursor {
    fn new(cursor: &Cursor) -> Self {
        Self {
            topic: cursor.topic,
            next: None,
            is_paused: false,
            finished: Offset(0),
            reading: None,
        }
    }
}

impl Slot {
    pub(super) fn new(content: Content, since: Instant) -> Self {
        Self { content, since, handled: None, failure: None }
    }
}

impl Content {
    /// What state and timers belong to: the event's key, or its partition; empty for an event that
    /// has neither.
    pub(super) fn owner(&self) -> Bytes {
        match self {
            Self::Record(held) => held.owner().cloned().unwrap_or_default(),
            Self::Timer(timer) => timer.key.clone(),
        }
    }

    /// The event's own key, which emissions inherit; empty for an event without one.
    pub(super) fn key(&self) -> Bytes {
        match self {
            Self::Record(held) => held.stored.key.clone().unwrap_or_default(),
            Self::Timer(timer) => timer.key.clone(),
        }
    }

    /// The guest's own time: the record's timestamp, or when the timer was due.
    pub(super) fn event_time(&self) -> Instant {
        match self {
            Self::Record(held) => held.stored.timestamp,
            Self::Timer(timer) => timer.entry.due,
        }
    }

    /// The same as the store parks it.
    pub(super) fn to_parked(&self) -> Parked {
        match self {
            Self::Record(held) => {
                let mut stored = held.stored.clone();
                if let Some(wrapped) = &held.wrapped {
                    stored.headers = Arc::clone(wrapped);
                }
                Parked::Event { topic: held.read_at.topic, stored }
            }
            Self::Timer(timer) => Parked::Timer(TimerRecord::clone(timer)),
        }
    }
}

impl Held {
    /// A record as read from the topic of that name. One that was redriven or forwarded is
    /// unwrapped.
    pub(super) fn new(topic: &ByteString, read_at: Position, mut stored: Stored) -> Self {
        let is_wrapped = topics::is_wrapped(topic);
        let before = is_wrapped.then(|| Arc::clone(&stored.headers));
        let unwrapped = if is_wrapped { envelope::unwrapped(&mut stored) } else { None };
        let wrapped = unwrapped.as_ref().and(before);
        let origin = unwrapped.unwrap_or_else(|| OriginBuf {
            topic: topic.clone(),
            partition: read_at.partition.0,
            offset: read_at.offset.0,
            timer: None,
        });
        Self { read_at, origin, stored, wrapped, owner: None }
    }

    /// The same, owned by its partition where state is kept so.
    pub(super) fn of(mut self, state_of: StateOf) -> Self {
        // A redriven timer is in the lane that its key names, as it was at first.
        if state_of == StateOf::Partition && self.origin.timer.is_none() {
            let OriginBuf { topic, partition, .. } = &self.origin;
            self.owner = Some(format!("{topic}/{partition}").into());
        }
        self
    }

    /// What state and timers belong to; none for an event that has neither key nor such a
    /// partition.
    pub(super) fn owner(&self) -> Option<&Bytes> {
        self.owner.as_ref().or(self.stored.key.as_ref())
    }

    /// An event of a local topic, caused by one of that place.
    pub(super) fn local(topic: &str, caused_by: &OriginBuf, stored: Stored) -> Self {
        let origin = OriginBuf { topic: topic.into(), timer: None, ..caused_by.clone() };
        let (partition, offset) = (PartitionId(origin.partition), Offset(origin.offset));
        // It is in no topic of the broker, and is never parked.
        let read_at = Position { topic: TopicId(0), partition, offset };
        Self { read_at, origin, stored, wrapped: None, owner: None }
    }

    /// The record as the envelope's reader sees it.
    pub(super) fn record(&self) -> envelope::Record<'_> {
        envelope::Record {
            topic: &self.origin.topic,
            partition: self.origin.partition,
            offset: self.origin.offset,
            stored: &self.stored,
        }
    }
}

/// Size of key, headers and payload, as the engine counts it.
pub(super) fn stored_size(stored: &Stored) -> Size {
    let headers = stored.headers.iter().map(|(name, value)| name.len().saturating_add(value.len()));
    let rest = [&stored.key, &stored.payload].map(|part| part.as_ref().map_or(0, Bytes::len));
    let bytes: usize = headers.chain(rest).sum();
    Size(u64::try_from(bytes).unwrap_or(u64::MAX))
}
