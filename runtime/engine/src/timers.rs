//! Decides when a timer becomes an event: never early, in order, and only after its partition has
//! been read as far as it reached. It never decides when that event runs.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::lane::{Event, lane_of_timer};
use crate::partition::Partition;
use crate::worker::{Alarm, Drain, Scope, count};
use crate::{EventRef, Instant, KeyHash, TimerChange, TimerEntry, TimerHash};

/// The timers of one partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    set: BTreeMap<TimerHash, Timer>,
    /// Those that are not in a lane yet.
    waiting: BTreeSet<(Instant, u64, TimerHash)>,
    sequence_next: u64,
    /// Timers in the queues of lanes, those overwritten since included.
    pub(crate) queued: u64,
    /// When the worker will be woken for the first of them.
    pub(crate) alarm: Option<Instant>,
}

/// A timer that is set.
#[derive(Debug, Clone, Copy)]
struct Timer {
    key: KeyHash,
    due: Instant,
    sequence: u64,
}

impl Timers {
    /// Timers that are set.
    pub(crate) fn count(&self) -> u64 {
        count(self.set.len())
    }

    /// Whether this setting of the timer still stands.
    pub(crate) fn stands(&self, timer: TimerHash, sequence: u64) -> bool {
        self.set.get(&timer).is_some_and(|it| it.sequence == sequence)
    }

    fn insert(&mut self, entry: TimerEntry) {
        let TimerEntry { timer, key, due, sequence } = entry;
        self.remove(timer);
        self.set.insert(timer, Timer { key, due, sequence });
        self.waiting.insert((due, sequence, timer));
        self.reserve(sequence);
    }

    /// Later settings have greater numbers than `sequence`.
    pub(crate) fn reserve(&mut self, sequence: u64) {
        self.sequence_next = self.sequence_next.max(sequence.saturating_add(1));
    }

    fn remove(&mut self, timer: TimerHash) {
        if let Some(former) = self.set.remove(&timer) {
            self.waiting.remove(&(former.due, former.sequence, timer));
        }
    }
}

impl Partition {
    /// Takes over durable timers.
    pub(crate) fn restore_timers(&mut self, scope: &mut Scope<'_>, timers: Vec<TimerEntry>) {
        for entry in timers {
            self.timers.insert(entry);
        }
        // The partition is new: none of these were counted before.
        scope.desk.timers = scope.desk.timers.saturating_add(self.timers.count());
        self.watch_timers(scope);
    }

    /// Applies the changes of a successful attempt. Gives the sequence of the first setting.
    pub(crate) fn change_timers(
        &mut self,
        scope: &mut Scope<'_>,
        key: Option<KeyHash>,
        changes: &[TimerChange],
    ) -> u64 {
        let first = self.timers.sequence_next;
        let before = self.timers.count();
        for change in changes {
            match (*change, key) {
                (TimerChange::Set { timer, due }, Some(key)) => {
                    let sequence = self.timers.sequence_next;
                    self.timers.insert(TimerEntry { timer, key, due, sequence });
                }
                (TimerChange::Cancel { timer }, _) => self.timers.remove(timer),
                // A timer has a key by the contract; the plugin host refuses it otherwise.
                (TimerChange::Set { .. }, None) => {}
            }
        }
        self.recount_timers(scope, before);
        first
    }

    /// A timer's event is terminal or parked: it is deleted unless it was set anew.
    pub(crate) fn forget_timer(&mut self, scope: &mut Scope<'_>, timer: TimerHash, sequence: u64) {
        let before = self.timers.count();
        if self.timers.stands(timer, sequence) {
            self.timers.remove(timer);
        }
        self.recount_timers(scope, before);
    }

    fn recount_timers(&mut self, scope: &mut Scope<'_>, before: u64) {
        let others = scope.desk.timers.saturating_sub(before);
        scope.desk.timers = others.saturating_add(self.timers.count());
        self.watch_timers(scope);
    }

    /// Moves due timers into their lanes, in order of due time and setting.
    pub(crate) fn enter_due_timers(&mut self, scope: &mut Scope<'_>) {
        self.timers.alarm = None;
        while self.may_enter_timers(scope)
            && let Some((due, sequence, timer)) = self.timers.waiting.first().copied()
            && due <= scope.now
        {
            self.timers.waiting.remove(&(due, sequence, timer));
            let Some(key) = self.timers.set.get(&timer).map(|it| it.key) else { continue };
            let event = EventRef::Timer { partition: self.book.place.1, timer, sequence };
            let lane = lane_of_timer(scope.desk.policy.order, key);
            self.enqueue(scope, lane, Event::timer(event, key));
        }
        self.watch_timers(scope);
    }

    /// Takes a timer back out of its lane because reading has to catch up first.
    pub(crate) fn withdraw_timer(
        &mut self,
        scope: &mut Scope<'_>,
        timer: TimerHash,
        sequence: u64,
    ) {
        self.timers.queued = self.timers.queued.saturating_sub(1);
        if let Some(set) = self.timers.set.get(&timer).filter(|it| it.sequence == sequence) {
            self.timers.waiting.insert((set.due, sequence, timer));
        }
        self.watch_timers(scope);
    }

    /// Keeps the alarm in step with the first timer and with whether timers may enter lanes.
    pub(crate) fn watch_timers(&mut self, scope: &mut Scope<'_>) {
        let first = self.timers.waiting.first().map(|(due, _, _)| *due);
        let wanted = first.filter(|_| self.may_enter_timers(scope));
        if wanted == self.timers.alarm {
            return;
        }
        let alarm = Alarm::Timers(self.book.place);
        if let Some(former) = core::mem::replace(&mut self.timers.alarm, wanted) {
            scope.worker.alarms.remove(&(former, alarm));
        }
        if let Some(due) = wanted {
            scope.worker.alarms.insert((due, alarm));
        }
    }

    fn may_enter_timers(&self, scope: &Scope<'_>) -> bool {
        self.book.behind == 0
            && !self.book.is_revoking
            && !scope.desk.is_paused
            && !scope.desk.breaker.is_open()
            && scope.worker.drain == Drain::No
            && self.timers.queued < u64::from(scope.desk.policy.window_events)
    }
}

#[cfg(test)]
mod tests;
