//! Owns dead letters as operators see them: what is there, what each says, and driving them
//! again. It never decides that an event is given up on, nor how a redriven one is handled.

mod redrive;
mod rehearse;
mod tally;

use std::collections::BTreeMap;

use gristmill_engine::{Bytes as Size, Offset, PartitionId, TopicId};
use gristmill_store::{ReadLimit, Store, Stored, Topic};
use serde::{Deserialize, Serialize};

pub(crate) use redrive::{Redriven, redrive};
pub(crate) use rehearse::{Rehearsed, rehearse};
pub(crate) use tally::Tallies;

use crate::broker;
use crate::envelope::DeadLetterView;
use crate::plugins::SubscriptionStatus;
use crate::shared::Shared;

/// Dead letters read in one step.
const STEP_EVENTS: u32 = 500;
/// Bytes of dead letters read in one step.
const STEP_BYTES: Size = Size::mib(8);

/// Where a dead letter stands: `topic/partition/offset`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct LetterId {
    /// The dead-letter topic.
    pub(crate) topic: String,
    /// Its partition.
    pub(crate) partition: u32,
    /// The offset in it.
    pub(crate) offset: u64,
}

/// One dead letter.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// Where it stands.
    pub(crate) id: LetterId,
    /// What is known of its failure.
    pub(crate) view: DeadLetterView,
    /// The event, with the headers of its dead letter.
    pub(crate) stored: Stored,
    /// Whether it was driven again already.
    pub(crate) is_redriven: bool,
}

/// Which dead letters are meant. Every condition given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Selection {
    /// Exactly these; all when empty.
    pub(crate) ids: Vec<LetterId>,
    /// Failure class.
    pub(crate) class: Option<String>,
    /// Error code.
    pub(crate) code: Option<String>,
    /// Id of the event.
    pub(crate) event_id: Option<String>,
    /// Failed at or after this moment, Unix milliseconds.
    pub(crate) since_ms: Option<u64>,
    /// Failed before this moment, Unix milliseconds.
    pub(crate) before_ms: Option<u64>,
    /// Also those driven again already.
    pub(crate) redriven: bool,
}

/// Ranges of offsets of one dead-letter topic that were driven again, by partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done(BTreeMap<u32, BTreeMap<u64, u64>>);

impl Done {
    fn document(topic: &Topic) -> String {
        // By number: a topic made anew under the same name begins with nothing done.
        format!("redriven/{}", topic.id.0)
    }

    /// What was driven again of `topic`.
    pub(crate) fn read(store: &Store, topic: &Topic) -> Result<Self, gristmill_store::Error> {
        let text = store.document(&Self::document(topic))?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default())
    }

    fn contains(&self, partition: u32, offset: u64) -> bool {
        let before = self.0.get(&partition).and_then(|it| it.range(..=offset).next_back());
        before.is_some_and(|(_, to)| offset < *to)
    }

    fn insert(&mut self, partition: u32, offset: u64) {
        if self.contains(partition, offset) {
            return;
        }
        let ranges = self.0.entry(partition).or_default();
        let mut from = offset;
        let mut to = offset.saturating_add(1);
        if let Some(end) = ranges.remove(&to) {
            to = end;
        }
        if let Some((start, end)) = ranges.range(..offset).next_back()
            && *end == offset
        {
            from = *start;
        }
        ranges.insert(from, to);
    }

    fn count(&self) -> u64 {
        self.0.values().flatten().map(|(from, to)| to.saturating_sub(*from)).sum()
    }
}

/// Topics the dead letters of a subscription go to, each once.
pub(crate) fn topics_of(shared: &Shared, status: &SubscriptionStatus) -> Vec<Topic> {
    let mut ids: Vec<_> =
        status.binding.sources.iter().filter_map(|it| it.dead_letters).map(|it| it.topic).collect();
    ids.sort();
    ids.dedup();
    ids.into_iter().filter_map(|id| shared.broker.topic_by_id(id)).collect()
}

/// Dead letters of a subscription in `topic` that were not driven again.
pub(crate) fn backlog(
    shared: &Shared,
    status: &SubscriptionStatus,
    topic: &Topic,
) -> Result<u64, broker::Error> {
    let done = Done::read(&shared.store, topic)?;
    if !status.binding.config.has_common_dead_letters() {
        return Ok(shared.broker.count(topic)?.saturating_sub(done.count()));
    }
    let mut waiting = 0_u64;
    for partition in 0..topic.partitions {
        let place = (topic.id, PartitionId(partition));
        let bounds = shared.broker.bounds(place.0, place.1)?;
        let limit = ReadLimit { events: STEP_EVENTS, bytes: STEP_BYTES };
        let read = |from| shared.broker.read(place.0, place.1, from, limit);
        let is_done = |offset| done.contains(partition, offset);
        let of = (&*status.binding.name, place);
        waiting = waiting.saturating_add(shared.tallies.waiting(of, bounds, read, is_done)?);
    }
    Ok(waiting)
}

/// Where dead-letter topics end, by topic and partition.
pub(crate) type Ends = BTreeMap<(TopicId, u32), Offset>;

/// Which part of the dead letters of a subscription is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span<'a> {
    /// Those after this one; all, without one.
    pub(crate) after: Option<&'a LetterId>,
    /// Those before these offsets; all, without them.
    pub(crate) before: Option<&'a Ends>,
    /// So many at most.
    pub(crate) limit: usize,
}

/// Where the dead letters of a subscription end now.
fn ends(shared: &Shared, status: &SubscriptionStatus) -> Result<Ends, broker::Error> {
    let mut ends = Ends::new();
    for topic in topics_of(shared, status) {
        for partition in 0..topic.partitions {
            let bounds = shared.broker.bounds(topic.id, PartitionId(partition))?;
            ends.insert((topic.id, partition), bounds.end);
        }
    }
    Ok(ends)
}

/// Dead letters of a subscription that `selection` means, in the order of topic, partition and
/// offset.
pub(crate) fn select(
    shared: &Shared,
    status: &SubscriptionStatus,
    selection: &Selection,
    Span { after, before, limit }: Span<'_>,
) -> Result<Vec<Letter>, broker::Error> {
    let mut found = Vec::new();
    for topic in topics_of(shared, status) {
        let done = Done::read(&shared.store, &topic)?;
        for partition in 0..topic.partitions {
            let end = before.map(|ends| ends.get(&(topic.id, partition)).copied());
            let end = end.map_or(Offset(u64::MAX), Option::unwrap_or_default);
            let mut from = match after {
                Some(after) if (&*topic.name, partition) < (&*after.topic, after.partition) => {
                    continue;
                }
                Some(after) if (&*topic.name, partition) == (&*after.topic, after.partition) => {
                    Offset(after.offset).next()
                }
                _ => Offset(0),
            };
            // What comes meanwhile is not chased: there may always be more.
            let end = end.min(shared.broker.bounds(topic.id, PartitionId(partition))?.end);
            while from < end {
                let limit_of_read = ReadLimit { events: STEP_EVENTS, bytes: STEP_BYTES };
                let read =
                    shared.broker.read(topic.id, PartitionId(partition), from, limit_of_read)?;
                let Some(last) = read.last() else { break };
                from = last.offset.next();
                for stored in read.into_iter().filter(|stored| stored.offset < end) {
                    let Some(letter) = letter(&topic, partition, stored, &done) else { continue };
                    let is_own = letter.view.subscription == *status.binding.name;
                    if is_own && selection.means(&letter) {
                        found.push(letter);
                    }
                    if found.len() == limit {
                        return Ok(found);
                    }
                }
            }
        }
    }
    Ok(found)
}

fn letter(topic: &Topic, partition: u32, stored: Stored, done: &Done) -> Option<Letter> {
    let offset = stored.offset.0;
    Some(Letter {
        id: LetterId { topic: topic.name.to_string(), partition, offset },
        view: DeadLetterView::read(&stored.headers)?,
        is_redriven: done.contains(partition, offset),
        stored,
    })
}

impl Selection {
    fn means(&self, letter: &Letter) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == value
        };
        let failed = letter.view.last_failure_ms;
        (self.ids.is_empty() || self.ids.contains(&letter.id))
            && (self.redriven || !letter.is_redriven)
            && is(&self.class, Some(&letter.view.class))
            && is(&self.code, letter.view.code.as_deref())
            && is(&self.event_id, Some(&letter.view.event_id))
            && self.since_ms.is_none_or(|since| failed >= since)
            && self.before_ms.is_none_or(|before| failed < before)
    }
}

impl From<LetterId> for String {
    fn from(id: LetterId) -> Self {
        format!("{}/{}/{}", id.topic, id.partition, id.offset)
    }
}

impl TryFrom<String> for LetterId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not topic/partition/offset");
        let mut parts = text.splitn(3, '/');
        let topic = parts.next().filter(|topic| !topic.is_empty()).ok_or_else(wrong)?;
        let number = |part: Option<&str>| part.and_then(|part| part.parse::<u64>().ok());
        let partition = number(parts.next()).and_then(|it| u32::try_from(it).ok());
        let offset = number(parts.next());
        let (Some(partition), Some(offset)) = (partition, offset) else { return Err(wrong()) };
        Ok(Self { topic: topic.to_owned(), partition, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        for (text, holds) in [
            ("orders.billing.dlq/3/17", true),
            ("t/0/0", true),
            ("t/0", false),
            ("/0/0", false),
            ("t/x/0", false),
            ("t/4294967296/0", false),
        ] {
            let read = LetterId::try_from(text.to_owned());
            assert_eq!(read.is_ok(), holds, "{text}");
            if let Ok(id) = read {
                assert_eq!(String::from(id), text);
            }
        }
    }

    #[test]
    fn ranges_join_and_count() {
        let mut done = Done::default();
        for offset in [5, 7, 6, 6, 1, 9] {
            done.insert(0, offset);
        }
        done.insert(1, 6);
        assert_eq!(done.0[&0], BTreeMap::from([(1, 2), (5, 8), (9, 10)]));
        assert_eq!(done.count(), 6);
        for (offset, holds) in [(0, false), (1, true), (4, false), (5, true), (7, true), (8, false)]
        {
            assert_eq!(done.contains(0, offset), holds, "{offset}");
        }
    }
}
