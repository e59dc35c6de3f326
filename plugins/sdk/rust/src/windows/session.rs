//! Owns sessions: events of a key that follow each other closely. State of a key is one value,
//! `window/NAME`; its one timer has the same name.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Aggregate, ResultFn, Window,
    terms::{REMEMBERED, TOLD_MAX, Terms, length_ms, text, with_terms},
};
use crate::{Event, Failure, Host, Outcome, Timer, Timestamp};

/// Sessions: events of a key with less than `gap` between one and the next.
///
/// A session ends `gap` after its last event. An event between two joins them to one, which begins
/// where the first did; when the second was told already it is told once more, with
/// [`Window::merged_into`]. So is one that an earlier event gives another start.
///
/// An event is too late when its record came after its time plus `gap` and `lateness`, whatever
/// sessions there are: otherwise what is late would depend on what was read before.
///
/// An event costs one read and one write of a value that holds all sessions of the key that are
/// kept: at most one for each `gap` of the last `lateness` and `keep`.
///
/// ```
/// use std::time::Duration;
///
/// use gristmill_plugin::windows::{Count, Session, Window};
/// use gristmill_plugin::{Emission, Host, Outcome};
///
/// const VISITS: Session<Count> = Session::new("visits", Duration::from_mins(30), tell);
///
/// fn tell(window: &Window<u64>, host: &mut Host) -> Outcome {
///     Ok(host.emit(Emission::json("visits", "visit.ended", window)?)?)
/// }
/// ```
pub struct Session<A: Aggregate> {
    terms: Terms,
    gap: u64,
    tell: ResultFn<A::Output>,
}

/// All sessions of a key that are kept, in order of their starts.
#[derive(Serialize, Deserialize)]
struct Sessions<S> {
    kept: Vec<Kept<S>>,
    /// Sessions that ended here or before have no state any more.
    gone: u64,
    /// What the timer is set for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Kept<S> {
    start: u64,
    /// Time of the last event.
    last: u64,
    events: u64,
    /// The revision that was told last; 0 for none.
    told: u64,
    state: S,
}

impl<S> Kept<S> {
    /// Whether what it has now was told.
    const fn is_told(&self) -> bool {
        self.told == self.events
    }
}

impl<S> Default for Sessions<S> {
    fn default() -> Self {
        Self { kept: Vec::new(), gone: 0, due: None }
    }
}

impl<A: Aggregate> Clone for Session<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Aggregate> Copy for Session<A> {}

impl<A: Aggregate> fmt::Debug for Session<A> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("Session");
        out.field("terms", &self.terms).field("gap", &self.gap).finish_non_exhaustive()
    }
}

impl<A: Aggregate> Session<A>
where
    A::State: Clone,
{
    /// Sessions that end after `gap`, 1 ms to 90 days, whose results are given to `tell`.
    ///
    /// Of `name` holds what [`Tumbling::new`](super::Tumbling::new) says.
    ///
    /// # Panics
    ///
    /// When `name` or `gap` is not as said; in a constant that is an error of the compiler.
    #[must_use]
    pub const fn new(name: &'static str, gap: Duration, tell: ResultFn<A::Output>) -> Self {
        let gap = length_ms(gap);
        assert!(gap > 0, "a gap is 1 ms at least");
        Self { terms: Terms::new("window", name), gap, tell }
    }

    with_terms!();

    /// Counts an event in its session.
    ///
    /// # Errors
    ///
    /// As [`Tumbling::add`](super::Tumbling::add).
    pub fn add(&self, event: &Event, host: &mut Host, input: A::Input) -> Outcome {
        self.terms.check_ahead(event)?;
        let time = event.time.as_millis();
        if self.terms.is_late(event, time + self.gap) {
            return self.terms.take_late(event, time + self.gap, host);
        }
        let mut sessions: Sessions<A::State> = self.sessions(host)?;
        if time < sessions.gone {
            return Err(self.terms.gone(event, sessions.gone));
        }
        let mut session = Kept {
            start: time,
            last: time,
            events: 1,
            told: 0,
            state: <A::State as Default>::default(),
        };
        A::add(&mut session.state, input);
        let key = event.key.as_deref().unwrap_or_default();
        let count = sessions.kept.len();
        self.join(&mut sessions, session, key, host)?;
        let is_new = sessions.kept.len() > count;
        self.let_go(&mut sessions, event.timestamp.as_millis(), key, host)?;
        self.arm(&mut sessions, is_new, host)?;
        self.store(&sessions, host)
    }

    /// Handles a timer, if it is of these sessions, and says whether it was.
    ///
    /// # Errors
    ///
    /// As state, timers and the result's function fail.
    pub fn on_timer(&self, timer: &Timer, host: &mut Host) -> Result<bool, Failure> {
        if timer.name != self.terms.name_of_all() {
            return Ok(false);
        }
        let mut sessions = self.sessions(host)?;
        sessions.due = None;
        let now = timer.due.as_millis();
        let is_over = |it: &&mut Kept<A::State>| !it.is_told() && self.told_at(it) <= now;
        for session in sessions.kept.iter_mut().filter(is_over).take(TOLD_MAX) {
            self.tell(session, &timer.key, host)?;
        }
        let is_quiet =
            |it: &Kept<A::State>| it.is_told() && self.terms.quiet_due(self.end(it)) <= now;
        if sessions.kept.iter().all(is_quiet) {
            let ends = sessions.kept.drain(..).map(|session| self.end(&session));
            sessions.gone = ends.fold(sessions.gone, u64::max);
        }
        self.arm(&mut sessions, false, host)?;
        self.store(&sessions, host)?;
        Ok(true)
    }

    fn end(&self, session: &Kept<A::State>) -> u64 {
        session.last + self.gap
    }

    /// When the present result of a session is told.
    fn told_at(&self, session: &Kept<A::State>) -> u64 {
        self.end(session) + self.terms.lateness
    }

    /// Puts a session in place, joined with all it touches.
    fn join(
        &self,
        sessions: &mut Sessions<A::State>,
        mut joined: Kept<A::State>,
        key: &[u8],
        host: &mut Host,
    ) -> Outcome {
        let all = &mut sessions.kept;
        let from = all.partition_point(|it| self.end(it) <= joined.start);
        let to = all.partition_point(|it| it.start < self.end(&joined));
        let touched: Vec<_> = all.drain(from..to.max(from)).collect();
        let start = touched.iter().map(|it| it.start).fold(joined.start, u64::min);
        for other in touched {
            if other.start == start {
                joined.told = other.told;
            } else if other.told > 0 {
                let mut window = self.window(&other, key);
                window.revision = other.told + 1;
                window.merged_into = Some(Timestamp::from_millis(start));
                (self.tell)(&window, host)?;
            }
            joined.last = joined.last.max(other.last);
            joined.events += other.events;
            A::merge(&mut joined.state, other.state);
        }
        joined.start = start;
        all.insert(from, joined);
        Ok(())
    }

    /// Lets go of sessions that the moment of a record proves to be complete, after telling them.
    fn let_go(
        &self,
        sessions: &mut Sessions<A::State>,
        came: u64,
        key: &[u8],
        host: &mut Host,
    ) -> Outcome {
        // An event may join a session until it is late itself, which is a gap after the end.
        let proved = self.terms.proved_by(came).saturating_sub(self.gap);
        let gone = sessions.kept.partition_point(|it| self.end(it) < proved).min(TOLD_MAX);
        for mut session in sessions.kept.drain(..gone) {
            if !session.is_told() {
                self.tell(&mut session, key, host)?;
            }
            sessions.gone = sessions.gone.max(self.end(&session));
        }
        Ok(())
    }

    fn tell(&self, session: &mut Kept<A::State>, key: &[u8], host: &mut Host) -> Outcome {
        session.told = session.events;
        (self.tell)(&self.window(session, key), host)
    }

    fn window(&self, session: &Kept<A::State>, key: &[u8]) -> Window<A::Output> {
        Window {
            window: self.terms.name,
            key: text(key),
            start: Timestamp::from_millis(session.start),
            end: Timestamp::from_millis(self.end(session)),
            revision: session.events,
            value: A::output(session.state.clone()),
            merged_into: None,
        }
    }

    /// Sets the timer for the first session to be told, else for the last to be let go. One that
    /// is set too early is set anew when it comes due. With a new session it is set even where it
    /// should be: one whose handler failed is gone.
    fn arm(&self, sessions: &mut Sessions<A::State>, is_new: bool, host: &mut Host) -> Outcome {
        let open = sessions.kept.iter().filter(|it| !it.is_told());
        let first = open.map(|it| self.told_at(it)).min();
        let quiet = sessions.kept.last().map(|it| self.terms.quiet_due(self.end(it)));
        let Some(due) = first.or(quiet) else {
            return Ok(());
        };
        if is_new || sessions.due.is_none_or(|set| due < set) {
            let due = sessions.due.map_or(due, |set| set.min(due));
            sessions.due = Some(due);
            let name = self.terms.name_of_all();
            host.timers().set(&name, Timestamp::from_millis(due), [])?;
        }
        Ok(())
    }

    fn sessions(&self, host: &mut Host) -> Result<Sessions<A::State>, Failure> {
        Ok(host.state().get_json(&self.terms.name_of_all())?.unwrap_or_default())
    }

    fn store(&self, sessions: &Sessions<A::State>, host: &mut Host) -> Outcome {
        let (name, value) = (self.terms.name_of_all(), serde_json::to_vec(sessions)?);
        if sessions.due.is_some() {
            return Ok(host.state().set(&name, &value)?);
        }
        Ok(host.state().set_for(&name, &value, REMEMBERED)?)
    }
}
