//! Understands records of the topics that chaos reads in the end, as the checker wants them. It
//! judges nothing.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::check::{Arrival, Effect, History, Letter, Observed, Partitions, Source};
use super::input::Event;
use super::stage::{self, SOURCES, SUBSCRIPTIONS};
use crate::support::client::Stored;

/// All that was `sent`, all that topics hold as `read` reads them, and what is `left` to do by
/// subscription. Strays are for those who know what else there is.
///
/// # Errors
///
/// When a topic cannot be read, or holds what cannot be understood.
pub fn history(
    sent: BTreeMap<String, Vec<Event>>,
    left: &BTreeMap<String, u64>,
    mut read: impl FnMut(&str) -> Result<Partitions<Stored>>,
) -> Result<History> {
    let mut history = History::default();
    for (topic, sent) in sent {
        let arrived = each(&topic, &read(&topic)?, arrival)?;
        history.sources.insert(topic, Source { sent, arrived });
    }
    for (name, output) in SUBSCRIPTIONS {
        let unsettled = left.get(name).copied().unwrap_or(1);
        let effects = each(output, &read(output)?, effect)?;
        let mut letters = BTreeMap::new();
        for source in SOURCES {
            let topic = stage::letters(source, name);
            letters.insert(source.to_owned(), each(&topic, &read(&topic)?, letter)?);
        }
        history.subscriptions.insert(name.to_owned(), Observed { effects, letters, unsettled });
    }
    Ok(history)
}

/// The records of one topic, each understood by `one`.
///
/// # Errors
///
/// When one is not.
pub fn each<T>(
    topic: &str,
    partitions: &Partitions<Stored>,
    one: impl Fn(&Stored) -> Result<T>,
) -> Result<Partitions<T>> {
    let all = partitions.iter().map(|records| records.iter().map(&one).collect());
    all.collect::<Result<_>>().with_context(|| format!("understand topic {topic}"))
}

/// A record of a source topic.
///
/// # Errors
///
/// When it is none.
pub fn arrival(record: &Stored) -> Result<Arrival> {
    let id = record.payload["id"].as_str().context("an arrival without id")?.to_owned();
    Ok(Arrival { id, timestamp_ms: record.timestamp_ms })
}

/// A record of an output topic.
///
/// # Errors
///
/// When it is none.
pub fn effect(record: &Stored) -> Result<Effect> {
    let id = record.payload["id"].as_str().context("an effect without id")?.to_owned();
    let number = record.payload["number"].as_u64().context("an effect without number")?;
    let key = record.key.clone().context("an effect without key")?;
    Ok(Effect { id, key, number, timestamp_ms: record.timestamp_ms })
}

/// A record of a topic of dead letters.
///
/// # Errors
///
/// When it is none.
pub fn letter(record: &Stored) -> Result<Letter> {
    let id = record.payload["id"].as_str().context("a dead letter without id")?.to_owned();
    let class = record.header("dlq-error-class").context("a dead letter without class")?.to_owned();
    Ok(Letter { id, class })
}
