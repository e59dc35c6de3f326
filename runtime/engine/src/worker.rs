//! Owns what all subscriptions of a worker share: running attempts, alarms, whose turn it is. It
//! never decides about a single event.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::checkpoint::Checkpoints;
use crate::retry::Jitter;
use crate::subscription::Desk;
use crate::{
    AttemptId, Effect, Instant, KeyHash, Observation, PartitionId, SubscriptionId, WorkerPolicy,
};

/// A partition of a subscription: what is assigned and taken away as one.
pub(crate) type Place = (SubscriptionId, PartitionId);

/// Something that happens at a known moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    /// The head of a lane may run again.
    Lane(Place, KeyHash),
    /// The first timer of a partition is due.
    Timers(Place),
    /// The breaker of a subscription was open for long enough.
    Breaker(SubscriptionId),
    /// A subscription may start an attempt again, as often as it may.
    Pace(SubscriptionId),
    /// A revoked partition had its time.
    Revoke(Place),
    /// Draining had its time.
    Drain,
}

/// Where a running attempt belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running {
    pub(crate) place: Place,
    pub(crate) lane: KeyHash,
    /// Whether its event is in durable parking.
    pub(crate) is_parked: bool,
}

/// How far the host's stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drain {
    /// Nobody asked for it.
    No,
    /// Nothing is dispatched any more.
    Draining,
    /// It was reported as done.
    Drained,
}

/// What is left of a subscription's turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) of: SubscriptionId,
    /// Lanes.
    pub(crate) left: u32,
}

/// What all subscriptions of a worker share.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) policy: WorkerPolicy,
    pub(crate) jitter: Jitter,
    pub(crate) running: BTreeMap<AttemptId, Running>,
    pub(crate) alarms: BTreeSet<(Instant, Alarm)>,
    /// Subscriptions that have something to run and may, in turn.
    pub(crate) rotation: VecDeque<SubscriptionId>,
    /// A turn that is not over: its subscription is the first in line.
    pub(crate) turn: Option<Turn>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) is_storage_low: bool,
    pub(crate) drain: Drain,
    /// Revoked partitions that are not released yet.
    pub(crate) revoking: BTreeSet<Place>,
    attempt_last: AttemptId,
}

impl Worker {
    pub(crate) fn new(policy: WorkerPolicy, seed: u64) -> Self {
        Self {
            policy,
            jitter: Jitter::new(seed),
            running: BTreeMap::new(),
            alarms: BTreeSet::new(),
            rotation: VecDeque::new(),
            turn: None,
            checkpoints: Checkpoints::new(),
            is_storage_low: false,
            drain: Drain::No,
            revoking: BTreeSet::new(),
            attempt_last: AttemptId(0),
        }
    }

    /// The number of a new attempt.
    pub(crate) fn next_attempt(&mut self) -> AttemptId {
        self.attempt_last = AttemptId(self.attempt_last.0.saturating_add(1));
        self.attempt_last
    }

    /// Whether an attempt of this number was ever started.
    pub(crate) fn has_issued(&self, attempt: AttemptId) -> bool {
        attempt.0 != 0 && attempt <= self.attempt_last
    }

    /// Whether events may be settled or attempted now, whatever their subscription.
    pub(crate) fn is_open(&self) -> bool {
        !self.is_storage_low && self.drain == Drain::No && !self.checkpoints.is_choked(&self.policy)
    }

    /// Whether one more attempt may run.
    pub(crate) fn has_room(&self) -> bool {
        count(self.running.len()) < u64::from(self.policy.attempts_max)
    }
}

/// What a decision about one partition may touch besides it.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) now: Instant,
    pub(crate) effects: &'a mut Vec<Effect>,
    pub(crate) worker: &'a mut Worker,
    pub(crate) desk: &'a mut Desk,
}

impl Scope<'_> {
    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn observe(&mut self, observation: Observation) {
        self.effects.push(Effect::Observe(observation));
    }

    /// Puts the subscription in line when it has something to run and may.
    pub(crate) fn enroll(&mut self) {
        self.desk.enroll(&mut self.worker.rotation);
    }

    /// An attempt of this subscription ended or was cancelled.
    pub(crate) fn end_attempt(&mut self, attempt: AttemptId) {
        if self.worker.running.remove(&attempt).is_some() {
            self.desk.running = self.desk.running.saturating_sub(1);
            self.desk.breaker.forget(attempt);
            self.enroll();
        }
    }
}

/// A collection's length as a number of the state.
pub(crate) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
