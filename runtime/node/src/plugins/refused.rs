//! Why a version of a plugin does not run: what operators read, and what would have to change.

use std::fmt;

use gristmill_store::Failed;

use crate::broker;

/// Why a version is refused: what operators read in log, HTTP and command line.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    reason: String,
    cause: Cause,
}

/// What is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The plugin's files.
    Files,
    /// Topics, or that they do not answer.
    Topics,
    /// The topics of a subscription have more partitions than its state.
    Misplaced,
}

impl Refused {
    /// For what its files are.
    pub(super) fn for_files(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), cause: Cause::Files }
    }

    /// For what topics there are.
    pub(super) fn for_topics(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), cause: Cause::Topics }
    }

    /// For topics that have grown beyond its state.
    pub(super) fn misplaced(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), cause: Cause::Misplaced }
    }

    /// Whether it may be good when topics have changed.
    pub(super) fn waits_for_topics(&self) -> bool {
        self.cause != Cause::Files
    }

    /// Whether keys are not where their state is: what runs must stop as well.
    pub(super) fn is_misplaced(&self) -> bool {
        self.cause == Cause::Misplaced
    }

    /// The files could not be kept for a later rollback.
    pub(super) fn keep(error: &std::io::Error) -> Self {
        Self::for_files(format!("keep the plugin's files for rollback: {error}"))
    }

    /// The store refused a write.
    pub(super) fn store(failed: &Failed) -> Self {
        Self::for_files(crate::error::chain(failed))
    }
}

impl From<broker::Error> for Refused {
    fn from(error: broker::Error) -> Self {
        Self::for_topics(crate::error::chain(&error))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.reason)
    }
}
