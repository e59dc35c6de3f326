//! Owns what windows and patterns have in common: what is late or ahead, what becomes of it, and
//! how long state is kept. It counts no event.

use std::time::Duration;

use crate::{Emission, Event, Failure, Host, Outcome, StateError, Timestamp, reject};

/// How long after the end of a window its events may come, unless told otherwise.
const LATENESS_MS: u64 = 60_000;
/// How far apart in their records' time events of a key may be read, unless told otherwise.
const KEEP_MS: u64 = 3_600_000;
/// What is kept without any proof that it is needed no more is kept so many times longer.
const KEEP_QUIET: u64 = 24;
const DAY_MS: u64 = 86_400_000;
/// How far an event may be ahead of its record.
const AHEAD_MS: u64 = DAY_MS;
/// A window, what it waits for late ones and how long it is kept stay together below the year that
/// a timer may be ahead of its event.
const LENGTH_MS_MAX: u64 = 90 * DAY_MS;
const KEEP_MS_MAX: u64 = 3 * DAY_MS;
const AHEAD_MS_MAX: u64 = 30 * DAY_MS;
/// Of a name: it is part of names of state and timers.
const NAME_BYTES_MAX: usize = 100;
/// Results told while one event or timer is handled, at most: it may cause a thousand emissions.
/// What is left is told with the next, or by a timer that is due at once.
pub(crate) const TOLD_MAX: usize = 100;
/// How long the state of a key that says only what is gone outlives the key's last event.
pub(crate) const REMEMBERED: Duration = Duration::from_hours(365 * 24);

/// What an author does with an event that is too late.
///
/// What it emits, writes and answers is part of the event's outcome.
pub type LateFn = fn(&Event, &TooLate, &mut Host) -> Outcome;

/// Why an event is too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLate {
    /// Name of the windows or the pattern.
    pub name: &'static str,
    /// When a record of this event would have been in time at the latest.
    pub until: Timestamp,
}

/// What becomes of an event that is too late.
#[derive(Debug, Clone, Copy)]
enum Late {
    Reject,
    EmitTo(&'static str),
    Call(LateFn),
}

/// What a declaration of windows or of a pattern says besides what it is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) name: &'static str,
    /// Names of its state and its timer begin so: `window` or `pattern`.
    kind: &'static str,
    /// Milliseconds, as all here.
    pub(crate) lateness: u64,
    keep: u64,
    ahead: u64,
    late: Late,
}

impl Terms {
    /// The defaults.
    ///
    /// # Panics
    ///
    /// When `name` is not 1 to 100 bytes without `/`.
    pub(crate) const fn new(kind: &'static str, name: &'static str) -> Self {
        assert!(!name.is_empty() && name.len() <= NAME_BYTES_MAX, "a name has 1 to 100 bytes");
        let mut at = 0;
        while at < name.len() {
            assert!(name.as_bytes()[at] != b'/', "a name has no slash");
            at += 1;
        }
        let (lateness, keep, ahead) = (LATENESS_MS, KEEP_MS, AHEAD_MS);
        Self { name, kind, lateness, keep, ahead, late: Late::Reject }
    }

    pub(crate) const fn set_lateness(&mut self, lateness: Duration) {
        self.lateness = length_ms(lateness);
    }

    pub(crate) const fn set_keep(&mut self, keep: Duration) {
        self.keep = ms(keep);
        assert!(self.keep <= KEEP_MS_MAX, "it is kept for 3 days at most");
    }

    pub(crate) const fn set_ahead(&mut self, ahead: Duration) {
        self.ahead = ms(ahead);
        assert!(self.ahead <= AHEAD_MS_MAX, "events are 30 days ahead at most");
    }

    pub(crate) const fn set_late_to(&mut self, topic: &'static str) {
        self.late = Late::EmitTo(topic);
    }

    pub(crate) const fn set_late(&mut self, late: LateFn) {
        self.late = Late::Call(late);
    }

    /// Begins the names of all its state, and is the name of its timer.
    pub(crate) fn name_of_all(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// Refuses an event that is too far ahead of its record: its window would stay open for long,
    /// and the clock that gave it its time is wrong.
    pub(crate) fn check_ahead(&self, event: &Event) -> Result<(), Failure> {
        let latest = event.timestamp.after(Duration::from_millis(self.ahead));
        if event.time <= latest {
            return Ok(());
        }
        let (name, time, came) = (self.name, event.time, event.timestamp);
        let reason = format!("{name}: the event says {time}, but its record came at {came}");
        Err(reject(
            "time-ahead",
            format!("{reason}; correct the producer's clock, or raise `ahead`"),
        ))
    }

    /// Whether an event is too late for what ends at `end`. A rule of the record alone.
    pub(crate) const fn is_late(&self, event: &Event, end: u64) -> bool {
        event.timestamp.as_millis() > end.saturating_add(self.lateness)
    }

    /// Does with an event that is too late for what ends at `end` as declared.
    pub(crate) fn take_late(&self, event: &Event, end: u64, host: &mut Host) -> Outcome {
        let until = Timestamp::from_millis(end.saturating_add(self.lateness));
        let (name, time, came) = (self.name, event.time, event.timestamp);
        let topic = match self.late {
            Late::Reject => {
                let reason = format!("{name}: what happened at {time} counted until {until}");
                let way_out = "raise `lateness` and replay, or declare `late_to`";
                return Err(reject("too-late", format!("{reason}, and came at {came}; {way_out}")));
            }
            Late::Call(late) => {
                self.count_late(host)?;
                return late(event, &TooLate { name, until }, host);
            }
            Late::EmitTo(topic) => topic,
        };
        self.count_late(host)?;
        let emission = Emission {
            content_type: event.content_type.clone(),
            version: event.version.clone(),
            subject: event.subject.clone(),
            ..Emission::new(topic, &*event.event_type, &*event.payload)
        };
        let emission = emission
            .header("late-for", name)
            .header("late-time", time.to_string())
            .header("late-until", until.to_string())
            .header("late-came", came.to_string());
        Ok(host.emit(emission)?)
    }

    /// Events of the key that were too late and not rejected.
    pub(crate) fn late_count(&self, host: &mut Host) -> Result<u64, StateError> {
        Ok(host.state().get_json(&self.late_name())?.unwrap_or(0))
    }

    fn count_late(&self, host: &mut Host) -> Result<(), StateError> {
        let count = self.late_count(host)? + 1;
        host.state().set_json(&self.late_name(), &count)
    }

    fn late_name(&self) -> String {
        format!("{}/late", self.name_of_all())
    }

    /// The failure of an event that is in time, but whose window's state is gone already.
    pub(crate) fn gone(&self, event: &Event, gone: u64) -> Failure {
        let (name, time, gone) = (self.name, event.time, Timestamp::from_millis(gone));
        let reason = format!("{name}: what happened at {time} was read when all before {gone} was");
        reject("window-gone", format!("{reason} let go; raise `keep` and replay"))
    }

    /// The last moment of which nothing can come, once a record that came at `came` was read and
    /// events of a key are read no further apart than `keep`.
    pub(crate) const fn proved_by(&self, came: u64) -> u64 {
        came.saturating_sub(self.lateness).saturating_sub(self.keep)
    }

    /// When what ends at `end` is let go without proof.
    pub(crate) const fn quiet_due(&self, end: u64) -> u64 {
        end + self.lateness + self.keep.saturating_mul(KEEP_QUIET)
    }
}

/// Whole milliseconds of a duration.
const fn ms(duration: Duration) -> u64 {
    assert!(duration.as_secs() <= 365 * 86_400, "a duration is a year at most");
    duration.as_secs() * 1_000 + duration.subsec_millis() as u64
}

/// Whole milliseconds of what a window is made of.
///
/// # Panics
///
/// When they are over 90 days.
pub(crate) const fn length_ms(duration: Duration) -> u64 {
    let length = ms(duration);
    assert!(length <= LENGTH_MS_MAX, "lengths and lateness are 90 days at most");
    length
}

/// The text of a key.
pub(crate) fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// The builders and readers that every declaration with a field `terms` has.
macro_rules! with_terms {
    () => {
        /// Events count when their record came until so long after the end: 0 to 90 days, default
        /// 1 minute. Results are told then, so it is also how long they take.
        ///
        /// # Panics
        ///
        /// Beyond 90 days; in a constant that is an error of the compiler.
        #[must_use]
        pub const fn lateness(mut self, lateness: std::time::Duration) -> Self {
            self.terms.set_lateness(lateness);
            self
        }

        /// State outlives its end and `lateness` until the key has read a record that came so much
        /// later: 0 to 3 days, default 1 hour. Where the key has no more events, it is let go 24
        /// times `keep` after that (a day), by a timer.
        ///
        /// Choose more than topics of the subscription may be read apart, measured in their
        /// records' time. An event that is in time and read beyond that is rejected as
        /// `window-gone`: it is never counted in part.
        ///
        /// # Panics
        ///
        /// Beyond 3 days; in a constant that is an error of the compiler.
        #[must_use]
        pub const fn keep(mut self, keep: std::time::Duration) -> Self {
            self.terms.set_keep(keep);
            self
        }

        /// Events whose time is further ahead of their record are rejected as `time-ahead`: 0 to 30
        /// days, default 1 day.
        ///
        /// # Panics
        ///
        /// Beyond 30 days; in a constant that is an error of the compiler.
        #[must_use]
        pub const fn ahead(mut self, ahead: std::time::Duration) -> Self {
            self.terms.set_ahead(ahead);
            self
        }

        /// Events that are too late are emitted to `topic` as they are, with the headers
        /// `late-for`, `late-time`, `late-until` and `late-came`, and counted. Without this, or
        /// [`Self::late`], they are rejected as `too-late` and become dead letters.
        #[must_use]
        pub const fn late_to(mut self, topic: &'static str) -> Self {
            self.terms.set_late_to(topic);
            self
        }

        /// Events that are too late are counted and given to `late`, which does as it likes.
        #[must_use]
        pub const fn late(mut self, late: $crate::windows::LateFn) -> Self {
            self.terms.set_late(late);
            self
        }

        /// Events of the handled event's key that were too late and not rejected.
        ///
        /// # Errors
        ///
        /// As [`State::get_json`](crate::State::get_json).
        pub fn late_count(&self, host: &mut $crate::Host) -> Result<u64, $crate::StateError> {
            self.terms.late_count(host)
        }
    };
}
pub(crate) use with_terms;
