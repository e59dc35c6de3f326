//! Owns replays: a range of a topic through one subscription once more, with its effects
//! suppressed or applied. It never decides how an event is handled.

mod apply;
mod error;
mod job;
mod pace;
mod range;
mod report;
mod suppress;

use serde::{Deserialize, Serialize};

pub(crate) use self::error::{Class, ReplayError};
pub(crate) use self::job::{Job, Jobs};
pub(crate) use self::pace::Pace;
pub(crate) use self::range::Place;
pub(crate) use self::report::{Effect, Report, text};

/// Events of a replay unless told otherwise.
const LIMIT: u64 = 1_000;
/// Events of a replay at most.
pub(crate) const LIMIT_MAX: u64 = 100_000;
/// Events of a replay at most whose effects are shown.
pub(crate) const SHOWN_MAX: u64 = 1_000;
/// Events per second at most.
pub(crate) const RATE_MAX: u32 = 100_000;

/// What is to be replayed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The topic.
    pub(crate) topic: String,
    /// One partition of it, or all.
    pub(crate) partition: Option<u32>,
    /// The first event.
    pub(crate) from: Place,
    /// The first event that is left out.
    pub(crate) to: Place,
    /// Events at most.
    pub(crate) limit: u64,
    /// Events per second at most.
    pub(crate) rate: Option<u32>,
    pub(crate) effects: Effects,
    /// What a suppressed replay's state begins with.
    pub(crate) state: State,
    /// Whether what each event does is kept to be shown.
    pub(crate) show: bool,
}

/// What becomes of the effects of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Effects {
    /// They are told, and nothing of them is done.
    #[default]
    Suppress,
    /// They are done once more.
    Apply,
}

/// What a suppressed replay's state begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Nothing.
    #[default]
    Empty,
    /// The running state.
    Live,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            topic: String::new(),
            partition: None,
            from: Place::Earliest,
            to: Place::Latest,
            limit: LIMIT,
            rate: None,
            effects: Effects::default(),
            state: State::default(),
            show: false,
        }
    }
}
