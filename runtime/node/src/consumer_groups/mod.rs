//! Tells operators of the consumer groups of a cluster, and sets back what nobody reads. It joins
//! no group and needs no running host: HTTP uses it within one, the command line without.

mod error;
mod lag;
mod names;
mod reset;

use std::collections::{BTreeMap, BTreeSet};

use gristmill_config::{Broker, HostConfig};
use gristmill_kafka::{
    Cluster, CommittedOffset, Error as KafkaError, GroupDescription, Sought, TopicDescription,
};
use serde::Serialize;

pub use self::error::GroupsError;
use self::lag::{Bounds, Committed};
pub use self::lag::{MemberTopic, PartitionLag};
use self::names::Names;
pub use self::reset::{OffsetChange, Reset, ResetTo, StateChoice};
use crate::connecting;

/// The consumer groups of a cluster, some of which are of subscriptions of one host name.
#[derive(Debug, Clone)]
pub struct ConsumerGroups {
    cluster: Cluster,
    names: Names,
}

/// A group among others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupSummary {
    /// Its name.
    pub group: String,
    /// The subscription it is of, where it is of one of this host name.
    pub subscription: Option<String>,
    /// `Stable`, `Empty`, `PreparingRebalance`, `CompletingRebalance` or `Dead`, as Kafka has it.
    pub state: String,
    /// How many members it has.
    pub members: usize,
    /// Offsets between what it committed and what can be read, over all partitions it committed
    /// anything of; `None` where it committed nothing.
    pub lag: Option<u64>,
}

/// A group with its members and what it committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupReport {
    /// Its name.
    pub group: String,
    /// The subscription it is of, where it is of one of this host name.
    pub subscription: Option<String>,
    /// As in [`GroupSummary`].
    pub state: String,
    /// What deals out its partitions; empty while it has no members.
    pub assignor: String,
    /// Its members, by id.
    pub members: Vec<GroupMember>,
    /// As in [`GroupSummary`].
    pub lag: Option<u64>,
    /// Every partition of every topic it committed anything of.
    pub offsets: Vec<PartitionLag>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupMember {
    /// The id the group gave it.
    pub id: String,
    /// Its `client.id`.
    pub client_id: String,
    /// The address it connects from.
    pub host: String,
    /// What it reads; of a subscription's group this follows from the numbers it holds of the
    /// subscription's changelog. Empty while the group rebalances.
    pub partitions: Vec<MemberTopic>,
}

impl ConsumerGroups {
    /// Those of the cluster that a host of this configuration would use. Waits for no broker.
    ///
    /// # Errors
    ///
    /// [`GroupsError::Embedded`] where the configuration names no cluster,
    /// [`GroupsError::Secret`], and [`GroupsError::Kafka`] for properties that make no client.
    pub fn connect(config: &HostConfig) -> Result<Self, GroupsError> {
        let Broker::Kafka(kafka) = &config.broker else { return Err(GroupsError::Embedded) };
        // No host: it takes part in nothing, so it needs no identity of its own.
        let settings =
            connecting::settings(config, kafka, OPERATOR).map_err(GroupsError::Secret)?;
        gristmill_kafka::check(&settings)?;
        let cluster = Cluster::connect(settings)?;
        Self::of(cluster, config)
    }

    /// The same through the connection of a running host.
    pub(crate) fn of(cluster: Cluster, config: &HostConfig) -> Result<Self, GroupsError> {
        let names = Names::new(config).ok_or(GroupsError::Embedded)?;
        Ok(Self { cluster, names })
    }

    /// All groups, by name. Waits.
    ///
    /// # Errors
    ///
    /// [`GroupsError::Kafka`] when the cluster does not answer.
    pub fn list(&self) -> Result<Vec<GroupSummary>, GroupsError> {
        let topics = self.cluster.topics()?;
        let subscriptions = self.names.by_group(&topics);
        let groups = self.cluster.groups()?;
        let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        let committed = self.committed(&names, &topics)?;
        let wanted = committed.iter().flat_map(|it| it.keys().cloned()).collect();
        let bounds = self.bounds(&wanted)?;
        let summary = |(group, committed): (GroupDescription, Committed)| GroupSummary {
            subscription: subscriptions.get(&group.name).cloned(),
            members: group.members.len(),
            lag: lag::sum(
                committed
                    .iter()
                    .map(|(place, offset)| bounds.get(place).map(|bounds| bounds.lag(*offset))),
            ),
            group: group.name,
            state: group.state,
        };
        Ok(groups.into_iter().zip(committed).map(summary).collect())
    }

    /// One group. Waits.
    ///
    /// # Errors
    ///
    /// [`GroupsError::Kafka`] when there is none, or the cluster does not answer.
    pub fn describe(&self, group: &str) -> Result<GroupReport, GroupsError> {
        let unknown = || KafkaError::GroupUnknown { group: group.to_owned() };
        let topics = self.cluster.topics()?;
        let found = self.cluster.group(group)?.ok_or_else(unknown)?;
        let committed = self.committed(&[group], &topics)?.pop().unwrap_or_default();
        let dealt = lag::Dealt::new(&found.members);
        let partitions = lag::partitions(&committed, &dealt, &topics);
        let bounds = self.bounds(&partitions)?;
        let offsets = lag::rows(&partitions, &committed, &bounds, &dealt);
        let mut members: Vec<GroupMember> = found
            .members
            .iter()
            .map(|member| GroupMember {
                id: member.id.clone(),
                client_id: member.client_id.clone(),
                host: member.host.clone(),
                partitions: lag::held(member, &offsets),
            })
            .collect();
        members.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(GroupReport {
            group: group.to_owned(),
            subscription: self.names.by_group(&topics).remove(group),
            state: found.state,
            assignor: found.assignor,
            members,
            lag: lag::sum(offsets.iter().filter(|row| row.committed.is_some()).map(|row| row.lag)),
            offsets,
        })
    }

    /// What each of `groups` committed of topics that exist.
    fn committed(
        &self,
        groups: &[&str],
        topics: &[TopicDescription],
    ) -> Result<Vec<Committed>, KafkaError> {
        let counts: BTreeMap<&str, u32> =
            topics.iter().map(|topic| (&*topic.name, topic.partitions)).collect();
        let exists = |topic: &str, partition| {
            counts.get(topic).is_some_and(|partitions| partition < *partitions)
        };
        let existing = |found: Vec<CommittedOffset>| {
            let found = found.into_iter().filter(|it| exists(&it.topic, it.partition));
            found.map(|it| ((it.topic, it.partition), it.offset)).collect()
        };
        Ok(self.cluster.committed_all(groups)?.into_iter().map(existing).collect())
    }

    /// Where partitions begin, and where what can be read of them ends.
    fn bounds(
        &self,
        partitions: &BTreeSet<(String, u32)>,
    ) -> Result<BTreeMap<(String, u32), Bounds>, KafkaError> {
        let asked: Vec<(&str, u32)> =
            partitions.iter().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
        let starts = self.cluster.offsets(&asked, Sought::Start)?;
        let ends = self.cluster.offsets(&asked, Sought::End)?;
        let both = starts.into_iter().zip(ends);
        let bounds = both.map(|(start, end)| Bounds {
            start: start.unwrap_or_default(),
            end: end.unwrap_or_default(),
        });
        Ok(partitions.iter().cloned().zip(bounds).collect())
    }
}

/// Stands for the host in the names of clients that no host has.
const OPERATOR: &str = "operator";
