//! Counts what happened in the last while, and how much of it was bad. It decides nothing.

use alloc::collections::VecDeque;

use crate::{Instant, Millis};

/// Slices of the span that is counted over: what is older than the span is counted for at most a
/// fifteenth of it longer.
const SLICES: u64 = 15;

/// What happened in the last while.
#[derive(Debug, Clone, Default)]
pub(crate) struct Share {
    /// Beginning of each slice, and what happened in it; the newest last.
    slices: VecDeque<(Instant, Tally)>,
    sum: Tally,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    all: u32,
    bad: u32,
}

impl Tally {
    fn add(&mut self, is_bad: bool) {
        self.all = self.all.saturating_add(1);
        self.bad = self.bad.saturating_add(u32::from(is_bad));
    }
}

impl Share {
    /// Counts one thing, and forgets what is older than `span`.
    pub(crate) fn add(&mut self, now: Instant, span: Millis, is_bad: bool) {
        self.forget(now, span);
        let slice = span.0.checked_div(SLICES).unwrap_or(0).max(1);
        if self.slices.back().is_none_or(|(begun, _)| now.since(*begun).0 >= slice) {
            self.slices.push_back((now, Tally::default()));
        }
        if let Some((_, tally)) = self.slices.back_mut() {
            tally.add(is_bad);
        }
        self.sum.add(is_bad);
    }

    fn forget(&mut self, now: Instant, span: Millis) {
        while let Some((begun, tally)) = self.slices.front().copied()
            && now.since(begun) >= span
        {
            self.slices.pop_front();
            self.sum.all = self.sum.all.saturating_sub(tally.all);
            self.sum.bad = self.sum.bad.saturating_sub(tally.bad);
        }
    }

    /// Whether at least `least` things are counted, of which at least so many thousandths are bad.
    pub(crate) fn has_reached(&self, least: u32, permille: u64) -> bool {
        let bad = u64::from(self.sum.bad).saturating_mul(1_000);
        self.sum.all >= least && bad >= u64::from(self.sum.all).saturating_mul(permille)
    }

    /// The same, with more bad than that.
    pub(crate) fn has_passed(&self, least: u32, permille: u64) -> bool {
        let bad = u64::from(self.sum.bad).saturating_mul(1_000);
        self.sum.all >= least && bad > u64::from(self.sum.all).saturating_mul(permille)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Millis = Millis(15_000);

    fn counted(things: &[(u64, bool)]) -> Share {
        let mut share = Share::default();
        for (at, is_bad) in things {
            share.add(Instant(*at), SPAN, *is_bad);
        }
        share
    }

    #[test]
    fn a_share_is_reached_and_passed() {
        let half = counted(&[(0, true), (0, false), (1, true), (2, false)]);
        assert!(half.has_reached(4, 500) && !half.has_passed(4, 500));
        assert!(!half.has_reached(5, 500), "fewer than the least");
        assert!(half.has_passed(4, 499) && !half.has_reached(4, 501));
        assert!(!Share::default().has_passed(0, 0));
    }

    #[test]
    fn what_is_older_than_the_span_does_not_count() {
        let mut share = counted(&[(0, true), (900, true), (1_000, true)]);
        share.add(Instant(14_999), SPAN, false);
        assert!(share.has_reached(4, 750));
        share.add(Instant(15_000), SPAN, false);
        // The first slice is gone with both that were in it.
        assert!(share.has_reached(3, 333) && !share.has_reached(4, 0));
        share.add(Instant(60_000), SPAN, false);
        assert!(share.has_reached(1, 0) && !share.has_reached(2, 0));
    }

    #[test]
    fn slices_are_few_however_much_happens() {
        let mut share = Share::default();
        for at in 0..100_000 {
            share.add(Instant(at), SPAN, at % 4 == 0);
        }
        assert!(share.slices.len() <= 16, "{}", share.slices.len());
        assert!(share.has_reached(14_000, 250));
    }
}
