//! Owns rebuilds: the state of a subscription made anew from its topics, beside the running one,
//! and put in its place at a checkpoint. It never decides how an event is handled.

mod base;
mod compare;
mod deaths;
mod error;
mod held;
mod job;
mod partition;
mod report;
mod resume;
mod sources;
mod switch;

use serde::Deserialize;

pub(crate) use self::error::{RebuildError, why_impossible};
pub(crate) use self::job::{Job, Jobs, Within, clear_left};
pub(crate) use self::report::Report;

/// How a state is to be rebuilt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Events per second and partition at most.
    pub(crate) rate: Option<u32>,
    /// Whether it is only compared with the running one.
    pub(crate) dry_run: bool,
    pub(crate) from: From,
    /// A snapshot to begin with; then `from` is of what came after it.
    pub(crate) from_snapshot: Option<String>,
}

/// Where a rebuild begins in each topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum From {
    /// Where the subscription began; that must still be there.
    #[default]
    Earliest,
    /// At the first event that is still held.
    EarliestHeld,
}
