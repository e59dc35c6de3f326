//! Owns what one version of a subscription is bound to: its plugin, its checked manifest entry and
//! the topics it reads and writes, resolved to the store's numbers. It never changes once made; an
//! upgrade makes a new one.

use std::sync::Arc;

use bytestring::ByteString;
use gristmill_config::SubscriptionConfig;
use gristmill_engine::{PartitionId, SubscriptionId, TopicId, Version};
use gristmill_plugin_host::{Plugin, RunnerSettings};
use gristmill_store::{Store, Topic};

use crate::envelope::EnvelopeRules;
use crate::metrics::SubscriptionMetrics;

/// One version of a subscription.
#[derive(Debug)]
pub(crate) struct Binding {
    /// The store's number of the subscription; the same for all its versions.
    pub(crate) subscription: SubscriptionId,
    /// Counts the versions this process has bound, from 1.
    pub(crate) version: Version,
    /// The subscription's name.
    pub(crate) name: Arc<str>,
    /// The plugin's name.
    pub(crate) plugin_name: Arc<str>,
    /// The compiled plugin.
    pub(crate) plugin: Plugin,
    /// Its entry in the manifest.
    pub(crate) config: SubscriptionConfig,
    /// How its events are read.
    pub(crate) rules: EnvelopeRules,
    /// The topics it reads, its own last.
    pub(crate) sources: Vec<Source>,
    /// Where events go while the breaker is open, if they do not wait.
    pub(crate) fallback: Option<Destination>,
    /// Topics of the version before in this process, with the partitions they had.
    pub(crate) before: Vec<(TopicId, u32)>,
    /// The consumer group it is read in, or would be.
    pub(crate) group: String,
    /// The topic its state is kept in, when topics live in a cluster.
    pub(crate) changelog: Option<ByteString>,
    /// `source` of the events its handler publishes: `/{host}/{subscription}`.
    pub(crate) event_source: ByteString,
    /// How its attempts are run: limits, grants, configuration with secrets read.
    pub(crate) runner: RunnerSettings,
    /// Its instruments, resolved once.
    pub(crate) metrics: Arc<SubscriptionMetrics>,
}

/// A topic a subscription reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The topic.
    pub(crate) topic: TopicId,
    /// Its name.
    pub(crate) name: ByteString,
    /// Tells one life of the name from the next.
    pub(crate) incarnation: u128,
    /// How many partitions it has.
    pub(crate) partitions: u32,
    /// Where events given up on go; `None` with `dead_letter = false`.
    pub(crate) dead_letters: Option<Destination>,
    /// Whether an expression selects it, and not its name.
    pub(crate) is_matched: bool,
    /// What it is to the subscription.
    pub(crate) role: Role,
}

/// What a topic is to a subscription that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The manifest names it, or matches it.
    Given,
    /// Its own topic for dead letters that are driven again.
    Redrive,
    /// Its own topic for events that were forwarded to the partition of their key.
    Repartition,
}

/// A topic the host itself writes events to: dead letters, or what falls back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The topic.
    pub(crate) topic: TopicId,
    /// How many partitions it has.
    pub(crate) partitions: u32,
}

impl Source {
    /// A topic of that role without dead letters, which nobody had to match.
    pub(crate) fn of(topic: &Topic, role: Role) -> Self {
        Self {
            topic: topic.id,
            name: topic.name.clone(),
            incarnation: topic.incarnation(),
            partitions: topic.partitions,
            dead_letters: None,
            is_matched: false,
            role,
        }
    }
}

impl Binding {
    /// The source of that number, if the subscription reads it.
    pub(crate) fn source(&self, topic: TopicId) -> Option<&Source> {
        self.sources.iter().find(|source| source.topic == topic)
    }

    /// Its own topic of that role, if it has one.
    pub(crate) fn own(&self, role: Role) -> Option<&Source> {
        self.sources.iter().find(|source| source.role == role)
    }

    /// Where events of its given topics are forwarded to before they are handled.
    pub(crate) fn forwards_to(&self) -> Option<&Source> {
        self.config.repartition?;
        self.own(Role::Repartition)
    }

    /// The partition number in which an event of this key is handled, when it came in `partition`
    /// of a topic. Null keys stay with those of their partition.
    pub(crate) fn number_of(&self, key: Option<&[u8]>, partition: PartitionId) -> PartitionId {
        let Some(repartition) = self.forwards_to() else { return partition };
        Store::partition_among(repartition.partitions, key, u64::from(partition.0))
    }

    /// How many partition numbers its topics have.
    pub(crate) fn partitions(&self) -> u32 {
        self.sources.iter().map(|source| source.partitions).max().unwrap_or(0)
    }

    /// Whether a partition came while the subscription was there to read it: then all of it is
    /// read, whatever `start` says. `is_read` tells whether other topics were read at its number.
    pub(crate) fn came_later(
        &self,
        source: &Source,
        partition: PartitionId,
        is_read: bool,
    ) -> bool {
        let had = self.before.iter().find(|(topic, _)| *topic == source.topic);
        let has_grown = had.is_some_and(|(_, partitions)| partition.0 >= *partitions);
        has_grown || (source.is_matched && is_read)
    }

    /// The partition numbers that fall to worker `index` of `workers`. One number of every topic
    /// falls to one worker: a lane spans the topics of its subscription.
    pub(crate) fn partitions_of(
        &self,
        index: u32,
        workers: u32,
    ) -> impl Iterator<Item = PartitionId> + use<> {
        let stride = usize::try_from(workers.max(1)).unwrap_or(usize::MAX);
        (index..self.partitions()).step_by(stride).map(PartitionId)
    }
}
