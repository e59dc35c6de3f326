//! The inputs of the engine: everything that can happen, one variant each. Owns no behaviour.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::{
    AttemptId, Bytes, CheckpointId, EventRef, Generation, IdHash, Instant, KeyHash, Millis, Offset,
    OffsetRange, PartitionId, Policy, Position, SubscriptionId, TimerHash, TopicId, Version,
};

/// What happened. The driver hands these to [`Engine::step`](crate::Engine::step) one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the line of each variant names its fields")]
pub enum Input {
    /// A subscription exists on this worker from now on, or its policy changed.
    /// `version` is the plugin version in use; a different one arrives by [`Input::Upgraded`].
    Subscribed { subscription: SubscriptionId, policy: Box<Policy>, version: Version },
    /// A partition of a subscription is this worker's, with everything durable about it.
    Assigned(Box<Assignment>),
    /// A partition is to be given back in order: dispatch stops, what runs may finish within
    /// `drain_max`, what is staged is committed, then [`Effect::Released`](crate::Effect) follows.
    Revoked { subscription: SubscriptionId, partition: PartitionId },
    /// A partition is gone already: running attempts are cancelled, what is staged is discarded.
    Lost { subscription: SubscriptionId, partition: PartitionId },
    /// A record was read. Offsets of one topic and partition rise within a generation.
    Fetched(Fetched),
    /// Reading has come to `end`: every record below it was handed over. What else lies there,
    /// such as the end of a transaction, is no event, and progress goes past it.
    Reached { subscription: SubscriptionId, generation: Generation, end: Position },
    /// An attempt ended. An attempt that was cancelled may still end; that is ignored.
    Finished { attempt: AttemptId, outcome: Outcome },
    /// The committing checkpoint is durable.
    Committed { checkpoint: CheckpointId },
    /// The committing checkpoint will never be durable. Everything built on it is undone: each
    /// partition with anything staged is rewound by [`Effect::Rewind`](crate::Effect).
    Aborted { checkpoint: CheckpointId },
    /// A new plugin version is ready. It takes over at the next checkpoint boundary; attempts
    /// already running finish on the old one.
    Upgraded { subscription: SubscriptionId, version: Version },
    /// The operator stops a subscription: nothing is dispatched, running attempts finish.
    Paused { subscription: SubscriptionId },
    /// The operator starts it again. `ends` are the ends of its topics now: overdue timers are
    /// held until these have been read. Lanes that wait for an operator become due.
    Resumed { subscription: SubscriptionId, ends: Vec<Position> },
    /// The answer to [`Effect::Probe`](crate::Effect): where the topics of the subscription end
    /// now. Overdue timers are held until these have been read.
    Probed { subscription: SubscriptionId, ends: Vec<Position> },
    /// It is known how far these places must be read before overdue timers may fire, where that
    /// was not known when they were assigned.
    Ends { subscription: SubscriptionId, ends: Vec<Position> },
    /// Storage is short (`true`) or has room again (`false`): no dispatch while short.
    StorageLow(bool),
    /// Time passed; due at [`Engine::next_deadline`](crate::Engine::next_deadline), harmless else.
    Deadline,
    /// The host stops: dispatch ends, running attempts get `drain_max`, everything staged is
    /// committed, then [`Effect::Drained`](crate::Effect) follows.
    Drain,
}

/// A partition of a subscription with everything durable about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The partition number, in all of the subscription's topics that have it.
    pub partition: PartitionId,
    /// Greater than that of any former assignment of this partition on this worker. What is
    /// durable is loaded after the end of every checkpoint that had anything of that one.
    pub generation: Generation,
    /// One cursor per topic.
    pub cursors: Vec<Cursor>,
    /// Durably parked lanes, events in lane order.
    pub parked: Vec<ParkedLane>,
    /// Durable timers, any order.
    pub timers: Vec<TimerEntry>,
}

/// Where a subscription stands in one topic partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The topic.
    pub topic: TopicId,
    /// Tells one life of a topic name from the next: a re-created topic has another.
    pub incarnation: u128,
    /// First offset still held by the topic.
    pub start: Offset,
    /// Offset after the last record at the time of assignment; overdue timers wait for it. The
    /// greatest offset where it is not known yet: [`Input::Ends`] tells it.
    pub end: Offset,
    /// Offset the group committed, where the backend keeps that apart (Kafka) or an operator set
    /// it. Below `stored.next` it begins a new epoch.
    pub committed: Option<Offset>,
    /// Offset to begin at when there is neither `stored` nor `committed`.
    pub initial: Offset,
    /// Progress of the last checkpoint, where there is one.
    pub stored: Option<StoredProgress>,
}

/// Progress as a checkpoint stored it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProgress {
    /// Incarnation of the topic it speaks of.
    pub incarnation: u128,
    /// Counts resets, from 0.
    pub epoch: u32,
    /// Offset the epoch began at; older epochs' marks at or beyond it are void.
    pub epoch_start: Offset,
    /// Every offset below is finished.
    pub next: Offset,
    /// Finished offsets above `next`: ascending, disjoint, not adjacent.
    pub finished: Vec<OffsetRange>,
}

/// One parked lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedLane {
    /// The lane's key.
    pub key: KeyHash,
    /// Its events in order, first the one that failed.
    pub events: Vec<ParkedEvent>,
}

/// An event in durable parking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedEvent {
    /// Place in the lane; rises.
    pub sequence: u64,
    /// The event.
    pub event: EventRef,
    /// Counted attempts so far.
    pub attempts: u32,
    /// When it first failed, if it did.
    pub first_failure: Option<Instant>,
    /// When it may run again.
    pub due: Instant,
    /// Size of key, headers and payload.
    pub size: Bytes,
    /// Its business id, if it has one.
    pub id: Option<IdHash>,
    /// True for a redriven dead letter, which bypasses the mark.
    pub redriven: bool,
}

/// A durable timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerEntry {
    /// The timer.
    pub timer: TimerHash,
    /// Its lane.
    pub key: KeyHash,
    /// When it fires.
    pub due: Instant,
    /// Number of its setting; ties of `due` fire in this order.
    pub sequence: u64,
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The subscription it was read for.
    pub subscription: SubscriptionId,
    /// Generation of the assignment it was read under; a stale one is dropped and counted.
    pub generation: Generation,
    /// Where it stands.
    pub position: Position,
    /// Its key; `None` for a null key.
    pub key: Option<KeyHash>,
    /// Size of key, headers and payload.
    pub size: Bytes,
    /// Its business id, if it has one.
    pub id: Option<IdHash>,
    /// The durable mark of `id`, looked up after the last [`Input::Committed`] was handed over
    /// and before any other: no commit may lie between look-up and this input.
    pub mark: Option<Mark>,
    /// True for a redriven dead letter: the mark is bypassed once.
    pub redriven: bool,
    /// What the decoder made of it.
    pub verdict: Verdict,
}

/// What envelope, filter and schema say of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the handler's.
    Accepted,
    /// The subscription's filter does not want it.
    Filtered,
    /// The envelope or schema does not hold; it becomes a dead letter without a call.
    Invalid,
    /// It belongs to another partition: the driver forwards it there, and it is finished here.
    Forwarded,
}

/// A durable dedupe mark: an event of this id reached a terminal outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Where the marked event stood.
    pub position: Position,
    /// Epoch of that topic partition when it was marked.
    pub epoch: u32,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The handler succeeded; its effects are held by the driver under the attempt's id.
    Succeeded {
        /// Timers set and cancelled, in call order.
        timers: Vec<TimerChange>,
        /// Size of all effects.
        size: Bytes,
    },
    /// The handler failed; its effects are void.
    Failed {
        /// Why.
        class: FailureClass,
        /// Delay the handler asked for; capped by policy.
        retry_after: Option<Millis>,
    },
    /// The driver cancelled it on [`Effect::Cancel`](crate::Effect); not an attempt.
    Cancelled,
}

/// A change of the lane's timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimerChange {
    /// Sets, or overwrites, a timer.
    Set {
        /// The timer.
        timer: TimerHash,
        /// When it fires.
        due: Instant,
    },
    /// Cancels a timer, if it is set.
    Cancel {
        /// The timer.
        timer: TimerHash,
    },
}

/// Why an attempt failed, or an event could not be attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureClass {
    /// The handler asked to be tried again.
    Retryable,
    /// The handler rejected the event.
    Rejected,
    /// The envelope or schema failed before the call, or a stateful event has no key.
    Invalid,
    /// An emission was refused or undeliverable and the handler did not deal with it.
    Output,
    /// The guest trapped.
    Trap,
    /// The deadline or the fuel was spent.
    Timeout,
    /// The memory limit was hit.
    Memory,
    /// Store, broker or a declared dependency is unavailable. Unlimited and not counted.
    Infrastructure,
}
