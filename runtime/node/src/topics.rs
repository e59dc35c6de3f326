//! Owns topics as the host knows them: those declared are made or checked at start, others are
//! made on request. It never changes the partitions of a topic that exists.

use std::fmt;

use gristmill_config::{Retention, TopicConfig};
use gristmill_engine::Bytes as Size;
use gristmill_store::{Error as StoreError, Topic, TopicSpec, TopicUpdate};

use crate::Error;
use crate::shared::Shared;

/// Names that begin with this are the host's own: not listed, not published to from outside.
pub(crate) const INTERNAL: &str = "__";

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

/// Name of a subscription's redrive topic.
pub(crate) fn redrive_name(subscription: &str) -> String {
    format!("{INTERNAL}redrive.{subscription}")
}

/// Whether a topic is some subscription's redrive topic.
pub(crate) fn is_redrive(name: &str) -> bool {
    name.strip_prefix(INTERNAL).is_some_and(|rest| rest.starts_with("redrive."))
}

/// Makes every declared topic and brings the settings of those that exist in line.
pub(crate) fn declare(shared: &Shared) -> Result<(), Error> {
    for (name, config) in &shared.config.topics.declared {
        let Some(topic) = shared.store.topic(name) else {
            shared.store.create_topic(spec(name, config))?;
            continue;
        };
        if topic.partitions != config.partitions {
            return Err(Error::Partitions {
                topic: name.clone(),
                has: topic.partitions,
                declared: config.partitions,
            });
        }
        let wanted = spec(name, config);
        if (topic.retention, topic.compacted) != (wanted.retention, wanted.compacted) {
            let update = TopicUpdate { retention: wanted.retention, compacted: wanted.compacted };
            shared.store.update_topic(name, update)?;
            tracing::info!(topic = name, "topic settings changed as declared");
        }
    }
    Ok(())
}

/// The topic of that name.
pub(crate) fn find(shared: &Shared, name: &str) -> Result<Topic, Missing> {
    shared
        .store
        .topic(name)
        .ok_or_else(|| Missing { name: name.to_owned(), near: near(shared, name) })
}

/// The topic, made if it is not there.
pub(crate) fn ensure(shared: &Shared, wanted: TopicSpec) -> Result<Topic, StoreError> {
    let name = wanted.name.clone();
    if let Some(topic) = shared.store.topic(&name) {
        return Ok(topic);
    }
    match shared.store.create_topic(wanted) {
        // Somebody else was quicker.
        Err(StoreError::TopicExists { .. }) => {
            shared.store.topic(&name).ok_or(StoreError::TopicUnknown { topic: name })
        }
        made => made,
    }
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
        .store
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
