//! Owns what the partitions of one subscription share: policy, version, ready lanes, counts. It
//! never decides about a single event.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::breaker::Breaker;
use crate::guard::Guard;
use crate::pace::Pace;
use crate::partition::Partition;
use crate::worker::count;
use crate::{Figures, Generation, Instant, KeyHash, PartitionId, Policy, SubscriptionId, Version};

/// One subscription on this worker.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    pub(crate) desk: Desk,
    pub(crate) partitions: BTreeMap<PartitionId, Partition>,
    /// Greatest generation each partition was ever assigned under.
    pub(crate) generations: BTreeMap<PartitionId, Generation>,
}

/// What the partitions of one subscription share.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    pub(crate) id: SubscriptionId,
    pub(crate) policy: Box<Policy>,
    pub(crate) version: Version,
    pub(crate) is_paused: bool,
    pub(crate) breaker: Breaker,
    pub(crate) guard: Guard,
    pub(crate) pace: Pace,
    /// Lanes whose head may run, in order. A lane that is not ready any more is passed over.
    pub(crate) ready: VecDeque<(PartitionId, KeyHash)>,
    /// Lanes whose head may run, but can neither fall back nor be attempted now.
    pub(crate) held: Vec<(PartitionId, KeyHash)>,
    /// Whether it is in the worker's rotation.
    pub(crate) is_enrolled: bool,
    /// Attempts running.
    pub(crate) running: u64,
    /// Lanes that wait for a moment.
    pub(crate) asleep: u64,
    /// Timers set.
    pub(crate) timers: u64,
}

impl Desk {
    /// Whether the head of one more lane may have its turn, as far as this subscription is
    /// concerned.
    pub(crate) fn may_run(&self) -> bool {
        let has_room = self.running < u64::from(self.policy.concurrency) && self.breaker.has_room();
        !self.is_paused && !self.ready.is_empty() && (has_room || self.falls_back())
    }

    /// No lane of a partition has its turn any more.
    pub(crate) fn forget(&mut self, partition: PartitionId) {
        self.ready.retain(|(of, _)| *of != partition);
        self.held.retain(|(of, _)| *of != partition);
    }

    /// When the next attempt may start, if it may not now.
    pub(crate) fn pace(&mut self, now: Instant) -> Option<Instant> {
        if self.falls_back() {
            return None;
        }
        let due = self.pace.next(now, self.policy.rate?);
        (due > now).then_some(due)
    }

    /// Joins the rotation when there is something to run and it may.
    pub(crate) fn enroll(&mut self, rotation: &mut VecDeque<SubscriptionId>) {
        if !self.is_enrolled && self.may_run() {
            self.is_enrolled = true;
            rotation.push_back(self.id);
        }
    }
}

impl Subscription {
    pub(crate) fn new(id: SubscriptionId, policy: Box<Policy>, version: Version) -> Self {
        let desk = Desk {
            id,
            policy,
            version,
            is_paused: false,
            breaker: Breaker::default(),
            guard: Guard::default(),
            pace: Pace::default(),
            ready: VecDeque::new(),
            held: Vec::new(),
            is_enrolled: false,
            running: 0,
            asleep: 0,
            timers: 0,
        };
        Self { desk, partitions: BTreeMap::new(), generations: BTreeMap::new() }
    }

    /// What is held now.
    pub(crate) fn figures(&self) -> Figures {
        let mut figures = Figures {
            events_in_flight: self.desk.running,
            retries_scheduled: self.desk.asleep,
            timers_pending: self.desk.timers,
            circuit: self.desk.breaker.circuit(),
            ..Figures::default()
        };
        for partition in self.partitions.values() {
            let book = &partition.book;
            let active = count(partition.lanes.len()).saturating_sub(book.lanes_parked);
            figures.lanes_active = figures.lanes_active.saturating_add(active);
            figures.lanes_parked = figures.lanes_parked.saturating_add(book.lanes_parked);
            let staged = book.staged_events.saturating_add(book.committing_events);
            figures.outcomes_uncommitted = figures.outcomes_uncommitted.saturating_add(staged);
            figures.parked_events = figures.parked_events.saturating_add(book.parked_events);
            let oldest = book.oldest.first().map(|(first_failure, _)| *first_failure);
            figures.oldest_parked = figures.oldest_parked.into_iter().chain(oldest).min();
        }
        figures
    }
}
