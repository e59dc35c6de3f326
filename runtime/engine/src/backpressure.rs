//! Decides when reading of a partition pauses and goes on: by events and bytes in memory, and by
//! parked lanes that are full. It never pauses per event: what was prefetched would be lost.

use crate::partition::Partition;
use crate::worker::Scope;
use crate::{Bytes, Effect, Policy};

/// Records of one partition in memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Window {
    events: u64,
    bytes: Bytes,
    /// Full until half of it is free.
    is_full: bool,
    /// Parked lanes that hold what they may.
    pub(crate) lanes_full: u32,
    is_paused: bool,
}

impl Window {
    pub(crate) fn add(&mut self, size: Bytes) {
        self.events = self.events.saturating_add(1);
        self.bytes = self.bytes.plus(size);
    }

    pub(crate) fn remove(&mut self, size: Bytes) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.minus(size);
    }

    fn weigh(&mut self, policy: &Policy) {
        let events_max = u64::from(policy.window_events);
        if self.events >= events_max || self.bytes >= policy.window_bytes {
            self.is_full = true;
        } else if self.events.saturating_mul(2) <= events_max
            && self.bytes.plus(self.bytes) <= policy.window_bytes
        {
            self.is_full = false;
        }
    }
}

impl Partition {
    /// Pauses or resumes reading when a bound was crossed.
    pub(crate) fn weigh(&mut self, scope: &mut Scope<'_>) {
        let window = &mut self.book.window;
        window.weigh(&scope.desk.policy);
        let wants_pause = window.is_full || window.lanes_full > 0;
        if wants_pause == window.is_paused {
            return;
        }
        window.is_paused = wants_pause;
        let (subscription, partition) = self.book.place;
        for topic in self.cursors.keys().copied() {
            scope.push(if wants_pause {
                Effect::PauseFetch { subscription, topic, partition }
            } else {
                Effect::ResumeFetch { subscription, topic, partition }
            });
        }
    }
}

#[cfg(test)]
mod tests;
