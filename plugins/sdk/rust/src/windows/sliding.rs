//! Owns windows that overlap.

use std::time::Duration;

use super::{
    Aggregate, ResultFn,
    panes::Panes,
    terms::{Terms, with_terms},
};
use crate::{Event, Failure, Host, Outcome, Timer};

/// Windows of one length, of which one begins every `step`: each event counts in `length / step`.
///
/// An event is added to one pane, the part between two beginnings, so it costs what it does in a
/// [`Tumbling`](super::Tumbling) window. Telling a window reads its `length / step` panes. An event
/// that is read after some of its windows were told tells each of those again. One that is late for
/// the first of its windows counts in the others; it is too late when it is for the last.
///
/// ```
/// use std::time::Duration;
///
/// use gristmill_plugin::windows::{Count, Sliding, Window};
/// use gristmill_plugin::{Emission, Host, Outcome};
///
/// /// Logins of the last hour, every five minutes.
/// const LOGINS: Sliding<Count> =
///     Sliding::new("logins", Duration::from_mins(60), Duration::from_mins(5), tell);
///
/// fn tell(window: &Window<u64>, host: &mut Host) -> Outcome {
///     Ok(host.emit(Emission::json("logins", "logins.hour", window)?)?)
/// }
/// ```
#[derive(Debug)]
pub struct Sliding<A: Aggregate> {
    terms: Terms,
    panes: Panes<A>,
}

impl<A: Aggregate> Clone for Sliding<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Aggregate> Copy for Sliding<A> {}

impl<A: Aggregate> Sliding<A> {
    /// Windows of `length`, 1 ms to 90 days, which is 1 to 100 times `step`, whose results are
    /// given to `tell`. They begin at multiples of `step` since 1970-01-01T00:00:00Z.
    ///
    /// Of `name` holds what [`Tumbling::new`](super::Tumbling::new) says.
    ///
    /// # Panics
    ///
    /// When `name`, `length` or `step` is not as said; in a constant that is an error of the
    /// compiler.
    #[must_use]
    pub const fn new(
        name: &'static str,
        length: Duration,
        step: Duration,
        tell: ResultFn<A::Output>,
    ) -> Self {
        Self { terms: Terms::new("window", name), panes: Panes::new(length, step, tell) }
    }

    with_terms!();

    /// Counts an event in its windows.
    ///
    /// # Errors
    ///
    /// As [`Tumbling::add`](super::Tumbling::add).
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
