//! Owns how a replication is held up, its codes (E0520 to E0539) and the ways out. It decides
//! nothing.

use crate::broker;

/// Why a replication, a topic of it or a partition does not go on.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Error {
    /// The other cluster does not answer. It passes.
    #[error("reach the other cluster")]
    Away(#[source] gristmill_kafka::Error),
    /// The other cluster refuses something.
    #[error("use the other cluster")]
    There(#[source] gristmill_kafka::Error),
    /// This host's own topics cannot be read.
    #[error("read the topics of this host")]
    Here(#[source] broker::Error),
    /// Its progress would be lost.
    #[error("keep progress in topic \"{topic}\": its `cleanup.policy` is not `compact`")]
    Progress {
        /// The topic.
        topic: String,
    },
    /// The other cluster is this one.
    #[error("copy to another cluster: its brokers are those of this host's own, cluster {id}")]
    SameCluster {
        /// Its id.
        id: String,
    },
    /// A topic has too few partitions over there.
    #[error("copy to topic \"{topic}\": it has {has} partitions there, and {wanted} here")]
    Partitions {
        /// Its name over there.
        topic: String,
        /// How many it has.
        has: u32,
        /// How many it has here.
        wanted: u32,
    },
    /// A record will never be taken.
    #[error("copy the record at offset {offset} of partition {partition}")]
    Record {
        /// Its partition.
        partition: u32,
        /// Its offset.
        offset: u64,
        /// What was said.
        #[source]
        source: gristmill_kafka::Error,
    },
}

impl Error {
    /// What an error of the other cluster means.
    pub(super) fn there(error: gristmill_kafka::Error) -> Self {
        if error.is_retriable() { Self::Away(error) } else { Self::There(error) }
    }

    /// Stable code; `docs/errors` has a page for each.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Away(_) => "E0520",
            Self::There(error) => error.code(),
            Self::Here(error) => error.code(),
            Self::Progress { .. } | Self::SameCluster { .. } => "E0521",
            Self::Partitions { .. } => "E0522",
            Self::Record { .. } => "E0523",
        }
    }

    /// Whether it passes by itself.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Away(_))
    }
}

/// Records will soon be removed here that are not copied yet.
pub(super) const SOON_LOST: &str = "E0524";
/// Records were removed here before they were copied.
pub(super) const LOST: &str = "E0525";
/// A partition ends here before what was copied of it.
pub(super) const GONE_BACK: &str = "E0526";
/// A record was left out, because it would never be taken.
pub(super) const LEFT_OUT: &str = "E0527";
/// A topic over there was deleted, and is made again.
pub(super) const MADE_AGAIN: &str = "E0528";
