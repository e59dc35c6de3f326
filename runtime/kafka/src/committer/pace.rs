//! Decides how long after its end a transaction's successor begins, for two reasons. A coordinator
//! still writes the end of one into its partitions when it has answered; asked for the next in that
//! time, it refuses for a moment, and the client asks again. What waits for that inside of a
//! transaction is committed no sooner than what waits before it, but what comes meanwhile is in it
//! only there. And brokers that take long are busy: transactions that follow each other at once,
//! each with its requests for every partition, would take what is left of them.

use std::time::Duration;

/// By so much the wait grows when the coordinator was asked too early.
const GROWS: Duration = Duration::from_micros(500);
/// By so much it shrinks when it was not: five times as slowly, so that most transactions find the
/// coordinator ready.
const SHRINKS: Duration = Duration::from_micros(100);
/// Longest wait. Markers took 3 to 8 ms on a near broker (measured); what takes longer is better
/// waited for by the client.
const WAIT_MAX: Duration = Duration::from_millis(20);
/// A successor that begins later than this after the wait says nothing of the wait.
const RELATED: Duration = Duration::from_millis(5);
/// What an answer may take beyond the fastest and still be one at once: less than the client waits
/// before it asks again, 2 ms.
const SPREAD: Duration = Duration::from_millis(1);

/// A transaction that takes no longer is one of brokers that are not busy: of some 40 partitions it
/// takes 15 to 20 ms on a near one (measured).
const CALM: Duration = Duration::from_millis(25);
/// Longest rest, that of a checkpoint that waits for nothing else (`checkpoint.interval_max`).
const REST_MAX: Duration = Duration::from_millis(100);

/// The wait between transactions of one producer.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// For the coordinator.
    wait: Duration,
    /// For brokers that are busy: half of what the last transaction took beyond a calm one.
    rest: Duration,
    /// About the fastest answer of late.
    least: Option<Duration>,
}

impl Pace {
    /// How long the next transaction waits.
    pub(super) fn wait(&self) -> Duration {
        self.wait + self.rest
    }

    /// A transaction took so long, from its beginning to its end.
    pub(super) fn ended(&mut self, took: Duration) {
        self.rest = (took.saturating_sub(CALM) / 2).min(REST_MAX);
    }

    /// The coordinator took `answer` to admit a transaction, which began `idle` after the wait for
    /// it was over.
    pub(super) fn note(&mut self, idle: Duration, answer: Duration) {
        // It follows slowly where answers come to take longer, and at once where less.
        let least = self.least.map_or(answer, |least| answer.min(least + least / 64));
        self.least = Some(least);
        if answer > least + least / 2 + SPREAD {
            self.wait = (self.wait + GROWS).min(WAIT_MAX);
        } else if idle <= RELATED {
            self.wait = self.wait.saturating_sub(SHRINKS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A coordinator that is busy for `busy_us` after a transaction, answers in `base_us` when it
    /// is not, as before the first, and is asked again every 2 ms. The wait after so many
    /// transactions, in microseconds.
    fn settled(pace: &mut Pace, busy_us: u64, base_us: u64, transactions: u32) -> u64 {
        pace.note(Duration::from_secs(1), Duration::from_micros(base_us));
        for _ in 0..transactions {
            let wait = u64::try_from(pace.wait().as_micros()).unwrap();
            let again = busy_us.saturating_sub(wait).div_ceil(2_000);
            let answer = Duration::from_micros(base_us + again * (2_000 + base_us));
            pace.note(Duration::ZERO, answer);
        }
        u64::try_from(pace.wait().as_micros()).unwrap()
    }

    #[test]
    fn the_wait_becomes_what_the_coordinator_needs() {
        for (busy, base) in [(6_000, 700), (3_000, 300), (12_000, 2_000)] {
            let wait = settled(&mut Pace::default(), busy, base, 500);
            assert!(wait >= busy - 1_000 && wait <= busy + 1_000, "{wait} of {busy}");
        }
        assert_eq!(settled(&mut Pace::default(), 0, 700, 500), 0);
        let mut pace = Pace::default();
        settled(&mut pace, 8_000, 700, 500);
        assert!(settled(&mut pace, 1_000, 700, 500) < 2_000, "it falls where less is needed");
        assert!(settled(&mut pace, 500_000, 700, 1_000) <= 20_000, "and has an end");
    }

    #[test]
    fn brokers_that_take_long_are_given_rest() {
        for (took, rest) in [(0, 0), (25, 0), (27, 1), (125, 50), (225, 100), (9_000, 100)] {
            let mut pace = Pace::default();
            pace.ended(Duration::from_millis(took));
            assert_eq!(pace.wait(), Duration::from_millis(rest), "{took} ms");
        }
    }

    #[test]
    fn a_transaction_after_silence_changes_nothing() {
        let mut pace = Pace::default();
        settled(&mut pace, 6_000, 700, 500);
        let before = pace.wait();
        for _ in 0..100 {
            pace.note(Duration::from_millis(50), Duration::from_micros(700));
        }
        assert_eq!(pace.wait(), before);
    }
}
