//! Decides whether attempts start as often as they may. It drops nothing: who comes too early
//! waits.

use crate::Instant;

/// Parts of one attempt that the level is counted in: millionths, so that a rate of thousandths
/// per second fills a whole number of them each millisecond.
const ATTEMPT: u64 = 1_000_000;
/// What may be saved up, in milliseconds: a tenth of a second's attempts, and one at least.
const SAVED: u64 = 100;

/// The attempts that may start now, when a rate is set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    level: u64,
    at: Option<Instant>,
}

impl Pace {
    /// When one may start, at `rate` thousandths of an attempt per second.
    pub(crate) fn next(&mut self, now: Instant, rate: u64) -> Instant {
        let saved = rate.saturating_mul(SAVED).max(ATTEMPT);
        // At first everything is saved up.
        let passed = self.at.map_or(saved, |at| now.since(at).0.saturating_mul(rate));
        // What a moment brings beyond an attempt is not lost, or attempts would fall behind.
        self.level = self.level.saturating_add(passed).min(saved.saturating_add(rate));
        self.at = Some(now);
        let missing = ATTEMPT.saturating_sub(self.level);
        now.after(crate::Millis(missing.div_ceil(rate.max(1))))
    }

    /// One starts.
    pub(crate) fn spend(&mut self) {
        self.level = self.level.saturating_sub(ATTEMPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moments at which attempts start, one after the other as early as may be.
    fn starts(rate: u64, count: usize) -> alloc::vec::Vec<u64> {
        let (mut pace, mut now) = (Pace::default(), Instant(10_000));
        let mut starts = alloc::vec::Vec::new();
        while starts.len() < count {
            now = pace.next(now, rate);
            if pace.next(now, rate) == now {
                pace.spend();
                starts.push(now.0 - 10_000);
            }
        }
        starts
    }

    #[test]
    fn a_rate_is_kept_and_a_tenth_of_a_second_is_saved() {
        assert_eq!(starts(1_000, 4), [0, 1_000, 2_000, 3_000]);
        assert_eq!(starts(20_000, 5), [0, 0, 50, 100, 150]);
        assert_eq!(starts(500, 3), [0, 2_000, 4_000], "one in two seconds");
        assert_eq!(starts(3_000, 4), [0, 334, 667, 1_000], "no drift");
    }

    #[test]
    fn a_long_rest_saves_no_more_than_a_short_one() {
        let mut pace = Pace::default();
        pace.next(Instant(0), 20_000);
        assert_eq!(pace.next(Instant(1_000_000), 20_000), Instant(1_000_000));
        pace.spend();
        pace.spend();
        assert_eq!(pace.next(Instant(1_000_000), 20_000), Instant(1_000_049));
    }
}
