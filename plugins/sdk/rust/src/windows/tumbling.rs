//! Owns windows that follow each other without a gap.

use std::time::Duration;

use super::{
    Aggregate, ResultFn,
    panes::Panes,
    terms::{Terms, with_terms},
};
use crate::{Event, Failure, Host, Outcome, Timer};

/// Windows of one length, one after the other: each event counts in one.
///
/// They begin at multiples of the length since 1970-01-01T00:00:00Z: minutes, hours and days of
/// UTC.
///
/// An event costs two reads and one write of a value; the first of a window, and telling one, a few
/// more. See [the module](super) for an example.
#[derive(Debug)]
pub struct Tumbling<A: Aggregate> {
    terms: Terms,
    panes: Panes<A>,
}

impl<A: Aggregate> Clone for Tumbling<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Aggregate> Copy for Tumbling<A> {}

impl<A: Aggregate> Tumbling<A> {
    /// Windows of `length`, 1 ms to 90 days, whose results are given to `tell`.
    ///
    /// `name` is part of the names of state (`window/NAME/…`) and timer (`window/NAME`), so it
    /// must differ from that of other windows of the plugin, and change when `length` or `A` does.
    ///
    /// # Panics
    ///
    /// When `name` is not 1 to 100 bytes without `/`, or `length` not in its range; in a constant
    /// that is an error of the compiler.
    #[must_use]
    pub const fn new(name: &'static str, length: Duration, tell: ResultFn<A::Output>) -> Self {
        Self { terms: Terms::new("window", name), panes: Panes::new(length, length, tell) }
    }

    with_terms!();

    /// Counts an event in its window.
    ///
    /// # Errors
    ///
    /// Rejects as `too-late` (unless declared otherwise), `time-ahead` and `window-gone`; fails as
    /// state, timers and the result's function do. `?` is right for all.
    pub fn add(&self, event: &Event, host: &mut Host, input: A::Input) -> Outcome {
        self.panes.add(&self.terms, event, host, input)
    }

    /// Handles a timer, if it is of these windows, and says whether it was.
    ///
    /// # Errors
    ///
    /// As state, timers and the result's function fail.
    pub fn on_timer(&self, timer: &Timer, host: &mut Host) -> Result<bool, Failure> {
        self.panes.on_timer(&self.terms, timer, host)
    }
}
