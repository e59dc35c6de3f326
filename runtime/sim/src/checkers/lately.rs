//! Remembers what happened in the last while, each thing at its own moment. The engine forgets in
//! slices, so what is asked is asked for every choice it may make.

use gristmill_engine::{Instant, Millis};

/// What the engine forgets at once, as a part of the span.
const SLICES: u64 = 15;

/// Things that happened, and whether they were bad.
#[derive(Debug, Default)]
pub(super) struct Lately(Vec<(Instant, bool)>);

impl Lately {
    pub(super) fn add(&mut self, now: Instant, is_bad: bool) {
        self.0.push((now, is_bad));
    }

    /// Whether `holds`, of all and of bad things, for some choice of what is forgotten by now, and
    /// whether for every.
    pub(super) fn ask(
        &self,
        now: Instant,
        span: Millis,
        holds: impl Fn(u64, u64) -> bool,
    ) -> (bool, bool) {
        let slice = (span.0 / SLICES).max(1);
        let end = self.0.len();
        let is_left = |at: Instant| now.since(at) < span;
        let is_kept = |at: Instant| now.since(at).0 + slice < span.0;
        let first = self.0.iter().position(|(at, _)| is_left(*at)).unwrap_or(end);
        let last = self.0.iter().position(|(at, _)| is_kept(*at)).unwrap_or(end);
        let answers = (first..=last.max(first)).map(|from| {
            let bad = self.0[from..].iter().filter(|(_, is_bad)| *is_bad).count();
            holds((end - from) as u64, bad as u64)
        });
        answers.fold((false, true), |(some, every), one| (some || one, every && one))
    }
}
