//! Owns the state of one worker and hands each input to the module that decides about it. It
//! never does anything itself: what must be done is appended as effects.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::partition::Partition;
use crate::subscription::Subscription;
use crate::worker::{Alarm, Place, Scope, Worker};
use crate::{
    Effect, EventRef, Fetched, Figures, Generation, Input, Instant, Observation, Policy, Position,
    SubscriptionId, Version, Violation, WorkerPolicy,
};

/// The state machine of one worker.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) worker: Worker,
    pub(crate) subscriptions: BTreeMap<SubscriptionId, Subscription>,
    /// The greatest moment seen.
    now: Instant,
}

impl Engine {
    /// An engine without subscriptions. `seed` feeds the jitter of retries and nothing else:
    /// the same seed and inputs give the same effects.
    pub fn new(policy: WorkerPolicy, seed: u64) -> Self {
        let worker = Worker::new(policy, seed);
        Self { worker, subscriptions: BTreeMap::new(), now: Instant(0) }
    }

    /// Takes one input at time `now` and appends what must be done to `effects`, in order.
    /// A `now` before that of an earlier call counts as that.
    ///
    /// # Errors
    ///
    /// [`Violation`] when the input breaks the protocol. The engine must not be used afterwards:
    /// stop the process and recover from the last checkpoint.
    pub fn step(
        &mut self,
        now: Instant,
        input: Input,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        self.now = self.now.max(now);
        let now = self.now;
        // The input first: what it settles or cancels must not be overtaken by an alarm.
        self.take(now, input, effects)?;
        self.ring(now, effects);
        self.dispatch(now, effects);
        self.close_checkpoint(now, effects);
        self.report_rest(now, effects);
        Ok(())
    }

    /// When the engine next wants [`Input::Deadline`], if ever. A moment in the past means at
    /// once.
    pub fn next_deadline(&self) -> Option<Instant> {
        let alarm = self.worker.alarms.first().map(|(due, _)| *due);
        alarm.into_iter().chain(self.worker.commit_due()).min()
    }

    /// What is held for `subscription` now; all zero for an unknown one. Costs its number of
    /// partitions.
    pub fn figures(&self, subscription: SubscriptionId) -> Figures {
        self.subscriptions.get(&subscription).map(Subscription::figures).unwrap_or_default()
    }

    /// Whether nothing is running, ready to run, staged or committing. Events that wait for
    /// their next attempt, timers that are not due and paused subscriptions do not count.
    pub fn is_idle(&self) -> bool {
        let Worker { running, rotation, checkpoints, .. } = &self.worker;
        running.is_empty()
            && rotation.is_empty()
            && checkpoints.is_empty()
            && checkpoints.committing.is_none()
    }

    /// Timers set for `subscription`, those staged and not yet durable included. Costs O(1).
    pub fn timer_count(&self, subscription: SubscriptionId) -> u64 {
        self.subscriptions.get(&subscription).map_or(0, |found| found.desk.timers)
    }

    fn take(
        &mut self,
        now: Instant,
        input: Input,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        match input {
            Input::Fetched(fetched) => self.fetched(now, &fetched, effects)?,
            Input::Reached { subscription, generation, end } => {
                self.reached(now, (subscription, generation), end, effects)?;
            }
            Input::Finished { attempt, outcome } => {
                self.finished(now, (attempt, outcome), effects)?;
            }
            Input::Committed { checkpoint } => self.committed(now, checkpoint, effects)?,
            Input::Aborted { checkpoint } => self.aborted(now, checkpoint, effects)?,
            Input::Subscribed { subscription, policy, version } => {
                self.subscribed(now, subscription, (policy, version), effects);
            }
            Input::Assigned(assignment) => self.assigned(now, *assignment, effects)?,
            Input::Revoked { subscription, partition } => {
                self.revoked(now, (subscription, partition), effects)?;
            }
            Input::Lost { subscription, partition } => {
                self.lost(now, (subscription, partition), effects);
            }
            Input::Upgraded { subscription, version } => {
                self.known(subscription)?;
                self.stage_upgrade(now, subscription, version, effects);
            }
            Input::Paused { subscription } => self.known(subscription)?.desk.is_paused = true,
            Input::Resumed { subscription, ends } => {
                self.known(subscription)?.desk.is_paused = false;
                self.resumed(now, subscription, &ends, effects);
            }
            Input::Ends { subscription, ends } => {
                self.known(subscription)?;
                self.hold_until(subscription, &ends);
                self.visit_all(now, effects, subscription, Partition::watch_timers);
            }
            Input::Probed { subscription, ends } => {
                self.probe(now, subscription, &ends, effects)?;
            }
            Input::StorageLow(is_low) => self.worker.is_storage_low = is_low,
            Input::Deadline => {}
            Input::Drain => self.drain(now),
        }
        Ok(())
    }

    /// Does what has come due.
    fn ring(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        while let Some((due, alarm)) = self.worker.alarms.first().copied() {
            if due > now {
                return;
            }
            match alarm {
                Alarm::Lane(place, key) => {
                    self.visit(now, effects, place, |partition, scope| {
                        partition.advance(scope, key);
                    });
                }
                Alarm::Timers(place) => {
                    self.visit(now, effects, place, |partition, scope| {
                        partition.enter_due_timers(scope);
                    });
                }
                Alarm::Breaker(id) => self.wake_breaker(id, effects),
                Alarm::Pace(id) => self.worker.rotation.push_back(id),
                Alarm::Revoke(place) => self.interrupt(now, Some(place), effects),
                Alarm::Drain => self.interrupt(now, None, effects),
            }
            self.worker.alarms.remove(&(due, alarm));
        }
    }

    fn subscribed(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        (policy, version): (Box<Policy>, Version),
        effects: &mut Vec<Effect>,
    ) {
        match self.subscriptions.get_mut(&id) {
            Some(found) => {
                found.desk.policy = policy;
                self.revise_breaker(id, effects);
            }
            None => {
                self.subscriptions.insert(id, Subscription::new(id, policy, version));
            }
        }
        self.visit_all(now, effects, id, |partition, scope| {
            partition.weigh(scope);
            partition.watch_timers(scope);
        });
    }

    fn resumed(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        ends: &[Position],
        effects: &mut Vec<Effect>,
    ) {
        self.hold_until(id, ends);
        self.visit_all(now, effects, id, |partition, scope| {
            partition.free_stuck(scope);
            partition.watch_timers(scope);
        });
    }

    /// Overdue timers wait until reading has come to these places.
    pub(crate) fn hold_until(&mut self, id: SubscriptionId, ends: &[Position]) {
        for end in ends {
            if let Some(partition) = self.partition_mut((id, end.partition)) {
                partition.hold_until(end);
            }
        }
    }

    fn fetched(
        &mut self,
        now: Instant,
        fetched: &Fetched,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        let subscription = fetched.subscription;
        let found = self.known(subscription)?;
        let partition = fetched.position.partition;
        let assigned = found.partitions.get(&partition).map(|it| it.book.generation);
        let last = found.generations.get(&partition).copied().unwrap_or_default();
        if fetched.generation > last {
            return Err(Violation { what: "a record of a generation never assigned was fetched" });
        }
        if assigned != Some(fetched.generation) {
            let at = fetched.position;
            let present = found.partitions.get(&partition);
            // Read again since under the present assignment, the bytes are wanted.
            let is_held = present.is_some_and(|it| it.has_pending(at.topic, at.offset));
            effects.push(Effect::Observe(Observation::Stale { subscription }));
            if !is_held {
                effects.push(Effect::Release { subscription, event: EventRef::Record(at) });
            }
            return Ok(());
        }
        let place = (subscription, partition);
        self.visit(now, effects, place, |it, scope| it.fetched(scope, fetched)).unwrap_or(Ok(()))
    }

    /// Reading has come to an end; of an older assignment that is no news.
    fn reached(
        &mut self,
        now: Instant,
        (subscription, generation): (SubscriptionId, Generation),
        end: Position,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        self.known(subscription)?;
        self.visit(now, effects, (subscription, end.partition), |partition, scope| {
            if partition.book.generation == generation {
                partition.reached(scope, end);
            }
        });
        Ok(())
    }

    pub(crate) fn known(&mut self, id: SubscriptionId) -> Result<&mut Subscription, Violation> {
        let found = self.subscriptions.get_mut(&id);
        found.ok_or(Violation { what: "an input names an unknown subscription" })
    }

    pub(crate) fn partition_mut(&mut self, place: Place) -> Option<&mut Partition> {
        self.subscriptions.get_mut(&place.0)?.partitions.get_mut(&place.1)
    }

    /// Lets a partition decide, if it is assigned.
    pub(crate) fn visit<R>(
        &mut self,
        now: Instant,
        effects: &mut Vec<Effect>,
        place: Place,
        decide: impl FnOnce(&mut Partition, &mut Scope<'_>) -> R,
    ) -> Option<R> {
        let found = self.subscriptions.get_mut(&place.0)?;
        let partition = found.partitions.get_mut(&place.1)?;
        let (worker, desk) = (&mut self.worker, &mut found.desk);
        Some(decide(partition, &mut Scope { now, effects, worker, desk }))
    }

    /// Lets every partition of a subscription decide; then the subscription may be in line.
    pub(crate) fn visit_all(
        &mut self,
        now: Instant,
        effects: &mut Vec<Effect>,
        id: SubscriptionId,
        mut decide: impl FnMut(&mut Partition, &mut Scope<'_>),
    ) {
        let Some(found) = self.subscriptions.get_mut(&id) else { return };
        let (worker, desk) = (&mut self.worker, &mut found.desk);
        let mut scope = Scope { now, effects, worker, desk };
        for partition in found.partitions.values_mut() {
            decide(partition, &mut scope);
        }
        scope.enroll();
    }
}
