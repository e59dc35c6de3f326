//! Decides which offsets a replay is about. It reads no more than it must to know them.

use std::sync::Arc;

use gristmill_engine::{Bytes as Size, Instant, Offset, PartitionId, TopicId};
use gristmill_store::{Bounds, ReadLimit, Topic};
use serde::{Deserialize, Serialize};

use super::{Effects, ReplayError, State, Wanted};
use crate::binding::{Role, Source};
use crate::plugins::SubscriptionStatus;
use crate::shared::Shared;
use crate::states::States;

/// A place in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// The first event that is held.
    Earliest,
    /// Behind the last event there is now.
    Latest,
    /// This offset.
    Offset(u64),
    /// The first event of this time or later, in milliseconds since 1970.
    TimestampMs(u64),
}

/// Offsets of one partition, from the first to the one behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Span {
    pub(crate) partition: u32,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// The next that is still to be replayed.
    pub(crate) next: u64,
}

/// What is replayed.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) topic: Topic,
    /// The subscription's own topic for events that are handled again.
    pub(super) redrive: Source,
    pub(super) spans: Vec<Span>,
}

/// The offsets of the partitions that are meant. Waits.
pub(super) fn resolve(
    shared: &Arc<Shared>,
    status: &SubscriptionStatus,
    wanted: &Wanted,
) -> Result<Range, ReplayError> {
    let name = shared.config.topics.names.on_broker(&wanted.topic);
    let binding = &status.binding;
    let given = binding.sources.iter().filter(|source| source.role == Role::Given);
    let topic = given
        .clone()
        .find(|source| *source.name == *name)
        .and_then(|source| shared.broker.topic_by_id(source.topic));
    // Who reads a topic has one of its own.
    let Some((topic, redrive)) = topic.zip(binding.own(Role::Redrive).cloned()) else {
        return Err(ReplayError::NotRead {
            subscription: binding.name.to_string(),
            topic: wanted.topic.clone(),
            reads: given.map(|source| source.name.to_string()).collect(),
        });
    };
    let all = 0..topic.partitions;
    let meant = all.filter(|number| wanted.partition.is_none_or(|only| only == *number));
    let spans: Result<Vec<Span>, _> = meant.map(|it| span(shared, &topic, it, wanted)).collect();
    let range = Range { topic, redrive, spans: spans? };
    if (wanted.effects, wanted.state) == (Effects::Suppress, State::Live) {
        must_be_here(shared, status, &range)?;
    }
    Ok(range)
}

/// Refuses where the running state of a partition is another host's.
fn must_be_here(
    shared: &Arc<Shared>,
    status: &SubscriptionStatus,
    range: &Range,
) -> Result<(), ReplayError> {
    let (_, elsewhere) = States::new(Arc::clone(shared), status.clone()).partitions();
    // Keys of forwarded events may be in any.
    let is_spread = status.binding.forwards_to().is_some();
    let is_meant = |number: &u32| is_spread || range.spans.iter().any(|it| it.partition == *number);
    let partitions: Vec<u32> = elsewhere.into_iter().map(|it| it.0).filter(is_meant).collect();
    if partitions.is_empty() {
        return Ok(());
    }
    let subscription = status.binding.name.to_string();
    Err(ReplayError::Elsewhere { subscription, partitions })
}

fn span(shared: &Shared, topic: &Topic, number: u32, wanted: &Wanted) -> Result<Span, ReplayError> {
    let partition = PartitionId(number);
    let bounds = shared.broker.bounds(topic.id, partition)?;
    let at = |moment| shared.broker.offset_at(topic.id, partition, moment);
    let from = match wanted.from {
        Place::Earliest => bounds.start,
        Place::Latest => bounds.end,
        Place::Offset(offset) => Offset(offset),
        Place::TimestampMs(moment) => at(Instant(moment))?,
    };
    let to = match wanted.to {
        Place::Earliest => bounds.start,
        Place::Latest => bounds.end,
        Place::Offset(offset) => Offset(offset),
        Place::TimestampMs(moment) => at(Instant(moment))?,
    };
    if bounds.start > Offset(0) {
        let first = first_of(shared, topic.id, partition, bounds)?;
        let is_gone = match wanted.from {
            Place::Earliest | Place::Latest => false,
            Place::Offset(offset) => Offset(offset) < bounds.start,
            // Events that retention removed may have been of that time.
            Place::TimestampMs(moment) => first.is_none_or(|first| Instant(moment) < first),
        };
        if is_gone {
            return Err(ReplayError::Gone {
                topic: topic.name.to_string(),
                partition: number,
                earliest: bounds.start.0,
                earliest_at: first,
            });
        }
    }
    let to = to.min(bounds.end);
    let from = from.min(to);
    Ok(Span { partition: number, from: from.0, to: to.0, next: from.0 })
}

/// When the first event that is held was published.
fn first_of(
    shared: &Shared,
    topic: TopicId,
    partition: PartitionId,
    bounds: Bounds,
) -> Result<Option<Instant>, ReplayError> {
    let limit = ReadLimit { events: 1, bytes: Size(1) };
    let read = shared.broker.read(topic, partition, bounds.start, limit)?;
    Ok(read.first().map(|stored| stored.timestamp))
}

impl Range {
    /// Offsets there are in it; some may hold nothing.
    pub(super) fn total(&self) -> u64 {
        self.spans.iter().map(|span| span.to.saturating_sub(span.from)).sum()
    }
}
