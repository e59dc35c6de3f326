//! Knows which timers of a scratch state are set, and which is next. It fires none.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_engine::{Instant, TimerEntry, TimerHash};

/// Timers that are set.
#[derive(Debug, Default)]
pub(super) struct Timers {
    set: BTreeMap<TimerHash, (Instant, u64)>,
    /// In the order in which they fire.
    order: BTreeSet<(Instant, u64, TimerHash)>,
    next: u64,
}

impl Timers {
    /// Number of the next setting, to be counted on.
    pub(super) fn sequence(&mut self) -> &mut u64 {
        &mut self.next
    }

    /// How many are set.
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.set.len()).unwrap_or(u64::MAX)
    }

    /// All that are set.
    pub(super) fn all(&self) -> Vec<TimerHash> {
        self.set.keys().copied().collect()
    }

    /// A timer is set, or cancelled.
    pub(super) fn set(&mut self, timer: TimerHash, entry: Option<TimerEntry>) {
        if let Some((due, sequence)) = self.set.remove(&timer) {
            self.order.remove(&(due, sequence, timer));
        }
        if let Some(TimerEntry { due, sequence, .. }) = entry {
            self.set.insert(timer, (due, sequence));
            self.order.insert((due, sequence, timer));
        }
    }

    /// Takes the first that is due before `moment`.
    pub(super) fn take_due(&mut self, moment: Instant) -> Option<TimerHash> {
        let (due, _, timer) = *self.order.first()?;
        if due >= moment {
            return None;
        }
        self.set(timer, None);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use gristmill_engine::KeyHash;

    use super::*;

    #[test]
    fn timers_fire_in_order_of_due_time_and_setting() {
        let mut timers = Timers::default();
        for (timer, due, sequence) in [(1, 30, 0), (2, 10, 1), (3, 10, 2), (1, 20, 3)] {
            let (timer, due) = (TimerHash(timer), Instant(due));
            let entry = TimerEntry { timer, key: KeyHash(0), due, sequence };
            timers.set(timer, Some(entry));
        }
        timers.set(TimerHash(3), None);
        assert_eq!(timers.count(), 2);
        for (moment, expected) in
            [(10, None), (11, Some(TimerHash(2))), (20, None), (21, Some(TimerHash(1))), (99, None)]
        {
            assert_eq!(timers.take_due(Instant(moment)), expected, "before {moment}");
        }
    }
}
