//! Owns why an operator's question about consumer groups is not answered, with code and hint.

use gristmill_kafka::{Class, Error as KafkaError};

/// Why consumer groups cannot be told of, or not be reset.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupsError {
    /// Topics live in the host's own store, where nobody shares them out.
    #[error("topics live in the host's own store, where there are no consumer groups")]
    Embedded,
    /// A secret of `[broker.properties]` cannot be read.
    #[error("read a secret of the configuration: {0}")]
    Secret(gristmill_config::Problem),
    /// The cluster refuses, or does not answer.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The group committed nothing that could be reset.
    #[error("group {group:?} has committed nothing")]
    Nothing {
        /// The group.
        group: String,
    },
    /// State is kept per subscription and cannot be cleared for some of its topics.
    #[error("clear a part of the state behind group {group:?}")]
    StateShared {
        /// The group.
        group: String,
    },
    /// Events of all topics are forwarded to one, where those of one topic cannot be told apart.
    #[error(
        "reset a part of group {group:?}, whose events are forwarded to the partition of their key"
    )]
    Forwarded {
        /// The group.
        group: String,
    },
    /// The group is no subscription's of this host name.
    #[error("clear the state behind group {group:?}: it is no subscription's of this host")]
    NoState {
        /// The group.
        group: String,
    },
}

impl GroupsError {
    /// Stable code; `docs/errors` has a page for each.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Embedded => "E0427",
            Self::Secret(problem) => problem.code,
            Self::Kafka(error) => error.code(),
            Self::Nothing { .. } => "E0430",
            Self::StateShared { .. } | Self::NoState { .. } => "E0431",
            Self::Forwarded { .. } => "E0434",
        }
    }

    /// What to do about it, where something can be done.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Embedded => Some(
                "`gristmill subscriptions list` shows how far subscriptions are; groups exist with \
                 `kind = \"kafka\"` in [broker]",
            ),
            Self::Secret(_) => None,
            Self::Kafka(error) => Some(error.hint()),
            Self::Nothing { .. } => Some("name a topic to say where it begins to read that"),
            Self::StateShared { .. } => Some("reset all topics of the group, or keep its state"),
            Self::Forwarded { .. } => Some("reset all topics of the group"),
            Self::NoState { .. } => {
                Some("keep the state; `gristmill groups list` shows whose is whose")
            }
        }
    }

    /// Whether nothing about the question is wrong: what is around it failed.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Kafka(error) => error.class() != Class::Reject,
            Self::Secret(_) => true,
            Self::Embedded
            | Self::Nothing { .. }
            | Self::StateShared { .. }
            | Self::Forwarded { .. }
            | Self::NoState { .. } => false,
        }
    }
}
