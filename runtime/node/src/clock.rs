//! Owns the host's one wall clock. It never runs backwards: not when the machine's clock is set
//! back, and not across a restart, because the store remembers the last moment a checkpoint saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gristmill_engine::Instant;

/// A non-decreasing clock in Unix milliseconds, shared by all threads of the host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    latest: Arc<AtomicU64>,
}

impl Clock {
    /// A clock that shows at least `floor`.
    pub(crate) fn starting_at(floor: Instant) -> Self {
        Self { latest: Arc::new(AtomicU64::new(floor.0)) }
    }

    /// The present moment, never before one returned earlier.
    pub(crate) fn now(&self) -> Instant {
        let machine = machine_time();
        let latest = self.latest.fetch_max(machine, Ordering::Relaxed);
        Instant(latest.max(machine))
    }
}

fn machine_time() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the clock the others are sent to")]
    let now = std::time::SystemTime::now();
    // A machine set before 1970 counts as 1970: the floor of the last checkpoint then holds.
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_shows_less_than_its_floor_or_an_earlier_reading() {
        let ahead = Instant(machine_time() + 60_000);
        let clock = Clock::starting_at(ahead);
        assert_eq!(clock.now(), ahead);
        assert_eq!(clock.clone().now(), ahead);
    }

    #[test]
    fn follows_the_machine() {
        let before = machine_time();
        assert!(Clock::default().now().0 >= before);
    }
}
