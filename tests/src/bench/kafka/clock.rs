//! Owns the one clock of a measurement: it never goes back, and tells the same time as the broker
//! that stamps records on this machine.

use std::time::{Duration, Instant, SystemTime};

/// A clock. Copies tell the same.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    base: Instant,
    wall: u64,
}

impl Clock {
    /// Takes the wall clock's time once; from then on only the monotonic clock counts.
    #[expect(clippy::disallowed_methods, reason = "the broker's stamps are the wall clock's")]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { base: Instant::now(), wall: nanos(wall) }
    }

    /// Nanoseconds since 1970.
    pub fn now(self) -> u64 {
        self.wall + nanos(self.base.elapsed())
    }
}

/// Seconds between two moments; 0 where the second is not later.
pub fn seconds(from: u64, to: u64) -> f64 {
    Duration::from_nanos(to.saturating_sub(from)).as_secs_f64()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
