//! Owns the topics of a simulated world: what stands where, what retention removed, which life
//! of a topic is the present one. It never knows who has read what.

use std::collections::BTreeMap;

use gristmill_engine::{
    Bytes, IdHash, Instant, KeyHash, Offset, PartitionId, Position, TimerHash, TopicId, Verdict,
};

/// An event as the world tells it from all others: unlike the engine's reference it survives
/// the re-creation of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventId {
    /// A record of one life of a topic.
    Record {
        /// Where it stands.
        position: Position,
        /// Which life of the topic.
        incarnation: u128,
    },
    /// One setting of a timer.
    Timer {
        /// The partition of its lane.
        partition: PartitionId,
        /// The timer.
        timer: TimerHash,
        /// The number of its setting.
        sequence: u64,
    },
}

impl EventId {
    /// Whether it is a record of `topic`, in whatever life.
    #[must_use]
    pub fn is_of(self, topic: TopicId) -> bool {
        matches!(self, Self::Record { position, .. } if position.topic == topic)
    }

    /// Whether it is a record of that topic partition at or beyond `from`.
    #[must_use]
    pub fn is_beyond(self, topic: TopicId, partition: PartitionId, from: Offset) -> bool {
        matches!(self, Self::Record { position, .. }
            if (position.topic, position.partition) == (topic, partition)
                && position.offset >= from)
    }
}

/// What a topic holds at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The key, if it has one.
    pub key: Option<KeyHash>,
    /// The business id, if it has one.
    pub id: Option<IdHash>,
    /// Size of key, headers and payload.
    pub size: Bytes,
    /// What the decoder says of it.
    pub verdict: Verdict,
    /// True for a dead letter that came back.
    pub redriven: bool,
    /// When it was appended; timers its handler sets count from here.
    pub timestamp: Instant,
}

/// One partition of one life of a topic.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// First offset that can still be read.
    pub start: Offset,
    /// Everything ever appended, removed or not: checkers ask for what is gone.
    pub records: BTreeMap<Offset, Record>,
}

impl Log {
    /// Offset after the last record that can still be read, never below `start`.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.records.last_key_value().map_or(self.start, |(last, _)| last.next().max(self.start))
    }

    /// The first readable record at or after `from`.
    #[must_use]
    pub fn read(&self, from: Offset) -> Option<(Offset, &Record)> {
        let from = from.max(self.start);
        self.records.range(from..).next().map(|(offset, record)| (*offset, record))
    }

    /// Appends a record after `gap` offsets that compaction emptied.
    pub fn append(&mut self, gap: u64, record: Record) {
        let offset = Offset(self.end().0 + gap);
        self.records.insert(offset, record);
    }
}

/// One life of a topic.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Tells this life from others.
    pub incarnation: u128,
    /// Its partitions, by number.
    pub partitions: BTreeMap<PartitionId, Log>,
}

/// All topics, with their former lives.
#[derive(Debug, Clone, Default)]
pub struct Topics {
    present: BTreeMap<TopicId, Topic>,
    former: BTreeMap<(TopicId, u128), Topic>,
    lives: u128,
}

impl Topics {
    /// Creates a topic with `partitions` empty partitions, or re-creates it.
    pub fn create(&mut self, topic: TopicId, partitions: u32) {
        self.lives += 1;
        let partitions = (0..partitions).map(|p| (PartitionId(p), Log::default())).collect();
        let life = Topic { incarnation: self.lives, partitions };
        if let Some(old) = self.present.insert(topic, life) {
            self.former.insert((topic, old.incarnation), old);
        }
    }

    /// The present life of a topic; every topic of a world is created before it is used.
    ///
    /// # Panics
    ///
    /// When there is no such topic.
    #[must_use]
    pub fn topic(&self, topic: TopicId) -> &Topic {
        &self.present[&topic]
    }

    /// Whether this is not the topic's first life.
    #[must_use]
    pub fn is_recreated(&self, topic: TopicId) -> bool {
        self.former.keys().any(|(of, _)| *of == topic)
    }

    /// One partition of a topic, to read.
    ///
    /// # Panics
    ///
    /// When there is no such topic or partition.
    #[must_use]
    pub fn log(&self, topic: TopicId, partition: PartitionId) -> &Log {
        &self.present[&topic].partitions[&partition]
    }

    /// One partition of a topic, to change.
    pub fn log_mut(&mut self, topic: TopicId, partition: PartitionId) -> Option<&mut Log> {
        self.present.get_mut(&topic)?.partitions.get_mut(&partition)
    }

    /// All topics with their partitions.
    pub fn logs(&self) -> impl Iterator<Item = (TopicId, PartitionId, u128, &Log)> {
        self.present.iter().flat_map(|(id, topic)| {
            topic.partitions.iter().map(|(p, log)| (*id, *p, topic.incarnation, log))
        })
    }

    /// The record an event is, in whatever life of its topic; `None` for a timer.
    #[must_use]
    pub fn record(&self, event: EventId) -> Option<&Record> {
        let EventId::Record { position, incarnation } = event else { return None };
        let present = self.present.get(&position.topic).filter(|t| t.incarnation == incarnation);
        let life = present.or_else(|| self.former.get(&(position.topic, incarnation)))?;
        life.partitions.get(&position.partition)?.records.get(&position.offset)
    }
}
