//! Owns where topics live: in this host's own store, or in a Kafka cluster. State is in the store
//! either way; on Kafka it is a cache there. It decides nothing about events.

mod counts;
mod error;
mod kafka;

use gristmill_engine::{Instant, Offset, PartitionId, TopicId};
use gristmill_store::{
    Batch, Bounds, ReadLimit, Receipt, Store, Stored, Topic, TopicFigures, TopicSpec, TopicUpdate,
};

pub(crate) use self::error::{Error, Failed, if_there};
pub(crate) use self::kafka::{
    Kafka, changelog_name, forwarding_topic, registry_name, settings, stored,
};

/// Told how a write ended.
pub(crate) type Done = Box<dyn FnOnce(Result<Receipt, Failed>) + Send>;

/// Where topics live.
#[derive(Debug)]
pub(crate) enum Broker {
    /// In the store.
    Embedded(Store),
    /// In a cluster.
    Kafka(Box<Kafka>),
}

impl Broker {
    /// The cluster, where topics live in one.
    pub(crate) fn kafka(&self) -> Option<&Kafka> {
        match self {
            Self::Embedded(_) => None,
            Self::Kafka(kafka) => Some(kafka),
        }
    }

    /// The topic of this name. From memory.
    pub(crate) fn topic(&self, name: &str) -> Option<Topic> {
        match self {
            Self::Embedded(store) => store.topic(name),
            Self::Kafka(kafka) => kafka.topic(name),
        }
    }

    /// What a topic takes at most, where it is known that so many bytes are more.
    pub(crate) fn exceeded_limit(&self, topic: &str, bytes: usize) -> Option<u64> {
        let limit = self.kafka()?.cluster().record_limit(topic)?;
        (u64::try_from(bytes).is_ok_and(|bytes| bytes > limit)).then_some(limit)
    }

    /// Whether it is known that this host may not write to a topic.
    pub(crate) fn is_denied(&self, topic: &str) -> bool {
        self.kafka().is_some_and(|kafka| kafka.cluster().is_denied(topic))
    }

    /// The topic of this number, if it was not deleted. From memory.
    pub(crate) fn topic_by_id(&self, id: TopicId) -> Option<Topic> {
        match self {
            Self::Embedded(store) => store.topic_by_id(id),
            Self::Kafka(kafka) => kafka.topic_by_id(id),
        }
    }

    /// All topics, by name. From memory.
    pub(crate) fn topics(&self) -> Vec<Topic> {
        match self {
            Self::Embedded(store) => store.topics(),
            Self::Kafka(kafka) => kafka.topics(),
        }
    }

    /// The topic as those know it that remember it beyond this process: its number is the same
    /// after a restart, and on Kafka on every host of this name. Waits.
    pub(crate) fn numbered(&self, topic: Topic) -> Result<Topic, Error> {
        match self {
            Self::Embedded(_) => Ok(topic),
            Self::Kafka(kafka) => Ok(kafka.numbered(topic)?),
        }
    }

    /// Creates a topic. Waits.
    pub(crate) fn create_topic(&self, spec: TopicSpec) -> Result<Topic, Error> {
        match self {
            Self::Embedded(store) => Ok(store.create_topic(spec)?),
            Self::Kafka(kafka) => Ok(kafka.create_topic(&spec)?),
        }
    }

    /// Deletes a topic with all its events. Waits.
    pub(crate) fn delete_topic(&self, name: &str) -> Result<(), Error> {
        match self {
            Self::Embedded(store) => Ok(store.delete_topic(name)?),
            Self::Kafka(kafka) => Ok(kafka.delete_topic(name)?),
        }
    }

    /// Brings retention and compaction of a topic in line with what is declared. On Kafka a topic
    /// may have other owners: it is only told what differs. Waits.
    pub(crate) fn declare(&self, topic: &Topic, spec: &TopicSpec) -> Result<(), Error> {
        let store = match self {
            Self::Embedded(store) => store,
            Self::Kafka(kafka) => return Ok(kafka.compare(spec)?),
        };
        if (topic.retention, topic.compacted) == (spec.retention, spec.compacted) {
            return Ok(());
        }
        let update = TopicUpdate { retention: spec.retention, compacted: spec.compacted };
        store.update_topic(&spec.name, update)?;
        tracing::info!(topic = spec.name, "topic settings changed as declared");
        Ok(())
    }

    /// A topic with how it is kept, which a cluster is asked for. Waits.
    pub(crate) fn described(&self, topic: &Topic) -> Result<Topic, Error> {
        match self {
            Self::Embedded(_) => Ok(topic.clone()),
            Self::Kafka(kafka) => Ok(kafka.described(topic)?),
        }
    }

    /// Where a partition begins, and where what may be read of it ends. Waits.
    pub(crate) fn bounds(&self, topic: TopicId, partition: PartitionId) -> Result<Bounds, Error> {
        match self {
            Self::Embedded(store) => Ok(store.bounds(topic, partition)?),
            Self::Kafka(kafka) => Ok(kafka.bounds(topic, partition)?),
        }
    }

    /// Reads events from `from` on: what is there now, and at least one if there is one. Waits.
    pub(crate) fn read(
        &self,
        topic: TopicId,
        partition: PartitionId,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Vec<Stored>, Error> {
        match self {
            Self::Embedded(store) => Ok(store.read(topic, partition, from, limit)?),
            Self::Kafka(kafka) => Ok(kafka.read((topic, partition), from, limit)?),
        }
    }

    /// Removes events before an offset of their partitions, as far as the broker can. Waits.
    pub(crate) fn trim(
        &self,
        topic: TopicId,
        before: &[(PartitionId, Offset)],
    ) -> Result<(), Error> {
        match self {
            Self::Embedded(store) => Ok(store.trim(topic, before.iter().copied())?),
            Self::Kafka(kafka) => Ok(kafka.trim(topic, before)?),
        }
    }

    /// First offset whose event is not older than `at`; the end of the partition if none is.
    /// Waits.
    pub(crate) fn offset_at(
        &self,
        topic: TopicId,
        partition: PartitionId,
        at: Instant,
    ) -> Result<Offset, Error> {
        match self {
            Self::Embedded(store) => Ok(store.offset_at(topic, partition, at)?),
            Self::Kafka(kafka) => Ok(kafka.offset_at(topic, partition, at)?),
        }
    }

    /// What a topic holds. Waits.
    pub(crate) fn topic_figures(&self, topic: TopicId) -> Result<TopicFigures, Error> {
        match self {
            Self::Embedded(store) => Ok(store.topic_figures(topic)?),
            Self::Kafka(kafka) => Ok(kafka.topic_figures(topic)?),
        }
    }

    /// Events of a topic, exactly: in a cluster they are read to be counted, each once. Waits.
    pub(crate) fn count(&self, topic: &Topic) -> Result<u64, Error> {
        match self {
            Self::Embedded(store) => Ok(store.topic_figures(topic.id)?.events),
            Self::Kafka(kafka) => Ok(kafka.count(topic)?),
        }
    }

    /// Writes what comes from outside of any checkpoint; `done` is called once, when it is
    /// durable or has failed. Events go to their topics first, other changes to `store` after.
    pub(crate) fn write(&self, store: &Store, batch: Batch, done: Done) {
        let answer = |done: Done| -> gristmill_store::Done {
            Box::new(move |result| done(result.map_err(Failed::from)))
        };
        match self {
            Self::Embedded(store) => store.submit(batch, answer(done)),
            Self::Kafka(_) if batch.appends.is_empty() => store.submit(batch, answer(done)),
            Self::Kafka(kafka) => kafka.write(store, batch, done),
        }
    }
}
