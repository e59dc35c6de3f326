//! Owns why a state is not rebuilt, with code and hint.

use std::fmt;

use gristmill_config::Guarantee;

use crate::broker::{self, Failed};
use crate::plugins::SubscriptionStatus;
use crate::shared::Shared;
use crate::snapshots::SnapshotError;

/// Why a state is not rebuilt. The running one is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RebuildError {
    /// What the state was made of is not all there any more.
    #[error("{topic}/{partition} holds nothing before offset {earliest}, and {began}")]
    Gone { topic: String, partition: u32, earliest: u64, began: Began },
    /// The snapshot it is to begin with is not there, or of no use.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A rebuild of the subscription is under way.
    #[error("a rebuild of subscription {subscription:?} is under way")]
    Busy { subscription: String },
    /// The state of this subscription cannot be made anew from its topics.
    #[error("the state of subscription {subscription:?} cannot be rebuilt: {why}")]
    Impossible { subscription: String, why: &'static str },
    /// An event cannot be handled now, or not without what it asks for.
    #[error("{topic}/{partition}/{offset} cannot be handled: {reason}")]
    Stuck { topic: String, partition: u32, offset: u64, reason: String },
    /// More differs than one transaction takes.
    #[error("partition {partition} differs in more than {most} bytes")]
    TooMuch { partition: u32, most: u64 },
    /// A partition went to another host meanwhile, or is being moved.
    #[error("partition {partition} of subscription {subscription:?} is being moved")]
    Moved { subscription: String, partition: u32 },
    /// Another version of the plugin came into use, or topics changed.
    #[error("subscription {subscription:?} was bound anew meanwhile")]
    Rebound { subscription: String },
    /// Whoever asked has enough, or the host stops.
    #[error("the rebuild was cancelled")]
    Cancelled,
    /// The plugin cannot be called.
    #[error("prepare calls of the plugin")]
    Plugin(#[from] gristmill_plugin_host::Error),
    /// Topics or state cannot be read.
    #[error("read what the state is made of")]
    Read(#[from] broker::Error),
    /// The new state cannot be written.
    #[error("write the new state")]
    Write(#[from] Failed),
    /// Its thread cannot be started.
    #[error("start the thread of a rebuild")]
    Thread(#[source] std::io::Error),
}

/// Where reading would have to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Began {
    /// Where the subscription began; and whether there is a snapshot of it.
    Once(u64, bool),
    /// Where the snapshot ends.
    Snapshot(u64),
}

impl fmt::Display for Began {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once(at, _) => write!(out, "the subscription began at {at}"),
            Self::Snapshot(at) => write!(out, "the snapshot ends at {at}"),
        }
    }
}

impl RebuildError {
    /// Stable code; `docs/errors` has a page for each.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Gone { .. } => "E0500",
            Self::Snapshot(error) => error.code(),
            Self::Busy { .. } => "E0515",
            Self::Impossible { .. } => "E0518",
            Self::Stuck { .. } => "E0519",
            Self::TooMuch { .. } => "E0517",
            Self::Moved { .. } | Self::Rebound { .. } => "E0516",
            Self::Cancelled => "E0421",
            Self::Plugin(error) => error.code(),
            Self::Read(broker::Error::Store(error)) => error.code(),
            Self::Read(broker::Error::Kafka(error)) | Self::Write(Failed::Kafka(error)) => {
                error.code()
            }
            Self::Write(Failed::Store(failed)) => failed.error().code(),
            Self::Thread(_) => "E0422",
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Gone { began: Began::Once(_, true), .. } => {
                "begin with a snapshot, with `--from-snapshot`: `gristmill snapshot list` shows \
                 which there are"
            }
            Self::Gone { .. } => "begin at what there is, with `--from earliest-held`",
            Self::Snapshot(error) => error.hint(),
            Self::Busy { .. } => "wait for its end, or cancel it",
            Self::Impossible { .. } => "the page of the code says what can be",
            Self::Stuck { .. } => "bring back what its handler needs, and rebuild again",
            Self::TooMuch { .. } => "the page of the code says how else",
            Self::Moved { .. } | Self::Rebound { .. } => "rebuild again when it has come to rest",
            Self::Cancelled => "the running state is as it was",
            Self::Plugin(_) | Self::Read(_) | Self::Write(_) | Self::Thread(_) => {
                "the host's log says more"
            }
        }
    }
}

/// Refuses a subscription whose state is not made of its topics alone.
pub(super) fn must_be_possible(
    shared: &Shared,
    status: &SubscriptionStatus,
) -> Result<(), RebuildError> {
    let Some(why) = why_impossible(shared, status) else { return Ok(()) };
    Err(RebuildError::Impossible { subscription: status.binding.name.to_string(), why })
}

/// Why the state of a subscription is not made of its topics alone, if it is not.
pub(crate) fn why_impossible(shared: &Shared, status: &SubscriptionStatus) -> Option<&'static str> {
    let (binding, config) = (&status.binding, &status.binding.config);
    let names = &shared.config.topics;
    let is_cluster = shared.broker.kafka().is_some();
    if !config.stateful() {
        Some("it keeps no state and sets no timers")
    } else if config.local {
        Some("its state is that of the subscriptions whose events it handles")
    } else if binding.forwards_to().is_some() {
        Some("its events are forwarded to the partition of their key")
    } else if names.local().any(|topic| config.grants.may_emit(topic)) {
        Some("handlers of local topics keep state with it")
    } else if is_cluster && shared.config.ceilings.guarantee != Guarantee::ExactlyOnce {
        Some("its state is not written in transactions")
    } else {
        None
    }
}

impl From<gristmill_store::Error> for RebuildError {
    fn from(error: gristmill_store::Error) -> Self {
        Self::Read(error.into())
    }
}

impl From<gristmill_store::Failed> for RebuildError {
    fn from(failed: gristmill_store::Failed) -> Self {
        Self::Write(failed.into())
    }
}
