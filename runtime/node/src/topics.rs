//! Owns topics as the host knows them: those declared are made or checked at start, others are
//! made, and in a cluster grown, on request. It never changes the partitions of a topic unasked.

use std::fmt;

use gristmill_config::{Retention, TopicConfig};
use gristmill_engine::Bytes as Size;
use gristmill_store::{Error as StoreError, Topic, TopicSpec};

use crate::broker::Kafka;
use crate::plugins::Inbox;
use crate::shared::Shared;
use crate::{Error, broker};

/// Names that begin with this are the host's own: not listed, not published to from outside.
pub(crate) const INTERNAL: &str = "__";

/// Names of subscriptions' redrive topics go on like this.
const REDRIVE: &str = "redrive.";
/// And those of the topics that their events are forwarded to.
const REPARTITION: &str = "repartition.";

/// A topic that is not there, with what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// What was asked for.
    pub(crate) name: String,
    /// Names like it.
    pub(crate) near: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "[E0120] there is no topic {:?}", self.name)?;
        if let Some(near) = self.near.first() {
            write!(out, "; did you mean {near:?}?")?;
        }
        write!(out, "\n  write in gristmill.toml: [topics.{:?}]", self.name)
    }
}

/// Name of a subscription's redrive topic. In a cluster other hosts have subscriptions too, so
/// the host's name is in it.
pub(crate) fn redrive_name(shared: &Shared, subscription: &str) -> String {
    own_name(shared, REDRIVE, subscription)
}

/// Name of the redrive topic of a host's subscription in a cluster.
pub(crate) fn redrive_in_cluster(host: &str, subscription: &str) -> String {
    format!("{INTERNAL}{REDRIVE}{host}.{subscription}")
}

/// Name of the topic that a subscription's events are forwarded to; as with the redrive topic.
pub(crate) fn repartition_name(shared: &Shared, subscription: &str) -> String {
    own_name(shared, REPARTITION, subscription)
}

/// Name of the topic that events of a host's subscription are forwarded to in a cluster.
pub(crate) fn repartition_in_cluster(host: &str, subscription: &str) -> String {
    format!("{INTERNAL}{REPARTITION}{host}.{subscription}")
}

/// Name of the topic in which the hosts of a name remember what they published last of an outbox.
pub(crate) fn outbox_in_cluster(host: &str, outbox: &str) -> String {
    format!("{INTERNAL}outbox.{host}.{outbox}")
}

fn own_name(shared: &Shared, kind: &str, subscription: &str) -> String {
    match shared.broker.kafka() {
        None => format!("{INTERNAL}{kind}{subscription}"),
        Some(_) => format!("{INTERNAL}{kind}{}.{subscription}", shared.config.name),
    }
}

/// A topic that is kept for ever, whatever its size and age.
pub(crate) fn kept(name: String, partitions: u32) -> TopicSpec {
    let retention = gristmill_store::Retention::default();
    TopicSpec { name, partitions, retention, compacted: false }
}

/// Whether records of a topic say where they first came from: some subscription's redrive topic,
/// or one that its events are forwarded to.
pub(crate) fn is_wrapped(name: &str) -> bool {
    name.strip_prefix(INTERNAL)
        .is_some_and(|rest| rest.starts_with(REDRIVE) || rest.starts_with(REPARTITION))
}

/// Whether a topic is some subscription's changelog.
pub(crate) fn is_changelog(name: &str) -> bool {
    name.strip_prefix(INTERNAL).is_some_and(|rest| rest.starts_with("changelog."))
}

/// Makes every declared topic and brings the settings of those that exist in line.
pub(crate) fn declare(shared: &Shared) -> Result<(), Error> {
    let kept = shared.config.topics.declared.iter().filter(|(_, config)| !config.local);
    for (name, config) in kept {
        // Another host of this name may be making it at the same moment.
        let topic = ensure(shared, spec(name, config))?;
        if topic.partitions != config.partitions {
            return Err(Error::Partitions {
                topic: name.clone(),
                has: topic.partitions,
                declared: config.partitions,
            });
        }
        shared.broker.declare(&topic, &spec(name, config))?;
    }
    Ok(())
}

/// The topic of that name.
pub(crate) fn find(shared: &Shared, name: &str) -> Result<Topic, Missing> {
    shared
        .broker
        .topic(name)
        .ok_or_else(|| Missing { name: name.to_owned(), near: near(shared, name) })
}

/// The topic, made if it is not there.
pub(crate) fn ensure(shared: &Shared, wanted: TopicSpec) -> Result<Topic, broker::Error> {
    let name = wanted.name.clone();
    if let Some(topic) = shared.broker.topic(&name) {
        return Ok(topic);
    }
    match create(shared, wanted) {
        // Somebody else was quicker.
        Err(broker::Error::Store(StoreError::TopicExists { .. })) => shared
            .broker
            .topic(&name)
            .ok_or_else(|| StoreError::TopicUnknown { topic: name }.into()),
        Err(broker::Error::Kafka(error @ gristmill_kafka::Error::TopicExists { .. })) => {
            let kafka = shared.broker.kafka().ok_or(error)?;
            Ok(kafka.found(&name)?)
        }
        made => made,
    }
}

/// Makes a topic, and has what waits for it look again. Waits.
pub(crate) fn create(shared: &Shared, wanted: TopicSpec) -> Result<Topic, broker::Error> {
    let topic = shared.broker.create_topic(wanted)?;
    shared.tell_supervisor(Inbox::TopicsChanged);
    Ok(topic)
}

/// Deletes a topic, and has what reads it bound anew. Waits.
pub(crate) fn delete(shared: &Shared, name: &str) -> Result<(), broker::Error> {
    shared.broker.delete_topic(name)?;
    shared.tell_supervisor(Inbox::TopicsChanged);
    Ok(())
}

/// Gives a topic of a cluster more partitions, and has what reads it bound anew. Waits. The same
/// again finishes what was interrupted.
pub(crate) fn grow(
    shared: &Shared,
    kafka: &Kafka,
    topic: Topic,
    partitions: u32,
) -> Result<Topic, broker::Error> {
    kafka.grow(&topic.name, partitions)?;
    shared.tell_supervisor(Inbox::TopicsChanged);
    Ok(shared.broker.topic(&topic.name).unwrap_or(topic))
}

/// What a topic of this name is to be, as configured.
pub(crate) fn spec(name: &str, config: &TopicConfig) -> TopicSpec {
    let age = match config.retention {
        Retention::For(age) => Some(age),
        Retention::Forever => None,
    };
    // Configured per partition, as Kafka does; the store counts whole topics.
    let bytes = config
        .retention_bytes
        .map(|bytes| Size(bytes.0.saturating_mul(u64::from(config.partitions))));
    TopicSpec {
        name: name.to_owned(),
        partitions: config.partitions,
        retention: gristmill_store::Retention { age, bytes },
        compacted: config.compaction,
    }
}

/// Up to three existing names that differ from `name` by few letters.
pub(crate) fn near(shared: &Shared, name: &str) -> Vec<String> {
    let mut ranked: Vec<(usize, String)> = shared
        .broker
        .topics()
        .into_iter()
        .filter(|topic| !topic.name.starts_with(INTERNAL))
        .map(|topic| (distance(name, &topic.name), topic.name.to_string()))
        .filter(|(distance, other)| *distance <= 2.max(other.len() / 3))
        .collect();
    ranked.sort();
    ranked.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Letters to insert, delete or replace to get from one to the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (column, theirs) in other.iter().enumerate() {
            let above = row.get(column + 1).copied().unwrap_or(usize::MAX);
            let replaced = diagonal + usize::from(letter != *theirs);
            diagonal = above;
            let best = replaced.min(above + 1).min(left + 1);
            if let Some(first) = row.get_mut(column) {
                *first = left;
            }
            left = best;
        }
        if let Some(last) = row.last_mut() {
            *last = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (one, other, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "abc", 3),
            ("orders", "order", 1),
            ("kitten", "sitting", 3),
            ("payment", "payments-x", 3),
        ] {
            assert_eq!(distance(one, other), expected, "{one:?} {other:?}");
            assert_eq!(distance(other, one), expected, "{other:?} {one:?}");
        }
    }
}
