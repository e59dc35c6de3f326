//! Owns windows of a fixed length, which begin every `step`. An event is added to one pane, the
//! part between two beginnings; a result is made of the panes of its window when it is told.
//!
//! State of a key: `window/NAME/pane/START` per pane, and `window/NAME/clock`. One timer,
//! `window/NAME`, is set for what comes next.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Aggregate, ResultFn, Window,
    terms::{REMEMBERED, TOLD_MAX, Terms, length_ms, text},
};
use crate::{Event, Failure, Host, Outcome, StateError, Timer, Timestamp};

/// Panes of one window, at most: a result reads as many values.
const PANES_MAX: u64 = 100;

/// Windows `[start, start + length)`, of which one begins at every multiple of `step`.
pub(super) struct Panes<A: Aggregate> {
    pub(super) length: u64,
    pub(super) step: u64,
    tell: ResultFn<A::Output>,
}

/// Events of one pane. A pane's windows end one `step` after the other; part `n` has the events
/// that are in time for all but the first `n` of them.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Pane<S> {
    parts: BTreeMap<u64, Part<S>>,
}

#[derive(Default, Serialize, Deserialize)]
struct Part<S> {
    events: u64,
    state: S,
}

/// How far a key is. All are moments in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Clock {
    /// Windows that end here or before were told, as far as they had events.
    closed: u64,
    /// Windows that end here or before have no state any more.
    gone: u64,
    /// Start of the first pane that is kept, or an earlier moment.
    oldest: u64,
    /// What the timer is set for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<u64>,
}

/// What the functions here need to know of a call.
struct Call<'a> {
    terms: &'a Terms,
    key: &'a [u8],
    host: &'a mut Host,
}

impl<A: Aggregate> Clone for Panes<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Aggregate> Copy for Panes<A> {}

impl<A: Aggregate> fmt::Debug for Panes<A> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("Panes");
        out.field("length", &self.length).field("step", &self.step).finish_non_exhaustive()
    }
}

impl<A: Aggregate> Panes<A> {
    pub(super) const fn new(length: Duration, step: Duration, tell: ResultFn<A::Output>) -> Self {
        let (length, step) = (length_ms(length), length_ms(step));
        assert!(step > 0, "a window has a length of 1 ms at least");
        assert!(length.is_multiple_of(step), "the length is a multiple of the step");
        assert!(length > 0 && length / step <= PANES_MAX, "a window has 1 to 100 steps");
        Self { length, step, tell }
    }

    /// Adds an event to its pane, and tells again what of it was told.
    pub(super) fn add(
        &self,
        terms: &Terms,
        event: &Event,
        host: &mut Host,
        input: A::Input,
    ) -> Outcome {
        terms.check_ahead(event)?;
        let time = event.time.as_millis();
        let start = time - time % self.step;
        let last = start + self.length;
        if terms.is_late(event, last) {
            return terms.take_late(event, last, host);
        }
        let ends = (start + self.step..=last).step_by(step_size(self.step));
        let missed = ends.clone().take_while(|&end| terms.is_late(event, end)).count() as u64;
        let first = start + (missed + 1) * self.step;
        let key = event.key.as_deref().unwrap_or_default();
        let mut call = Call { terms, key, host };
        let mut clock = call.clock()?;
        if first <= clock.gone {
            return Err(terms.gone(event, clock.gone));
        }
        let pane: Option<Pane<A::State>> = call.pane(start)?;
        let is_new = pane.is_none();
        let mut pane = pane.unwrap_or(Pane { parts: BTreeMap::new() });
        let part = pane.parts.entry(missed).or_default();
        part.events += 1;
        A::add(&mut part.state, input);
        let name = call.pane_name(start);
        call.host.state().set_json(&name, &pane)?;
        for end in ends.filter(|end| (first..=clock.closed).contains(end)) {
            self.tell(&mut call, end)?;
        }
        if is_new {
            let before = clock;
            self.begin(&mut call, start, event.timestamp.as_millis(), &mut clock)?;
            if clock != before {
                call.set_clock(&clock)?;
            }
        }
        Ok(())
    }

    /// A key has a new pane: sees to the timer, and lets go what `came`, the moment of a record,
    /// proves to be complete.
    fn begin(
        &self,
        call: &mut Call<'_>,
        start: u64,
        came: u64,
        clock: &mut Clock,
    ) -> Result<(), Failure> {
        clock.oldest = if clock.oldest == 0 { start } else { clock.oldest.min(start) };
        let proved = call.terms.proved_by(came);
        if clock.oldest + self.length <= proved {
            let mut starts = call.starts()?;
            self.close(call, &starts, proved, clock)?;
            self.let_go(call, &mut starts, proved.min(clock.closed), clock)?;
        }
        let due = match self.open_end(&[start], clock.closed) {
            Some(end) => end + call.terms.lateness,
            None => call.terms.quiet_due(start + self.length),
        };
        // It is set even where it should be: one whose handler failed is gone.
        let due = clock.due.map_or(due, |set| set.min(due));
        call.set_timer(due, clock)
    }

    /// The timer came due: tells what ends at that moment less the lateness, and sets the next.
    pub(super) fn on_timer(
        &self,
        terms: &Terms,
        timer: &Timer,
        host: &mut Host,
    ) -> Result<bool, Failure> {
        if timer.name != terms.name_of_all() {
            return Ok(false);
        }
        let mut call = Call { terms, key: &timer.key, host };
        let mut clock = call.clock()?;
        clock.due = None;
        let now = timer.due.as_millis();
        let mut starts = call.starts()?;
        self.close(&mut call, &starts, now.saturating_sub(terms.lateness), &mut clock)?;
        if let Some(end) = self.open_end(&starts, clock.closed) {
            call.set_timer(end + terms.lateness, &mut clock)?;
        } else {
            let unproved = |start: &&u64| terms.quiet_due(**start + self.length) > now;
            if let Some(newest) = starts.iter().rev().find(unproved) {
                call.set_timer(terms.quiet_due(newest + self.length), &mut clock)?;
            } else {
                self.let_go(&mut call, &mut starts, u64::MAX, &mut clock)?;
            }
        }
        call.set_clock(&clock)?;
        Ok(true)
    }

    /// Tells the windows that end until `until`, in order.
    fn close(
        &self,
        call: &mut Call<'_>,
        starts: &[u64],
        until: u64,
        clock: &mut Clock,
    ) -> Result<(), Failure> {
        for _ in 0..TOLD_MAX {
            let Some(end) = self.open_end(starts, clock.closed).filter(|&end| end <= until) else {
                clock.closed = clock.closed.max(until - until % self.step);
                return Ok(());
            };
            self.tell(call, end)?;
            clock.closed = end;
        }
        Ok(())
    }

    /// Deletes panes whose windows all end until `until`.
    fn let_go(
        &self,
        call: &mut Call<'_>,
        starts: &mut Vec<u64>,
        until: u64,
        clock: &mut Clock,
    ) -> Result<(), StateError> {
        let kept = starts.partition_point(|start| start + self.length <= until);
        for start in starts.drain(..kept) {
            let name = call.pane_name(start);
            call.host.state().delete(&name)?;
            clock.gone = clock.gone.max(start + self.length);
        }
        clock.oldest = starts.first().copied().unwrap_or(0);
        Ok(())
    }

    /// The first end after `closed` of a window with events in one of these panes.
    fn open_end(&self, starts: &[u64], closed: u64) -> Option<u64> {
        let open = starts.iter().filter_map(|start| {
            // Panes and what is closed are multiples of the step.
            let end = (start + self.step).max(closed - closed % self.step + self.step);
            (end <= start + self.length).then_some(end)
        });
        open.min()
    }

    /// Tells the result of the window that ends at `end`, if it has events.
    fn tell(&self, call: &mut Call<'_>, end: u64) -> Result<(), Failure> {
        let begin = end.saturating_sub(self.length);
        let (mut events, mut state) = (0, A::State::default());
        for start in (begin..end).step_by(step_size(self.step)) {
            let Some(pane) = call.pane::<A::State>(start)? else {
                continue;
            };
            // Part n counts from the end of the window n + 1 steps after the pane's start.
            let parts = ((end - start) / self.step).saturating_sub(1);
            for (_, part) in pane.parts.into_iter().filter(|(missed, _)| *missed <= parts) {
                events += part.events;
                A::merge(&mut state, part.state);
            }
        }
        if events == 0 {
            return Ok(());
        }
        let window = Window {
            window: call.terms.name,
            key: text(call.key),
            start: Timestamp::from_millis(begin),
            end: Timestamp::from_millis(end),
            revision: events,
            value: A::output(state),
            merged_into: None,
        };
        (self.tell)(&window, call.host)
    }
}

impl Call<'_> {
    /// Name of the value of a pane. Names are in the order of time.
    fn pane_name(&self, start: u64) -> String {
        format!("{}{start:015}", self.pane_prefix())
    }

    fn pane_prefix(&self) -> String {
        format!("{}/pane/", self.terms.name_of_all())
    }

    fn clock_name(&self) -> String {
        format!("{}/clock", self.terms.name_of_all())
    }

    fn clock(&mut self) -> Result<Clock, StateError> {
        let name = self.clock_name();
        Ok(self.host.state().get_json(&name)?.unwrap_or_default())
    }

    /// Keeps the clock: for ever while there are panes, else for a year.
    fn set_clock(&mut self, clock: &Clock) -> Result<(), Failure> {
        let name = self.clock_name();
        if clock.due.is_some() {
            return Ok(self.host.state().set_json(&name, clock)?);
        }
        let value = serde_json::to_vec(clock)?;
        Ok(self.host.state().set_for(&name, &value, REMEMBERED)?)
    }

    fn pane<S: DeserializeOwned>(&mut self, start: u64) -> Result<Option<Pane<S>>, StateError> {
        let name = self.pane_name(start);
        self.host.state().get_json(&name)
    }

    /// Starts of all panes, in order.
    fn starts(&mut self) -> Result<Vec<u64>, StateError> {
        let prefix = self.pane_prefix();
        let names = self.host.state().names(&prefix)?;
        Ok(names.iter().filter_map(|name| name.strip_prefix(&prefix)?.parse().ok()).collect())
    }

    fn set_timer(&mut self, due: u64, clock: &mut Clock) -> Result<(), Failure> {
        clock.due = Some(due);
        let name = self.terms.name_of_all();
        Ok(self.host.timers().set(&name, Timestamp::from_millis(due), [])?)
    }
}

/// A step as iterators want it. Guests have 32 bits: 49 days; beyond that one step is a window.
fn step_size(step: u64) -> usize {
    usize::try_from(step).unwrap_or(usize::MAX)
}
