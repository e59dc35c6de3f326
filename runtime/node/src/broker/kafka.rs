//! Owns what a host knows of its cluster's topics: names, numbers, partitions, as of the last
//! look. It never decides which topics there should be.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::{Duration, Instant as Moment};

use bytestring::ByteString;
use gristmill_config::HostConfig;
use gristmill_engine::{Bytes as Size, Instant, Millis, Offset, PartitionId, TopicId};
use gristmill_kafka::{
    Appender, AppenderBounds, Cluster, Error, NewRecord, NewTopic, Reader, Record, Registry,
    TopicDescription,
};
use gristmill_store::{
    Append, Batch, Bounds, ReadLimit, Receipt, Retention, Store, Stored, Topic, TopicFigures,
    TopicSpec,
};

use super::counts::Counts;
use super::{Done, Failed};
use crate::topics;

/// Numbers from here on are this process's own; those below are the registry's.
const LOCAL: u32 = 1 << 31;
/// Longest wait for a topic that was just made to be seen.
const FOUND_MAX: Duration = Duration::from_secs(10);
/// Pause between two looks for it.
const FOUND_PAUSE: Duration = Duration::from_millis(100);
/// Events read at once to be counted.
const COUNT_EVENTS: u32 = 10_000;
/// Bytes of them.
const COUNT_BYTES: Size = Size::mib(8);
/// Name of the secret in the registry.
const SECRET: &str = "secret";

/// A cluster's topics, and how to use them.
#[derive(Debug)]
pub(crate) struct Kafka {
    cluster: Cluster,
    registry: Registry,
    /// Under which all hosts of this name hash keys and ids.
    secret: [u8; 16],
    reader: Reader,
    appender: Appender,
    replication: Option<u32>,
    known: RwLock<Known>,
    /// Whether topics changed since somebody asked.
    has_changed: AtomicBool,
    counts: Counts,
}

/// The topics there were at the last look.
#[derive(Debug)]
struct Known {
    by_name: BTreeMap<ByteString, (u128, Topic)>,
    by_id: BTreeMap<TopicId, ByteString>,
    next: u32,
}

/// Topic of the registry of all hosts of a name.
pub(crate) fn registry_name(host: &str) -> String {
    format!("{}registry.{host}", topics::INTERNAL)
}

/// Topic of a subscription's changelog.
pub(crate) fn changelog_name(host: &str, subscription: &str) -> String {
    format!("{}changelog.{host}.{subscription}", topics::INTERNAL)
}

/// The secret of all hosts of a name; the first of them makes it.
fn secret(registry: &Registry) -> Result<[u8; 16], Error> {
    let proposed = uuid::Uuid::new_v4().into_bytes();
    let kept = registry.first(SECRET, bytes::Bytes::copy_from_slice(&proposed))?;
    Ok(<[u8; 16]>::try_from(&kept[..]).unwrap_or(proposed))
}

impl Kafka {
    /// Looks at the cluster for the first time. Waits; worth another try where the error says so.
    pub(crate) fn open(config: &HostConfig, cluster: Cluster) -> Result<Self, Error> {
        let registry = registry_name(&config.name);
        let replication = match &config.broker {
            gristmill_config::Broker::Kafka(kafka) => kafka.replication,
            gristmill_config::Broker::Embedded => None,
        };
        let opened = Registry::open(&cluster, &registry)?;
        let known = Known { by_name: BTreeMap::new(), by_id: BTreeMap::new(), next: LOCAL };
        let kafka = Self {
            secret: secret(&opened)?,
            registry: opened,
            reader: Reader::new(&cluster),
            appender: Appender::new(&cluster, AppenderBounds::default())?,
            replication,
            known: RwLock::new(known),
            has_changed: AtomicBool::new(false),
            counts: Counts::default(),
            cluster,
        };
        kafka.look()?;
        // Nobody knew anything else before.
        kafka.take_changed();
        Ok(kafka)
    }

    /// The cluster itself.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Reads records of any topic by its name.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The secret under which all hosts of this name hash keys and ids.
    pub(crate) fn secret(&self) -> [u8; 16] {
        self.secret
    }

    /// Looks at what topics there are now. Waits.
    pub(crate) fn look(&self) -> Result<(), Error> {
        let found = self.cluster.topics()?;
        let (mut again, mut has_changed) = (Vec::new(), false);
        let mut known = self.write_known();
        let names: std::collections::BTreeSet<_> = found.iter().map(|it| it.name.clone()).collect();
        known.by_name.retain(|name, _| {
            names.contains(name) || {
                has_changed = true;
                false
            }
        });
        for topic in found {
            let before = known.by_name.get(&topic.name);
            let was_registered = before.is_some_and(|(_, topic)| topic.id.0 < LOCAL);
            let is_same = before.is_some_and(|(id, _)| *id == topic.id);
            let has_grown = before.is_some_and(|(_, known)| known.partitions != topic.partitions);
            has_changed |= !is_same || has_grown;
            known.note(&topic);
            if was_registered && !is_same {
                again.extend(known.by_name.get(&topic.name).map(|(_, topic)| topic.clone()));
            }
        }
        known.forget_gone();
        drop(known);
        if has_changed {
            self.has_changed.store(true, Ordering::Release);
        }
        for topic in again {
            self.numbered(topic)?;
        }
        Ok(())
    }

    /// Whether topics came, went, were made anew or grew since this was asked last.
    pub(crate) fn take_changed(&self) -> bool {
        self.has_changed.swap(false, Ordering::AcqRel)
    }

    pub(super) fn topic(&self, name: &str) -> Option<Topic> {
        self.read_known().by_name.get(name).map(|(_, topic)| topic.clone())
    }

    /// The id that the cluster gave the topic of this name; no other ever has it. From memory.
    pub(crate) fn uuid(&self, name: &str) -> Option<u128> {
        self.read_known().by_name.get(name).map(|(id, _)| *id)
    }

    pub(super) fn topic_by_id(&self, id: TopicId) -> Option<Topic> {
        let known = self.read_known();
        let name = known.by_id.get(&id)?;
        known.by_name.get(name).map(|(_, topic)| Topic { id, ..topic.clone() })
    }

    pub(super) fn topics(&self) -> Vec<Topic> {
        self.read_known().by_name.values().map(|(_, topic)| topic.clone()).collect()
    }

    /// The topic under the number all hosts of this name know it by.
    pub(super) fn numbered(&self, topic: Topic) -> Result<Topic, Error> {
        if topic.id.0 < LOCAL {
            return Ok(topic);
        }
        let unknown = || Error::TopicUnknown { topic: topic.name.to_string() };
        let id = self.read_known().by_name.get(&topic.name).map(|(id, _)| *id);
        let id = id.ok_or_else(unknown)?;
        let number = self.registry.number(&format!("topic/{}/{id:032x}", topic.name))?;
        // A registry of more than two thousand million topics is not within reach.
        let number = TopicId(u32::try_from(number).unwrap_or(LOCAL - 1));
        let mut known = self.write_known();
        let found = known.by_name.get_mut(&topic.name).filter(|(known, _)| *known == id);
        let (_, found) = found.ok_or_else(unknown)?;
        found.id = number;
        let found = found.clone();
        known.by_id.insert(number, topic.name);
        Ok(found)
    }

    pub(super) fn create_topic(&self, spec: &TopicSpec) -> Result<Topic, Error> {
        self.cluster.create(&self.new_topic(spec, &[]))?;
        self.found(&spec.name)
    }

    /// The changelog of a subscription, made if it is not there.
    /// With `grows` it is given more partitions where it has fewer.
    pub(crate) fn changelog(
        &self,
        name: &str,
        partitions: u32,
        grows: bool,
    ) -> Result<Topic, Error> {
        let spec = TopicSpec {
            name: name.to_owned(),
            partitions,
            retention: Retention::default(),
            compacted: true,
        };
        let more = [("max.message.bytes", CHANGELOG_RECORD_MAX), ("segment.bytes", SEGMENT_BYTES)];
        let found = self.cluster.ensure(&self.new_topic(&spec, &more))?;
        if grows && found.partitions < partitions {
            self.grow(name, partitions)?;
        }
        self.found(name)
    }

    /// The topic that events of a subscription are forwarded to, made if it is not there. What
    /// could be read can be forwarded, whatever the host adds to it.
    pub(crate) fn repartition(&self, spec: &TopicSpec) -> Result<Topic, Error> {
        self.cluster.ensure(&forwarding_topic(spec, self.replication))?;
        self.found(&spec.name)
    }

    /// Removes records before an offset of their partitions. Waits.
    pub(super) fn trim(
        &self,
        topic: TopicId,
        before: &[(PartitionId, Offset)],
    ) -> Result<(), Error> {
        let before: Vec<(u32, Offset)> =
            before.iter().map(|(partition, offset)| (partition.0, *offset)).collect();
        self.cluster.trim(&self.name_of(topic)?, &before)
    }

    /// Gives a topic more partitions. Waits.
    pub(crate) fn grow(&self, name: &str, partitions: u32) -> Result<(), Error> {
        self.cluster.grow(name, partitions)?;
        self.look()
    }

    /// A topic that somebody made a moment ago: brokers learn of it one after the other. Waits.
    pub(crate) fn found(&self, name: &str) -> Result<Topic, Error> {
        let began = Moment::now();
        loop {
            if let Some(topic) = self.topic(name) {
                return Ok(topic);
            }
            if began.elapsed() > FOUND_MAX {
                return Err(Error::TopicUnknown { topic: name.to_owned() });
            }
            self.look()?;
            if self.topic(name).is_none() {
                thread::sleep(FOUND_PAUSE);
            }
        }
    }

    fn new_topic(&self, spec: &TopicSpec, more: &[(&str, &str)]) -> NewTopic {
        new_topic(spec, more, self.replication)
    }

    pub(super) fn delete_topic(&self, name: &str) -> Result<(), Error> {
        self.cluster.delete(name)?;
        let mut known = self.write_known();
        known.by_name.remove(name);
        known.forget_gone();
        Ok(())
    }

    /// Tells where a topic is kept otherwise than declared. It is not changed: others may use it.
    pub(super) fn compare(&self, spec: &TopicSpec) -> Result<(), Error> {
        let configs = self.cluster.configs(&spec.name)?;
        for (name, declared) in settings(spec) {
            let has = configs.get(&name).map_or("", String::as_str);
            if has != declared {
                tracing::warn!(
                    code = "E0465",
                    topic = spec.name,
                    setting = name,
                    has,
                    declared,
                    "a topic is kept otherwise than declared; it is left as it is"
                );
            }
        }
        Ok(())
    }

    /// A topic with how the cluster keeps it.
    pub(super) fn described(&self, topic: &Topic) -> Result<Topic, Error> {
        let configs = self.cluster.configs(&topic.name)?;
        // Less than nothing is no limit there.
        let number = |name: &str| configs.get(name).and_then(|text| text.parse::<u64>().ok());
        let bytes = number("retention.bytes");
        let bytes = bytes.map(|it| Size(it.saturating_mul(u64::from(topic.partitions))));
        let policy = configs.get("cleanup.policy").map_or("", String::as_str);
        Ok(Topic {
            retention: Retention { age: number("retention.ms").map(Millis), bytes },
            compacted: policy.contains("compact"),
            ..topic.clone()
        })
    }

    pub(super) fn bounds(&self, topic: TopicId, partition: PartitionId) -> Result<Bounds, Error> {
        let (start, end) = self.cluster.bounds(&self.name_of(topic)?, partition.0)?;
        Ok(Bounds { start, end })
    }

    pub(super) fn offset_at(
        &self,
        topic: TopicId,
        partition: PartitionId,
        at: Instant,
    ) -> Result<Offset, Error> {
        let name = self.name_of(topic)?;
        match self.cluster.offset_at(&name, partition.0, at.0)? {
            Some(offset) => Ok(offset),
            None => Ok(self.cluster.bounds(&name, partition.0)?.1),
        }
    }

    /// Events there are, as far as offsets tell: those of transactions' ends count as well.
    pub(super) fn topic_figures(&self, topic: TopicId) -> Result<TopicFigures, Error> {
        let partitions = self.topic_by_id(topic).map_or(0, |topic| topic.partitions);
        let mut events = 0_u64;
        for partition in (0..partitions).map(PartitionId) {
            let bounds = self.bounds(topic, partition)?;
            events = events.saturating_add(bounds.end.0.saturating_sub(bounds.start.0));
        }
        Ok(TopicFigures { events, bytes: Size(0), oldest: None })
    }

    /// Events of a topic, none of those that end transactions.
    pub(super) fn count(&self, topic: &Topic) -> Result<u64, Error> {
        let mut events = 0_u64;
        for partition in (0..topic.partitions).map(PartitionId) {
            let bounds = self.bounds(topic.id, partition)?;
            let read = |from| {
                let limit = ReadLimit { events: COUNT_EVENTS, bytes: COUNT_BYTES };
                self.read((topic.id, partition), from, limit)
            };
            let place = (topic.id, partition);
            events = events.saturating_add(self.counts.count(place, bounds, read)?);
        }
        Ok(events)
    }

    pub(super) fn read(
        &self,
        (topic, partition): (TopicId, PartitionId),
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Vec<Stored>, Error> {
        let name = self.name_of(topic)?;
        let limit = gristmill_kafka::ReadLimit { events: limit.events, bytes: limit.bytes };
        let read = self.reader.read((&name, partition.0), from, limit, Duration::ZERO)?;
        Ok(read.into_iter().map(stored).collect())
    }

    pub(super) fn write(&self, store: &Store, batch: Batch, done: Done) {
        let Batch { appends, changes, .. } = batch;
        let records: Vec<_> = appends.into_iter().map(|append| self.record(append)).collect();
        let store = store.clone();
        let written = Box::new(move |written: Result<Vec<Offset>, Error>| {
            let offsets = match written {
                Ok(offsets) => offsets,
                Err(error) => return done(Err(error.into())),
            };
            if changes.is_empty() {
                return done(Ok(Receipt { checkpoint: 0, offsets }));
            }
            let noted = Box::new(move |noted: Result<Receipt, _>| {
                done(noted.map(|noted| Receipt { offsets, ..noted }).map_err(Failed::from));
            });
            store.submit(Batch { changes, ..Batch::default() }, noted);
        });
        self.appender.append(&records, written);
    }

    /// An event as it is written to its topic. That of a topic which is gone keeps its place
    /// among others and goes to a name that no topic can have: it is refused as undeliverable.
    pub(crate) fn record(&self, append: Append) -> NewRecord {
        let Append { topic, partition, timestamp, key, headers, payload } = append;
        let gone = || format!("deleted/{}", topic.0).into();
        let topic = self.name_of(topic).unwrap_or_else(|_unknown| gone());
        let (partition, timestamp_ms) = (partition.0, timestamp.0);
        NewRecord { topic, partition, timestamp_ms, key, headers, payload }
    }

    fn name_of(&self, topic: TopicId) -> Result<ByteString, Error> {
        let name = self.read_known().by_id.get(&topic).cloned();
        name.ok_or_else(|| Error::TopicUnknown { topic: format!("number {}", topic.0) })
    }

    fn read_known(&self) -> RwLockReadGuard<'_, Known> {
        // Every change is whole.
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_known(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn new_topic(spec: &TopicSpec, more: &[(&str, &str)], replication: Option<u32>) -> NewTopic {
    let mut configs = settings(spec);
    configs.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let (name, partitions) = (spec.name.as_str().into(), spec.partitions);
    NewTopic { name, partitions, replication, configs }
}

/// A topic that events are forwarded to, as it is made.
pub(crate) fn forwarding_topic(spec: &TopicSpec, replication: Option<u32>) -> NewTopic {
    let more = [("max.message.bytes", FORWARDED_MAX), ("segment.bytes", SEGMENT_BYTES)];
    new_topic(spec, &more, replication)
}

/// Largest record of a changelog: a parked event of the largest size and what is said about it.
const CHANGELOG_RECORD_MAX: &str = "16777216";
/// Largest record that can be forwarded; as large as one of a changelog.
const FORWARDED_MAX: &str = CHANGELOG_RECORD_MAX;
/// Small segments let a changelog be compacted, and what was handled be removed, before there is
/// as much of it as the default of 1 GiB.
const SEGMENT_BYTES: &str = "67108864";

impl Known {
    fn note(&mut self, found: &TopicDescription) {
        if let Some((id, topic)) = self.by_name.get_mut(&found.name)
            && *id == found.id
        {
            topic.partitions = found.partitions;
            return;
        }
        let topic = Topic {
            id: TopicId(self.next),
            name: found.name.clone(),
            partitions: found.partitions,
            retention: Retention::default(),
            compacted: false,
            created: Instant(0),
        };
        self.next = self.next.saturating_add(1);
        self.by_id.insert(topic.id, topic.name.clone());
        self.by_name.insert(topic.name.clone(), (found.id, topic));
    }

    /// Forgets numbers of topics that are gone, or were made anew: nothing of them counts.
    fn forget_gone(&mut self) {
        let by_name = &self.by_name;
        self.by_id.retain(|id, name| {
            by_name.get(name).is_some_and(|(_, topic)| topic.id == *id || id.0 >= LOCAL)
        });
    }
}

/// A record as the store would have it.
pub(crate) fn stored(record: Record) -> Stored {
    let Record { offset, timestamp_ms, key, headers, payload } = record;
    Stored { offset, timestamp: Instant(timestamp_ms), key, headers: headers.into(), payload }
}

/// What a topic of that kind is made with; retention by size counts per partition there.
pub(crate) fn settings(spec: &TopicSpec) -> BTreeMap<String, String> {
    let number = |value: Option<u64>| value.map_or_else(|| "-1".to_owned(), |it| it.to_string());
    let bytes = spec
        .retention
        .bytes
        .map(|bytes| bytes.0.checked_div(u64::from(spec.partitions)).unwrap_or(bytes.0));
    let policy = if spec.compacted { "compact" } else { "delete" };
    [
        ("cleanup.policy", policy.to_owned()),
        ("retention.ms", number(spec.retention.age.map(|age| age.0))),
        ("retention.bytes", number(bytes)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
