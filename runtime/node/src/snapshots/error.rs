//! Owns why a snapshot is not taken or not used, with code and hint.

use gristmill_store::Error as StoreError;

/// Why a snapshot is not taken, or not used. No state is changed by that.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// There is none of that name.
    #[error("there is no snapshot {name:?} of subscription {subscription:?}")]
    Unknown { subscription: String, name: String },
    /// There is one of that name.
    #[error("there is a snapshot {name:?} of subscription {subscription:?}")]
    Exists { subscription: String, name: String },
    /// Its state cannot be rebuilt, so that a snapshot is of no use.
    #[error("the state of subscription {subscription:?} cannot be rebuilt: {why}")]
    Impossible { subscription: String, why: &'static str },
    /// One is being taken.
    #[error("a snapshot of subscription {subscription:?} is being taken")]
    Busy { subscription: String },
    /// Its state was replaced, or its partition left, while it was copied.
    #[error("partition {partition} of subscription {subscription:?} was moved meanwhile")]
    Moved { subscription: String, partition: u32 },
    /// No partition of the subscription is on this host.
    #[error("this host has no partition of subscription {subscription:?}")]
    NotHere { subscription: String },
    /// Partitions that are here are not in it.
    #[error("snapshot {name:?} has nothing of partitions {partitions:?}, which are on this host")]
    Lacks { name: String, partitions: Vec<u32> },
    /// It is of another subscription, host or life of a topic.
    #[error("snapshot {name:?} is not of what subscription {subscription:?} is now: {why}")]
    Foreign { subscription: String, name: String, why: String },
    /// Its files, or the store.
    #[error("read or write a snapshot")]
    Store(#[from] StoreError),
}

impl SnapshotError {
    /// Stable code; `docs/errors` has a page for each.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "E0420",
            Self::Exists { .. } => "E0530",
            Self::Impossible { .. } => "E0518",
            Self::Busy { .. } => "E0515",
            Self::Moved { .. } => "E0516",
            Self::NotHere { .. } | Self::Lacks { .. } => "E0532",
            Self::Foreign { .. } => "E0531",
            Self::Store(error) => error.code(),
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "`gristmill snapshot list` shows those of this host",
            Self::Exists { .. } => "give it another name, or delete the one that is there",
            Self::Impossible { .. } => "the page of the code says what can be",
            Self::Busy { .. } => "wait for its end",
            Self::Moved { .. } => "take it again when it has come to rest",
            Self::NotHere { .. } => "ask a host that has partitions of it",
            Self::Lacks { .. } => "bring their files from the host that has them, or rebuild there",
            Self::Foreign { .. } => "take one now; until then rebuild from the beginning",
            Self::Store(error) => error.hint(),
        }
    }
}
