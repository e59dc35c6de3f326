//! Owns what is known of a relay while it runs: its shards, its troubles, what waits and what is
//! parked. It decides nothing, and forgets everything at a restart: what must last is in the
//! table.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant as Moment;

use gristmill_outbox::{Backlog, Class, Error as DatabaseError};
use serde::Serialize;

use super::event::Misfit;
use crate::broker;
use crate::schemas::Away;

/// What a relay knows of itself.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Shards that this host holds.
    pub(super) shards: BTreeSet<u32>,
    /// What is wrong, by the shard it is wrong with; `None` for the relay itself.
    pub(super) troubles: BTreeMap<Option<u32>, Trouble>,
    /// Rows of this host's shards that cannot be published, by their ids.
    pub(super) parked: BTreeMap<String, Held>,
    /// Rows that wait.
    pub(super) pending: u64,
    /// Seconds that the oldest has waited.
    pub(super) lag: f64,
    /// The oldest row, and when it was first seen to be that.
    pub(super) oldest: Option<(String, Moment)>,
}

/// A row that is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) shard: u32,
    /// What waits behind it.
    pub(super) aggregate: String,
    /// Why.
    pub(super) misfit: Misfit,
}

/// Why rows do not get on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Stable code.
    pub(super) code: &'static str,
    /// In a sentence.
    pub(super) reason: String,
    /// Whether it passes by itself.
    pub(super) passes: bool,
}

/// How a relay stands, for whoever asks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Standing {
    pub(crate) name: String,
    pub(crate) table: String,
    /// `running`, `waiting` for a share, or `troubled`.
    pub(crate) state: &'static str,
    /// Why it is troubled.
    pub(crate) troubles: Vec<String>,
    /// Shards that this host holds, of how many.
    pub(crate) shards: Vec<u32>,
    pub(crate) shards_total: u32,
    pub(crate) pending: u64,
    pub(crate) lag_seconds: f64,
    /// Rows of this host's shards that are parked.
    pub(crate) parked: u64,
}

impl State {
    /// Notes what is wrong; true where nobody was told of it yet.
    pub(super) fn trouble(&mut self, with: Option<u32>, trouble: Trouble) -> bool {
        let is_known = self.troubles.values().any(|known| known.code == trouble.code);
        self.troubles.insert(with, trouble);
        !is_known
    }

    /// Nothing is wrong there any more; the trouble, where it was the last of its kind.
    pub(super) fn well(&mut self, with: Option<u32>) -> Option<Trouble> {
        let trouble = self.troubles.remove(&with)?;
        let is_left = self.troubles.values().any(|other| other.code == trouble.code);
        (!is_left).then_some(trouble)
    }

    /// Notes what waits. Where rows do not say how old they are, the oldest is as old as it has
    /// been that.
    pub(super) fn waits(&mut self, backlog: Backlog) {
        let Backlog { pending, oldest, age } = backlog;
        self.pending = pending;
        self.oldest = oldest.map(|id| match self.oldest.take() {
            Some((known, since)) if known == id => (known, since),
            _ => (id, Moment::now()),
        });
        let seen = self.oldest.as_ref().map_or(0.0, |(_, since)| since.elapsed().as_secs_f64());
        self.lag = if self.oldest.is_some() { age.unwrap_or(seen).max(0.0) } else { 0.0 };
    }
}

impl From<DatabaseError> for Trouble {
    fn from(error: DatabaseError) -> Self {
        let passes = error.class() == Class::Retry;
        Self { code: error.code(), reason: crate::error::chain(&error), passes }
    }
}

impl From<&broker::Failed> for Trouble {
    fn from(failed: &broker::Failed) -> Self {
        let code = match failed {
            broker::Failed::Store(failed) => failed.error().code(),
            broker::Failed::Kafka(error) => error.code(),
        };
        Self {
            code,
            reason: format!("publish rows: {}", crate::error::chain(failed)),
            passes: true,
        }
    }
}

impl From<Away> for Trouble {
    fn from(away: Away) -> Self {
        Self { code: away.code, reason: away.reason, passes: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(code: &'static str) -> Trouble {
        Trouble { code, reason: String::new(), passes: true }
    }

    #[test]
    fn a_trouble_of_many_shards_is_told_once() {
        let mut state = State::default();
        assert!(state.trouble(None, trouble("E0480")));
        assert!(!state.trouble(Some(1), trouble("E0480")));
        assert!(state.trouble(Some(2), trouble("E0703")));
        assert_eq!(state.well(None), None, "a shard still has it");
        assert_eq!(state.well(Some(1)).map(|it| it.code), Some("E0480"));
        assert_eq!(state.well(Some(1)), None);
    }

    #[test]
    fn lag_is_the_age_of_the_oldest_row() {
        let mut state = State::default();
        let backlog = |oldest: Option<&str>, age| Backlog {
            pending: 1,
            oldest: oldest.map(str::to_owned),
            age,
        };
        state.waits(backlog(Some("1"), Some(7.5)));
        assert!((state.lag - 7.5).abs() < f64::EPSILON);
        state.waits(backlog(Some("1"), None));
        let since = state.oldest.clone();
        state.waits(backlog(Some("1"), None));
        assert_eq!(state.oldest, since, "the same row is as old as it was");
        state.waits(backlog(None, None));
        assert!(state.lag.abs() < f64::EPSILON && state.oldest.is_none());
    }
}
