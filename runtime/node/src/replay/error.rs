//! Owns why a replay is not begun, or ended early, with code and hint.

use gristmill_engine::Instant;

use crate::broker::{self, Failed};
use crate::envelope::time;

/// Why a replay is not begun, or ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// The range begins before what the topic still holds.
    #[error("{topic}/{partition} holds nothing of what is asked for before offset {earliest}{}",
        since(*.earliest_at))]
    Gone {
        topic: String,
        partition: u32,
        /// The first offset there is.
        earliest: u64,
        /// When its event was published; none where there is none.
        earliest_at: Option<Instant>,
    },
    /// The subscription does not read the topic.
    #[error("subscription {subscription:?} does not read topic {topic:?}")]
    NotRead {
        subscription: String,
        topic: String,
        /// Those it reads.
        reads: Vec<String>,
    },
    /// Another replay of the subscription is under way.
    #[error("a replay of subscription {subscription:?} is under way")]
    Busy { subscription: String },
    /// The state of a partition is not on this host.
    #[error("the state of partitions {partitions:?} of subscription {subscription:?} is not here")]
    Elsewhere { subscription: String, partitions: Vec<u32> },
    /// What handlers wrote fills the memory a replay may have.
    #[error("what handlers wrote fills {bytes} bytes, which is all a replay may keep")]
    Full { bytes: u64 },
    /// The plugin cannot be called.
    #[error("prepare calls of the plugin")]
    Plugin(#[from] gristmill_plugin_host::Error),
    /// The topic cannot be read.
    #[error("read the range")]
    Read(#[from] broker::Error),
    /// Events cannot be put back.
    #[error("put events back")]
    Write(#[from] Failed),
    /// Its thread cannot be started.
    #[error("start the thread of a replay")]
    Thread(#[source] std::io::Error),
}

/// What whoever asked can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Ask for something else.
    Reject,
    /// Ask again when something has changed.
    Conflict,
    /// Look at the host.
    Broken,
}

impl ReplayError {
    /// Stable code; `docs/errors` has a page for each.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Gone { .. } => "E0500",
            Self::NotRead { .. } => "E0510",
            Self::Busy { .. } => "E0515",
            Self::Elsewhere { .. } => "E0516",
            Self::Full { .. } => "E0517",
            Self::Plugin(error) => error.code(),
            Self::Read(broker::Error::Store(error)) => error.code(),
            Self::Read(broker::Error::Kafka(error)) | Self::Write(Failed::Kafka(error)) => {
                error.code()
            }
            Self::Write(Failed::Store(failed)) => failed.error().code(),
            Self::Thread(_) => "E0422",
        }
    }

    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Gone { .. } | Self::NotRead { .. } => Class::Reject,
            Self::Busy { .. } | Self::Elsewhere { .. } => Class::Conflict,
            Self::Full { .. }
            | Self::Plugin(_)
            | Self::Read(_)
            | Self::Write(_)
            | Self::Thread(_) => Class::Broken,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Gone { earliest, .. } => format!(
                "begin at what there is, with `--from earliest` or offset {earliest}; what \
                 retention removed cannot be replayed"
            ),
            Self::NotRead { reads, .. } => format!("it reads {}", reads.join(", ")),
            Self::Busy { .. } => "wait for its end, or cancel it".to_owned(),
            Self::Elsewhere { .. } => {
                "ask the host that has them, name partitions that are here, or begin with an \
                 empty state"
                    .to_owned()
            }
            Self::Full { .. } => "replay a shorter range".to_owned(),
            Self::Plugin(_) | Self::Read(_) | Self::Write(_) | Self::Thread(_) => {
                "the host's log says more".to_owned()
            }
        }
    }
}

fn since(at: Option<Instant>) -> String {
    at.map(|at| format!(", of {}", time::format(at))).unwrap_or_default()
}
