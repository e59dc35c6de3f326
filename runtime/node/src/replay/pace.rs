//! Keeps a replay to its rate, and wakes it when it is cancelled. It counts no event.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Milliseconds of events that are begun at once at most: what a rate means to whoever watches.
const TURN_MS: u64 = 100;

/// When the next events may begin.
#[derive(Debug)]
pub(crate) struct Pace {
    began: Instant,
    rate: Option<u32>,
    begun: u64,
    /// Whoever asked has changed their mind.
    cancelled: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
}

impl Pace {
    /// So many events per second from now on; as many as there are without a rate.
    pub(crate) fn new(
        rate: Option<u32>,
        cancelled: watch::Receiver<bool>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self { began: Instant::now(), rate, begun: 0, cancelled, stopping }
    }

    /// Events that may begin in one turn, at least one.
    pub(crate) fn turn(&self, most: u64) -> u64 {
        let Some(rate) = self.rate else { return most };
        let turn = u64::from(rate).saturating_mul(TURN_MS).checked_div(1_000).unwrap_or(0);
        turn.clamp(1, most.max(1))
    }

    /// Whether it is to end.
    pub(crate) fn is_over(&self) -> bool {
        *self.cancelled.borrow() || *self.stopping.borrow()
    }

    /// Waits until `events` more may begin; false when it is to end.
    pub(crate) async fn wait(&mut self, events: u64) -> bool {
        let due = self.due();
        self.begun = self.begun.saturating_add(events);
        if self.is_over() {
            return false;
        }
        let Some(due) = due.filter(|due| *due > Instant::now()) else { return true };
        tokio::select! {
            () = tokio::time::sleep_until(due) => true,
            // Whoever could cancel it is gone: so is whoever wanted it.
            _ = self.cancelled.wait_for(|it| *it) => false,
            _ = self.stopping.wait_for(|it| *it) => false,
        }
    }

    /// When all that was begun is paid for.
    fn due(&self) -> Option<Instant> {
        Some(self.began + paid(self.begun, self.rate?))
    }
}

/// How long so many events take at `rate` per second.
fn paid(events: u64, rate: u32) -> Duration {
    let ms = events.saturating_mul(1_000).checked_div(u64::from(rate)).unwrap_or(0);
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_is_a_tenth_of_a_second_and_none_begins_once_cancelled() {
        let (cancel, cancelled) = watch::channel(false);
        let (_stop, stopping) = watch::channel(false);
        for (rate, turn) in [(Some(50), 5), (Some(3), 1), (Some(100_000), 500), (None, 500)] {
            let pace = Pace::new(rate, cancelled.clone(), stopping.clone());
            assert_eq!(pace.turn(500), turn, "{rate:?}");
        }
        let mut pace = Pace::new(Some(1), cancelled, stopping);
        assert!(pace.wait(100).await, "what comes first need not wait");
        cancel.send_replace(true);
        assert!(!pace.wait(1).await);
    }

    #[test]
    fn events_take_their_time() {
        for (events, rate, ms) in [(0, 50, 0), (5, 50, 100), (1, 1, 1_000), (9, 20, 450)] {
            assert_eq!(paid(events, rate), Duration::from_millis(ms), "{events} at {rate}/s");
        }
    }
}
