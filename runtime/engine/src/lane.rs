//! Owns one lane: its events in order and what it waits for. It never decides when its head runs.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use crate::checkpoint::Checkpoints;
use crate::parking::Parking;
use crate::{
    AttemptId, Bytes, EventRef, IdHash, Instant, KeyHash, Offset, Order, ParkedEvent, PartitionId,
    Position, TopicId,
};

/// What is to become of an event that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is the handler's.
    Accepted,
    /// It is given up on without a call.
    Invalid,
    /// The filter does not want it.
    Filtered,
    /// A durable mark says that its id is settled.
    Duplicate,
    /// It goes to another partition.
    Forwarded,
}

/// An event that is not finished.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Where it comes from: all the driver needs to find its bytes.
    pub(crate) origin: EventRef,
    pub(crate) kind: Kind,
    pub(crate) key: Option<KeyHash>,
    pub(crate) size: Bytes,
    pub(crate) id: Option<IdHash>,
    pub(crate) epoch: u32,
    pub(crate) redriven: bool,
    /// Counted attempts.
    pub(crate) attempts: u32,
    /// Infrastructure failures in a row.
    pub(crate) outages: u32,
    pub(crate) first_failure: Option<Instant>,
}

impl Event {
    /// A timer that came due.
    pub(crate) fn timer(origin: EventRef, key: KeyHash) -> Self {
        Self {
            origin,
            kind: Kind::Accepted,
            key: Some(key),
            size: Bytes(0),
            id: None,
            epoch: 0,
            redriven: false,
            attempts: 0,
            outages: 0,
            first_failure: None,
        }
    }

    /// An event of the parked lane `key`, as it was stored.
    pub(crate) fn restored(key: KeyHash, epoch: u32, parked: &ParkedEvent) -> Self {
        Self {
            origin: parked.event,
            kind: Kind::Accepted,
            key: Some(key),
            size: parked.size,
            id: parked.id,
            epoch,
            redriven: parked.redriven,
            attempts: parked.attempts,
            outages: 0,
            first_failure: parked.first_failure,
        }
    }
}

/// What a lane waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing, or its partition is being given back.
    Idle,
    /// Its turn.
    Ready,
    /// The attempt of its head.
    Running(AttemptId),
    /// The end of the event that owns this id.
    Waiting(IdHash),
    /// The checkpoint that has the figures of its parked head: a crash before it would forget an
    /// attempt more for each one made.
    Unsaved,
    /// A moment.
    Asleep(Instant),
    /// An operator.
    Stuck,
}

/// The events of one key in one partition.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub(crate) state: State,
    /// Events in memory; behind those in parking.
    pub(crate) queue: VecDeque<Event>,
    /// Events in durable parking.
    pub(crate) parking: Option<Box<Parking>>,
}

impl Lane {
    pub(crate) fn new() -> Self {
        // Most lanes hold one event at a time: a larger first queue costs cache for nothing.
        Self { state: State::Idle, queue: VecDeque::with_capacity(1), parking: None }
    }

    /// The event that runs next, with its place when it is parked.
    pub(crate) fn head(&self) -> Option<(&Event, Option<u64>)> {
        let parked = self.parking.as_ref().and_then(|parking| parking.events.front());
        match parked {
            Some(parked) => Some((&parked.event, Some(parked.sequence))),
            None => self.queue.front().map(|event| (event, None)),
        }
    }

    /// Whether the parked head must wait for the checkpoint that has its figures: it failed since
    /// the last one that is durable.
    pub(crate) fn is_unsaved(&self, checkpoints: &Checkpoints) -> bool {
        let head = self.parking.as_ref().and_then(|parking| parking.events.front());
        head.is_some_and(|head| head.event.attempts > 0 && !checkpoints.is_durable(head.saved_in))
    }

    /// The event that runs next.
    pub(crate) fn head_mut(&mut self) -> Option<&mut Event> {
        let parked = self.parking.as_mut().and_then(|parking| parking.events.front_mut());
        match parked {
            Some(parked) => Some(&mut parked.event),
            None => self.queue.front_mut(),
        }
    }
}

/// The lane of an event: its key, the partition as a whole, or a lane of its own.
///
/// A lane of its own is named by the position, and the partition's by the greatest hash: a keyed
/// 128-bit hash meets neither but by a chance of the same order as two keys' meeting.
///
/// A duplicate or filtered event that cannot be settled at once waits in its lane as well: read
/// again, it may be neither (a topic made anew voids marks, another version filters otherwise), and
/// then nothing after it may have run.
pub(crate) fn lane_of(order: Order, key: Option<KeyHash>, at: Position) -> KeyHash {
    match (order, key) {
        (Order::Key, Some(key)) => key,
        (Order::Partition, _) => WHOLE,
        (Order::Key | Order::None, _) => own_lane(at),
    }
}

/// The lane of what is forwarded from a topic: it stays in order, and nothing that happens to its
/// keys here holds it up.
pub(crate) fn lane_of_forwarded(topic: TopicId) -> KeyHash {
    own_lane(Position { topic, partition: PartitionId(0), offset: Offset(u64::MAX) })
}

/// The lane of a timer set by an event of `key`.
pub(crate) fn lane_of_timer(order: Order, key: KeyHash) -> KeyHash {
    match order {
        Order::Partition => WHOLE,
        Order::Key | Order::None => key,
    }
}

const WHOLE: KeyHash = KeyHash(u128::MAX);
const TOPIC_SPAN: u128 = 1 << 64;

fn own_lane(at: Position) -> KeyHash {
    let topic = u128::from(at.topic.0).saturating_mul(TOPIC_SPAN);
    KeyHash(topic.saturating_add(u128::from(at.offset.0)))
}
