//! Decides whose turn it is: subscriptions in rotation, the ready lanes of each in order. It
//! never runs anything.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::dedupe::Claim;
use crate::fetch::foregone;
use crate::lane::{Event, State};
use crate::partition::Partition;
use crate::settle::Ending;
use crate::subscription::Subscription;
use crate::worker::{Alarm, Running, Scope, Turn, Worker};
use crate::{
    AttemptId, Effect, Engine, EventRef, Instant, KeyHash, Outcome, SubscriptionId, Terminal,
    Violation,
};

/// Lanes of one subscription that have their turn one after the other, before it is that of the
/// next subscription. What its handler needs of memory is near then: where all subscriptions had a
/// backlog and took turns event by event, each event took half as long again (measured: ADR
/// `2026-11-30-a-host-that-falls-behind`).
const TURN: u32 = 16;

impl Engine {
    /// Starts what may be started.
    pub(crate) fn dispatch(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        while self.worker.is_open() && self.worker.has_room() {
            let Some(id) = self.worker.rotation.pop_front() else { return };
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                subscription.take_turn((id, &mut self.worker), now, effects);
            }
        }
    }

    /// An attempt ended.
    pub(crate) fn finished(
        &mut self,
        now: Instant,
        (attempt, outcome): (AttemptId, Outcome),
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        if !self.worker.has_issued(attempt) {
            return Err(Violation { what: "an attempt that was never started finished" });
        }
        let Some(running) = self.worker.running.get(&attempt).copied() else { return Ok(()) };
        self.visit(now, effects, running.place, |partition, scope| {
            partition.book.running.remove(&attempt);
            let is_probe = scope.desk.is_probe(attempt);
            scope.note_attempt(attempt, running.is_parked, &outcome);
            scope.end_attempt(attempt);
            partition.finished(scope, (running.lane, is_probe), attempt, outcome);
        });
        Ok(())
    }
}

impl Subscription {
    /// Gives some of its ready lanes their turn, and puts it in line again if there are more. A
    /// turn that the worker has no room for goes on as soon as it has.
    fn take_turn(
        &mut self,
        (id, worker): (SubscriptionId, &mut Worker),
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let mut left = worker.turn.take().filter(|turn| turn.of == id).map_or(TURN, |it| it.left);
        while left > 0 && worker.is_open() && worker.has_room() && self.desk.may_run() {
            if let Some(due) = self.desk.pace(now) {
                // It stays enrolled: nobody else puts it in line before.
                worker.alarms.insert((due, Alarm::Pace(id)));
                return;
            }
            let Some((partition, key)) = self.desk.ready.pop_front() else { break };
            if let Some(partition) = self.partitions.get_mut(&partition) {
                let (effects, worker) = (&mut *effects, &mut *worker);
                let mut scope = Scope { now, effects, worker, desk: &mut self.desk };
                partition.run(&mut scope, key);
            }
            left = left.saturating_sub(1);
        }
        self.desk.is_enrolled = left > 0 && self.desk.may_run();
        if self.desk.is_enrolled {
            worker.rotation.push_front(id);
            worker.turn = Some(Turn { of: id, left });
        }
        self.desk.enroll(&mut worker.rotation);
    }
}

impl Partition {
    /// Gives the head of a lane its turn.
    pub(crate) fn run(&mut self, scope: &mut Scope<'_>, key: KeyHash) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if lane.state != State::Ready {
            return;
        }
        if lane.is_unsaved(&scope.worker.checkpoints) {
            lane.state = State::Unsaved;
            self.book.unsaved.insert(key);
            return;
        }
        lane.state = State::Idle;
        let Some((head, parked)) = lane.head() else {
            self.advance(scope, key);
            return;
        };
        if let (EventRef::Timer { timer, sequence, .. }, None) = (head.origin, parked) {
            if !self.timers.stands(timer, sequence) {
                lane.queue.pop_front();
                self.withdraw_timer(scope, timer, sequence);
                self.advance(scope, key);
                return;
            }
            if self.book.behind > 0 && is_fresh(head) {
                self.withdraw_timers(scope, key);
                self.advance(scope, key);
                return;
            }
        }
        let claim = match head.id {
            Some(id) => self.ids.claim(id, key, head.redriven),
            None => Claim::Granted,
        };
        match (claim, foregone(head.kind)) {
            (Claim::Busy, _) => {
                if let Some(id) = head.id {
                    lane.state = State::Waiting(id);
                }
            }
            (Claim::Settled, _) => {
                self.settle_head(scope, key, Ending::of(Terminal::Duplicate));
                self.advance(scope, key);
            }
            (Claim::Granted, Some(Ok(outcome))) => {
                let size = head.size;
                self.settle_head(scope, key, Ending::without_attempt(outcome, size));
                self.advance(scope, key);
            }
            (Claim::Granted, Some(Err(class))) => self.give_up(scope, key, class),
            (Claim::Granted, None) if scope.desk.falls_back() => self.fall_back(scope, key),
            (Claim::Granted, None) => self.invoke(scope, key),
        }
    }

    /// The breaker is open: a record goes elsewhere. A timer, which is no record, what has its
    /// place in parking, and what was driven again to be handled here wait for the breaker, and
    /// what is behind them with them.
    fn fall_back(&mut self, scope: &mut Scope<'_>, key: KeyHash) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let Some((head, parked)) = lane.head() else { return };
        let is_timer = matches!(head.origin, EventRef::Timer { .. });
        if parked.is_some() || is_timer || head.redriven {
            lane.state = State::Ready;
            scope.desk.held.push((self.book.place.1, key));
            return;
        }
        let size = head.size;
        self.settle_head(scope, key, Ending::without_attempt(Terminal::FellBack, size));
        self.advance(scope, key);
    }

    /// Takes all timers out of a lane that have not run yet: were the later ones left, they would
    /// overtake the earlier.
    fn withdraw_timers(&mut self, scope: &mut Scope<'_>, key: KeyHash) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let is_held =
            |event: &Event| matches!(event.origin, EventRef::Timer { .. }) && is_fresh(event);
        let (held, kept) = core::mem::take(&mut lane.queue).into_iter().partition(is_held);
        lane.queue = kept;
        let held: VecDeque<Event> = held;
        for event in held {
            if let EventRef::Timer { timer, sequence, .. } = event.origin {
                self.withdraw_timer(scope, timer, sequence);
            }
        }
    }

    fn invoke(&mut self, scope: &mut Scope<'_>, key: KeyHash) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let Some((head, parked)) = lane.head() else { return };
        let attempt = scope.worker.next_attempt();
        let effect = Effect::Invoke {
            attempt,
            subscription: self.book.place.0,
            partition: self.book.place.1,
            key: head.key,
            event: head.origin,
            parked,
            number: head.attempts.saturating_add(1),
            version: scope.desk.version,
        };
        if let Some(place) = lane.parking.as_mut().and_then(|it| it.events.front_mut()) {
            place.is_loaded = true;
            self.book.loaded.insert(place.event.origin);
        }
        lane.state = State::Running(attempt);
        self.book.running.insert(attempt);
        let running = Running { place: self.book.place, lane: key, is_parked: parked.is_some() };
        scope.worker.running.insert(attempt, running);
        scope.desk.running = scope.desk.running.saturating_add(1);
        scope.desk.breaker.begin(attempt);
        scope.desk.pace.spend();
        scope.push(effect);
    }

    fn finished(
        &mut self,
        scope: &mut Scope<'_>,
        (key, is_probe): (KeyHash, bool),
        attempt: AttemptId,
        outcome: Outcome,
    ) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.state = State::Idle;
        match outcome {
            Outcome::Cancelled => self.book.put(scope, key, lane, State::Ready),
            Outcome::Failed { class, retry_after } => {
                self.fail(scope, (key, is_probe), class, retry_after);
            }
            Outcome::Succeeded { timers, size } => {
                let Some((head, parked)) = lane.head() else { return };
                let (of, origin) = (head.key, head.origin);
                // The timer that ran goes before its own attempt's changes.
                if let (EventRef::Timer { timer, sequence, .. }, None) = (origin, parked) {
                    self.forget_timer(scope, timer, sequence);
                }
                let timer_sequence = self.change_timers(scope, of, &timers);
                let outcome = Terminal::Succeeded { attempt, timer_sequence };
                self.settle_head(scope, key, Ending { outcome, size });
                self.advance(scope, key);
            }
        }
    }
}

fn is_fresh(event: &Event) -> bool {
    event.attempts == 0 && event.outages == 0
}

#[cfg(test)]
mod tests;
