//! Owns patterns in the events of a key: one thing then another, one without another, too many in
//! too short a time. It reads no clock: what matches follows from the events' own times.
//!
//! ```
//! use std::time::Duration;
//!
//! use gristmill_plugin::patterns::{Match, Pattern};
//! use gristmill_plugin::{Emission, Event, Host, Outcome, Timer};
//!
//! /// Three failed payments of a customer in ten minutes.
//! const FAILURES: Pattern = Pattern::times(3, |event| event.event_type == "PaymentFailed")
//!     .within(Duration::from_mins(10))
//!     .tell("failures", alert);
//!
//! gristmill_plugin::export!(handle, on_timer);
//!
//! fn handle(event: &Event, host: &mut Host) -> Outcome {
//!     FAILURES.add(event, host)
//! }
//!
//! fn on_timer(timer: &Timer, host: &mut Host) -> Outcome {
//!     FAILURES.on_timer(timer, host).map(drop)
//! }
//!
//! fn alert(found: &Match, host: &mut Host) -> Outcome {
//!     Ok(host.emit(Emission::json("alerts", "payments.failing", found)?)?)
//! }
//! ```
//!
//! | written | matches when |
//! |---|---|
//! | `Pattern::first(a).then(b).within(t)` | the first `b` follows `a` after `t` at most |
//! | `Pattern::first(a).then(b).without(c).within(t)` | the same, and no `c` is between them |
//! | `Pattern::first(a).without(b).within(t)` | no `b` follows `a` for `t` |
//! | `Pattern::times(n, a).within(t)` | `a` happens for the `n`th time in less than `t` |
//!
//! Each `a` begins a match of its own; of `times` only the `n`th does, and then none until there
//! were fewer again. To have only the last `a` count, let `without` be true for `a` as well: an
//! event never ends what it begins. Events of one moment are in order of their ids.
//!
//! A match is told when all events that could change it were to have come: `lateness` after it is
//! complete. Events of a key may be read in any order until then. When one is read later although
//! it came in time, because the host was behind, what it changes is told again: [`Match::revision`]
//! grows, and [`Match::holds`] says whether it still is one. So the last of what is told is the
//! same on every replay, as for [`windows`](crate::windows).
//!
//! State of a key is one value, `pattern/NAME`, with time and id of each event that matters, for
//! twice `within`, `lateness` and `keep`; 1,000 at most. Further ones are rejected as
//! `pattern-full`.

mod judge;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::judge::{Entry, FIRST, Found, Shape, THEN, WITHOUT};
use crate::{
    Event, Failure, Host, Outcome, Timer, Timestamp, reject,
    windows::terms::{REMEMBERED, TOLD_MAX, Terms, length_ms, text, with_terms},
};

/// Events of a key that one pattern keeps.
const EVENTS_MAX: usize = 1_000;

/// Whether an event is one that a pattern speaks of.
pub type Matcher = fn(&Event) -> bool;

/// What is called with each match that is found, changes or holds no longer.
pub type MatchFn = fn(&Match, &mut Host) -> Outcome;

/// A pattern in the events of a key. See [the module](self).
#[derive(Debug, Clone, Copy)]
pub struct Pattern {
    terms: Terms,
    draft: Draft,
    shape: Shape,
    tell: MatchFn,
}

/// A pattern that has no name yet.
#[derive(Debug, Clone, Copy)]
pub struct Draft {
    first: Matcher,
    then: Option<Matcher>,
    without: Option<Matcher>,
    times: u64,
    within: u64,
    note: Option<fn(&Event) -> String>,
}

/// A pattern was found, or holds no longer.
///
/// As JSON its fields are in camel case. `(pattern, key, event)` says which match it is, and
/// `revision` which of what was told of it: consumers keep the highest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// Name of the pattern.
    pub pattern: &'static str,
    /// The key; bytes that are no text are replaced.
    pub key: String,
    /// Id of the event that it is a match of: the first, or with `times` the one that made it `n`.
    pub event: String,
    /// When the first event happened.
    pub start: Timestamp,
    /// When it was complete: the time of its last event, or when nothing had followed for `within`.
    pub end: Timestamp,
    /// Events it is made of.
    pub events: u64,
    /// From 1; grows whenever it is told again.
    pub revision: u64,
    /// What [`Draft::note`] kept of that event; empty without it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// False when it holds no longer, because of events that came in time and were read later.
    pub holds: bool,
}

/// What is kept of a key.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    events: Vec<Entry>,
    /// What is decided until here, by the clock of host and records, was told.
    clock: u64,
    /// Of what happened until here something is gone.
    gone: u64,
    /// What the timer is set for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<u64>,
}

impl Pattern {
    /// Begins with one event: `then`, `without` or both say what follows.
    #[must_use]
    pub const fn first(first: Matcher) -> Draft {
        Draft { first, then: None, without: None, times: 1, within: 0, note: None }
    }

    /// The same kind of event `times` times, 2 to 100.
    ///
    /// # Panics
    ///
    /// When it is not; in a constant that is an error of the compiler.
    #[must_use]
    pub const fn times(times: u64, of: Matcher) -> Draft {
        assert!(times >= 2 && times <= 100, "2 to 100 times");
        Draft { first: of, then: None, without: None, times, within: 0, note: None }
    }

    with_terms!();

    /// Takes an event, if the pattern speaks of it. One it does not speak of costs nothing; another
    /// costs one read and one write of the key's value.
    ///
    /// # Errors
    ///
    /// Rejects as `too-late` (unless declared otherwise) what came later than `lateness` after it
    /// happened, and as `time-ahead`, `window-gone` and `pattern-full`; fails as state, timers and
    /// the match's function do. `?` is right for all.
    pub fn add(&self, event: &Event, host: &mut Host) -> Outcome {
        let flags = self.draft.flags(event);
        if flags == 0 {
            return Ok(());
        }
        self.terms.check_ahead(event)?;
        let time = event.time.as_millis();
        if self.terms.is_late(event, time) {
            return self.terms.take_late(event, time, host);
        }
        let mut kept = self.kept(host)?;
        if kept.gone > 0 && time <= kept.gone {
            return Err(self.terms.gone(event, kept.gone));
        }
        let Err(at) = kept.events.binary_search_by(|it| it.order().cmp(&(time, &event.id))) else {
            return Ok(());
        };
        let note = self.draft.note.filter(|_| flags & FIRST != 0).map(|note| note(event));
        kept.events.insert(at, Entry::new(time, &event.id, flags, note.unwrap_or_default()));
        let key = event.key.as_deref().unwrap_or_default();
        let proved = self.terms.proved_by(event.timestamp.as_millis());
        kept.clock = kept.clock.max(proved.saturating_add(self.terms.lateness));
        let is_settled = self.settle(&mut kept, key, host)?;
        let gone = kept.events.partition_point(|it| it.time + 2 * self.draft.within <= proved);
        if is_settled && gone > 0 {
            kept.events.drain(..gone);
            kept.gone = kept.gone.max(proved);
        }
        if kept.events.len() > EVENTS_MAX {
            let reason = format!("{}: {EVENTS_MAX} events of the key are kept", self.terms.name);
            let way_out = "shorten `within` or `keep`, or match fewer events";
            return Err(reject("pattern-full", format!("{reason}; {way_out}")));
        }
        self.store(&mut kept, is_settled, host)
    }

    /// Handles a timer, if it is of this pattern, and says whether it was.
    ///
    /// # Errors
    ///
    /// As state, timers and the match's function fail.
    pub fn on_timer(&self, timer: &Timer, host: &mut Host) -> Result<bool, Failure> {
        if timer.name != self.terms.name_of_all() {
            return Ok(false);
        }
        let mut kept = self.kept(host)?;
        let now = timer.due.as_millis();
        kept.due = None;
        kept.clock = kept.clock.max(now);
        let is_settled = self.settle(&mut kept, &timer.key, host)?;
        if let Some(last) = kept.events.last()
            && is_settled
            && self.quiet_due(last) <= now
        {
            kept.gone = kept.gone.max(last.time + 2 * self.draft.within);
            kept.events.clear();
        }
        self.store(&mut kept, is_settled, host)?;
        Ok(true)
    }

    /// Tells what is decided and was not told so. False when some of it is left.
    fn settle(&self, kept: &mut Kept, key: &[u8], host: &mut Host) -> Result<bool, Failure> {
        let mut left = TOLD_MAX;
        let settled = self.shape.settled_until(kept.gone, self.draft.within);
        let open = kept.events.partition_point(|it| it.time <= settled);
        for at in open..kept.events.len() {
            let found = self.shape.judge(&kept.events, at, self.draft.within);
            let found = found.filter(|it| self.decided(it) <= kept.clock);
            let Some(entry) = kept.events.get_mut(at) else {
                break;
            };
            if found == entry.told {
                continue;
            }
            if left == 0 {
                return Ok(false);
            }
            left -= 1;
            entry.revision += 1;
            let told = std::mem::replace(&mut entry.told, found);
            let Some(shown) = found.or(told) else {
                continue;
            };
            let found = Match {
                pattern: self.terms.name,
                key: text(key),
                event: entry.id.clone(),
                start: Timestamp::from_millis(shown.start),
                end: Timestamp::from_millis(shown.end),
                events: shown.events,
                revision: entry.revision,
                note: entry.note.clone(),
                holds: found.is_some(),
            };
            (self.tell)(&found, host)?;
        }
        Ok(true)
    }

    /// When nothing can come any more that would change it.
    const fn decided(&self, found: &Found) -> u64 {
        found.end + self.terms.lateness
    }

    /// When an event is let go if no other comes.
    const fn quiet_due(&self, entry: &Entry) -> u64 {
        self.terms.quiet_due(entry.time + 2 * self.draft.within)
    }

    /// Sets the timer for what is left or decided next, else for when all is let go, and keeps the
    /// rest.
    fn store(&self, kept: &mut Kept, is_settled: bool, host: &mut Host) -> Outcome {
        let found = (0..kept.events.len())
            .filter_map(|at| self.shape.judge(&kept.events, at, self.draft.within));
        let open = found.map(|it| self.decided(&it)).filter(|due| *due > kept.clock).min();
        let open = if is_settled { open } else { Some(kept.clock) };
        let due = open.or_else(|| kept.events.last().map(|last| self.quiet_due(last)));
        let name = self.terms.name_of_all();
        if let Some(due) = due {
            kept.due = Some(due);
            host.timers().set(&name, Timestamp::from_millis(due), [])?;
            return Ok(host.state().set_json(&name, kept)?);
        }
        let value = serde_json::to_vec(kept)?;
        Ok(host.state().set_for(&name, &value, REMEMBERED)?)
    }

    fn kept(&self, host: &mut Host) -> Result<Kept, Failure> {
        Ok(host.state().get_json(&self.terms.name_of_all())?.unwrap_or_default())
    }
}

impl Draft {
    /// What follows. The first such event counts.
    ///
    /// # Panics
    ///
    /// After [`Pattern::times`]; in a constant that is an error of the compiler.
    #[must_use]
    pub const fn then(mut self, then: Matcher) -> Self {
        assert!(self.times == 1, "what happens several times has nothing after it");
        self.then = Some(then);
        self
    }

    /// What must not come between, or, without `then`, not follow.
    ///
    /// # Panics
    ///
    /// After [`Pattern::times`]; in a constant that is an error of the compiler.
    #[must_use]
    pub const fn without(mut self, without: Matcher) -> Self {
        assert!(self.times == 1, "what happens several times has nothing between");
        self.without = Some(without);
        self
    }

    /// The longest time from the first event to the last, 1 ms to 45 days.
    ///
    /// # Panics
    ///
    /// When it is not; in a constant that is an error of the compiler.
    #[must_use]
    pub const fn within(mut self, within: Duration) -> Self {
        self.within = length_ms(within);
        // Twice that is kept.
        assert!(self.within > 0 && self.within <= length_ms(Duration::from_hours(45 * 24)));
        self
    }

    /// Keeps a text of each event that a match may be of, for [`Match::note`]: what who reads the
    /// match will want to know. All that is kept of a key must fit in one value (default 1 MiB),
    /// else the event is rejected as `state-too-large`.
    #[must_use]
    pub const fn note(mut self, note: fn(&Event) -> String) -> Self {
        self.note = Some(note);
        self
    }

    /// Names the pattern, and says what is called with its matches.
    ///
    /// The name is part of that of state and timer (`pattern/NAME`): it must differ from that of
    /// other patterns of the plugin, and change when the pattern does.
    ///
    /// # Panics
    ///
    /// When `name` is not 1 to 100 bytes without `/`, or the pattern says neither what follows nor
    /// within which time; in a constant that is an error of the compiler.
    #[must_use]
    pub const fn tell(self, name: &'static str, tell: MatchFn) -> Pattern {
        assert!(self.within > 0, "a pattern says within which time");
        let shape = if self.times > 1 {
            Shape::Times(self.times)
        } else if self.then.is_some() {
            Shape::Then
        } else {
            assert!(self.without.is_some(), "a pattern says what follows");
            Shape::Without
        };
        Pattern { terms: Terms::new("pattern", name), draft: self, shape, tell }
    }

    /// What an event is to the pattern; 0 for nothing.
    fn flags(&self, event: &Event) -> u8 {
        let flag = |matcher: Option<Matcher>, flag| {
            if matcher.is_some_and(|matches| matches(event)) { flag } else { 0 }
        };
        flag(Some(self.first), FIRST) | flag(self.then, THEN) | flag(self.without, WITHOUT)
    }
}
