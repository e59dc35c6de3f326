//! Owns what is told of a rebuild: how far each partition is, and what differs. It decides nothing.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{RebuildError, Wanted};

/// Differences told in full, per partition.
const DIFFERENCES_MAX: usize = 20;

/// What a rebuild has done so far.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) subscription: String,
    pub(crate) status: Status,
    pub(crate) dry_run: bool,
    pub(crate) partitions: Vec<Part>,
    /// Partitions that other hosts have, or none has now.
    pub(crate) partitions_elsewhere: Vec<u32>,
    /// Why it ended early.
    pub(crate) error: Option<Told>,
}

/// How a rebuild stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Running,
    Done,
    Cancelled,
    Failed,
}

/// How a partition stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    #[default]
    Waiting,
    /// Events go through the handlers beside the running ones.
    Replaying,
    /// The running one is held: the rest is replayed, compared and put in its place.
    Held,
    Done,
}

/// One partition of a rebuild.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Part {
    pub(crate) partition: u32,
    pub(crate) step: Step,
    /// Events that the running one has finished, as far as is known, in all topics.
    pub(crate) total: u64,
    /// Events replayed or passed by.
    pub(crate) events: u64,
    /// Timers that fired, whatever came of them.
    pub(crate) timers_fired: u64,
    /// Events and timers whose attempts were used up, by class: the new state has nothing of them.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Events that are dead letters, and parked ones: neither state has anything of them.
    pub(crate) left_out: u64,
    /// What differs between the running state and the new one; none before they are compared.
    pub(crate) differs: Option<Differs>,
}

/// What differs between two states.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Differs {
    /// Keys with a value or timer that differs.
    pub(crate) keys: u64,
    /// Values only the new state has.
    pub(crate) added: u64,
    /// Values that are others.
    pub(crate) changed: u64,
    /// Values only the running state has.
    pub(crate) removed: u64,
    /// Timers set, changed or cancelled.
    pub(crate) timers: u64,
    /// The first of them.
    pub(crate) first: Vec<Difference>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    pub(crate) key: Value,
    pub(crate) name: String,
    pub(crate) what: &'static str,
}

/// An error as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Told {
    code: &'static str,
    message: String,
    hint: &'static str,
}

impl Report {
    pub(super) fn new(
        subscription: &str,
        wanted: &Wanted,
        here: &[u32],
        elsewhere: &[u32],
    ) -> Self {
        let part = |partition: &u32| Part { partition: *partition, ..Part::default() };
        Self {
            subscription: subscription.to_owned(),
            status: Status::Running,
            dry_run: wanted.dry_run,
            partitions: here.iter().map(part).collect(),
            partitions_elsewhere: elsewhere.to_vec(),
            error: None,
        }
    }
}

impl Differs {
    pub(super) fn note(&mut self, key: &[u8], name: &str, what: &'static str) {
        if self.first.len() < DIFFERENCES_MAX {
            let key = crate::replay::text(key);
            self.first.push(Difference { key, name: name.to_owned(), what });
        }
    }
}

impl From<&RebuildError> for Told {
    fn from(error: &RebuildError) -> Self {
        let message = crate::error::chain(error);
        Self { code: error.code(), message, hint: error.hint() }
    }
}
