//! Owns what operators are shown of replications. It decides nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::error::Error;
use crate::error::chain;

/// How a replication is, as of its last look.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// Its name.
    pub(crate) name: String,
    /// Where records come from.
    pub(crate) cluster: String,
    /// Where they go.
    pub(crate) to_cluster: String,
    /// Brokers of the other cluster.
    pub(crate) brokers: Vec<String>,
    /// How it is.
    pub(crate) state: State,
    /// Since when, in milliseconds since 1970.
    pub(crate) since_ms: u64,
    /// Why it is so.
    pub(crate) error: Option<Told>,
    /// Shares of the work that this host has.
    pub(crate) slots_held: usize,
    /// Shares that there are; 0 while nobody knows.
    pub(crate) slots: u32,
    /// Topics that are copied, by name.
    pub(crate) topics: Vec<TopicReport>,
}

/// How a replication is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It has not reached the other cluster yet.
    Starts,
    /// It copies what there is.
    Runs,
    /// The other cluster does not answer.
    Away,
    /// It is refused something, and waits until that is changed.
    Refused,
}

/// An error with its code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Told {
    /// The code of its page.
    pub(crate) code: &'static str,
    /// What went wrong.
    pub(crate) text: String,
}

/// How a topic is copied.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TopicReport {
    /// Its name here.
    pub(crate) topic: String,
    /// Its name there.
    pub(crate) to: String,
    /// How it is.
    pub(crate) state: TopicState,
    /// Records that are not copied; `None` while nobody knows.
    pub(crate) lag: Option<u64>,
    /// Age of the oldest of them, in seconds.
    pub(crate) lag_seconds: Option<f64>,
    /// Why it is not copied.
    pub(crate) error: Option<Told>,
    /// Partitions that wait for a record which is not taken.
    pub(crate) waiting: Vec<Waiting>,
}

/// How a topic is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TopicState {
    /// All of it.
    Runs,
    /// But for partitions that wait.
    Waits,
    /// Not at all.
    Refused,
}

/// A partition that waits for a record which is not taken.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Waiting {
    /// The partition.
    pub(crate) partition: u32,
    /// Offset of the record here.
    pub(crate) offset: u64,
    /// Why it is not taken.
    pub(crate) error: Told,
}

impl From<&Error> for Told {
    fn from(error: &Error) -> Self {
        Self { code: error.code(), text: chain(error) }
    }
}

/// The last report of a replication.
#[derive(Debug)]
pub(super) struct View(Mutex<Report>);

impl View {
    pub(super) fn new(report: Report) -> Self {
        Self(Mutex::new(report))
    }

    pub(super) fn show(&self, report: Report) {
        *self.lock() = report;
    }

    pub(super) fn report(&self) -> Report {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
        // Every change is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
