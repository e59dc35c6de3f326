//! Decides which topics a subscription reads now, and makes those that are its own: where dead
//! letters go and where they are driven again from. It never decides from where they are read.

use gristmill_config::{SubscriptionConfig, TopicSelector};
use gristmill_store::Topic;

use super::refused::Refused;
use crate::binding::{Binding, Destination, Role, Source};
use crate::broker;
use crate::shared::Shared;
use crate::{repartition, topics};

/// The topics a subscription reads, in the order of its manifest; those that one expression
/// matches by name.
pub(super) fn find(
    shared: &Shared,
    file: &str,
    config: &SubscriptionConfig,
) -> Result<Vec<Source>, Refused> {
    let mut sources: Vec<Source> = Vec::new();
    for selector in &config.topics {
        let found = match selector.name() {
            Some(name) => vec![
                topics::find(shared, name)
                    .map_err(|missing| Refused::for_topics(format!("{file}: {missing}")))?,
            ],
            None => matching(shared, config, selector),
        };
        for topic in found {
            if sources.iter().all(|source| source.name != topic.name) {
                let is_matched = selector.name().is_none();
                sources.push(source(shared, config, topic, is_matched)?);
            }
        }
    }
    if sources.is_empty() {
        let written: Vec<&str> = config.topics.iter().map(TopicSelector::as_str).collect();
        return Err(Refused::for_topics(format!(
            "{file}: [E0120] no topic matches `{}` of subscription {:?}\n  \
             it runs as soon as one does",
            written.join("`, `"),
            config.name,
        )));
    }
    Ok(sources)
}

/// Topics that an expression selects for a subscription, by name. None of them is the host's own.
fn matching(shared: &Shared, config: &SubscriptionConfig, selector: &TopicSelector) -> Vec<Topic> {
    let is_read = |topic: &Topic| {
        let name = &*topic.name;
        let is_kept = !name.starts_with(topics::INTERNAL) && !shared.config.topics.is_local(name);
        is_kept && selector.selects(name) && config.reads(name)
    };
    let mut found = shared.broker.topics();
    found.retain(is_read);
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// Whether topics are not what a version was bound to: one is gone, was made anew or grew, or
/// another has come that an expression matches.
pub(super) fn have_changed(shared: &Shared, binding: &Binding) -> bool {
    let has_changed = |source: &Source| {
        shared.broker.topic(&source.name).is_none_or(|topic| {
            (topic.incarnation(), topic.partitions) != (source.incarnation, source.partitions)
        })
    };
    let is_new = |topic: &Topic| binding.sources.iter().all(|source| source.name != topic.name);
    let expressions = binding.config.topics.iter().filter(|selector| selector.name().is_none());
    binding.sources.iter().any(has_changed)
        || expressions
            .flat_map(|selector| matching(shared, &binding.config, selector))
            .any(|topic| is_new(&topic))
}

fn source(
    shared: &Shared,
    config: &SubscriptionConfig,
    topic: Topic,
    is_matched: bool,
) -> Result<Source, broker::Error> {
    let topic = shared.broker.numbered(topic)?;
    let dead_letters = match config.dead_letter_topic(&topic.name) {
        Some(name) => Some(destination(shared, name, topic.partitions)?),
        None => None,
    };
    Ok(Source { dead_letters, is_matched, ..Source::of(&topic, Role::Given) })
}

/// Where events go while the breaker is open: as wide as the widest topic they come from.
pub(super) fn fallback(
    shared: &Shared,
    config: &SubscriptionConfig,
    partitions: u32,
) -> Result<Option<Destination>, broker::Error> {
    let name = config.fallback.clone();
    name.map(|name| destination(shared, name, partitions)).transpose()
}

/// What the host puts aside is kept for ever unless the configuration declares its topic otherwise.
fn destination(
    shared: &Shared,
    name: String,
    partitions: u32,
) -> Result<Destination, broker::Error> {
    let topic = shared.broker.numbered(topics::ensure(shared, topics::kept(name, partitions))?)?;
    Ok(Destination { topic: topic.id, partitions: topic.partitions })
}

/// The subscription's own topic for redriven dead letters, as wide as its widest topic and kept
/// for ever: it is small, and a host that was down for long must still find what was redriven.
pub(super) fn redrive(
    shared: &Shared,
    config: &SubscriptionConfig,
    partitions: u32,
) -> Result<Source, broker::Error> {
    let name = topics::redrive_name(shared, &config.name);
    let topic = topics::ensure(shared, topics::kept(name, partitions))?;
    let topic = match shared.broker.kafka() {
        Some(kafka) if topic.partitions < partitions => {
            kafka.grow(&topic.name, partitions)?;
            shared.broker.topic(&topic.name).unwrap_or(topic)
        }
        _ => topic,
    };
    Ok(Source::of(&shared.broker.numbered(topic)?, Role::Redrive))
}

/// The subscription's own topic for forwarded events, if it has one; it is as wide as the manifest
/// says, now and always. Without `repartition` keys are where the `given` topics have them: with
/// state that must be the same.
pub(super) fn repartition(
    shared: &Shared,
    config: &SubscriptionConfig,
    given: &[Source],
) -> Result<Option<Source>, Refused> {
    let Some(topic) = repartition::topic(shared, config)? else { return Ok(None) };
    let topic = shared.broker.numbered(topic)?;
    let widest = given.iter().map(|source| source.partitions).max();
    let wanted = config.repartition.or(widest.filter(|_| config.stateful()));
    if let Some(wanted) = wanted.filter(|wanted| *wanted != topic.partitions) {
        return Err(spread(config, wanted, topic.partitions));
    }
    Ok(Some(Source::of(&topic, Role::Repartition)))
}

/// State lies in another number of partitions than it would from now on.
pub(super) fn spread(config: &SubscriptionConfig, wanted: u32, has: u32) -> Refused {
    let name = &config.name;
    let said = if config.repartition.is_some() {
        format!("`repartition = {wanted}` of subscription {name:?}")
    } else {
        format!("subscription {name:?} without `repartition`, over topics of {wanted}")
    };
    Refused::for_files(format!(
        "[E0469] {said}: its keys lie in {has} partitions already\n  write: repartition = {has}"
    ))
}
