//! Decides what becomes of an event whose chances are used up: dead letter, pause or discard. It
//! never decides that they are.

use crate::lane::State;
use crate::partition::Partition;
use crate::settle::Ending;
use crate::worker::Scope;
use crate::{Bytes, FailureClass, Instant, KeyHash, Observation, OnDead, OnExhausted, Terminal};

impl Partition {
    /// Gives up on the head of a lane, as the policy has it for `class`.
    pub(crate) fn give_up(&mut self, scope: &mut Scope<'_>, key: KeyHash, class: FailureClass) {
        let policy = &scope.desk.policy;
        let by_class = policy.classes.get(&class).and_then(|differs| differs.on_exhausted);
        let on_dead = policy.on_dead;
        match by_class.unwrap_or(policy.on_exhausted) {
            OnExhausted::DeadLetter => self.bury(scope, key, class, on_dead),
            OnExhausted::PauseKey => self.pause_key(scope, key),
            OnExhausted::PauseSubscription => self.pause_all(scope, key, class),
            OnExhausted::Discard => {
                let Some((attempts, size, _)) = self.autopsy(scope, key) else { return };
                let outcome = Terminal::Discarded { class, attempts };
                self.settle_head(scope, key, Ending { outcome, size });
                self.advance(scope, key);
            }
        }
    }

    fn bury(&mut self, scope: &mut Scope<'_>, key: KeyHash, class: FailureClass, on_dead: OnDead) {
        let Some((attempts, size, first_failure)) = self.autopsy(scope, key) else { return };
        let last_failure = scope.now;
        let outcome = Terminal::DeadLettered { class, attempts, first_failure, last_failure };
        self.settle_head(scope, key, Ending { outcome, size });
        match on_dead {
            OnDead::Continue => self.advance(scope, key),
            OnDead::BlockKey => self.block(scope, key),
        }
    }

    fn autopsy(&self, scope: &Scope<'_>, key: KeyHash) -> Option<(u32, Bytes, Instant)> {
        let (event, _) = self.lanes.get(&key)?.head()?;
        Some((event.attempts, event.size, event.first_failure.unwrap_or(scope.now)))
    }

    fn pause_key(&mut self, scope: &mut Scope<'_>, key: KeyHash) {
        let head = self.lanes.get(&key).and_then(|lane| lane.head());
        match head {
            Some((_, Some(_))) => self.reschedule(scope, key, Instant::NEVER),
            Some((_, None)) => self.park(scope, key, Instant::NEVER),
            None => {}
        }
    }

    fn pause_all(&mut self, scope: &mut Scope<'_>, key: KeyHash, class: FailureClass) {
        let subscription = self.book.place.0;
        scope.desk.is_paused = true;
        scope.observe(Observation::SubscriptionPaused { subscription, class });
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        match lane.head() {
            Some((_, Some(_))) => self.reschedule(scope, key, Instant::NEVER),
            _ => self.book.put(scope, key, lane, State::Stuck),
        }
    }

    /// An operator resumed the subscription: what waited for that is due, with all its chances.
    pub(crate) fn free_stuck(&mut self, scope: &mut Scope<'_>) {
        for key in core::mem::take(&mut self.book.stuck) {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            let is_parked = matches!(lane.head(), Some((_, Some(_))));
            if let Some(head) = lane.head_mut() {
                head.attempts = 0;
                head.outages = 0;
                head.first_failure = None;
            }
            if is_parked {
                self.reschedule(scope, key, scope.now);
            }
            self.unpark_empty(scope, key);
            self.advance(scope, key);
        }
    }
}

#[cfg(test)]
mod tests;
