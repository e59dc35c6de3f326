//! Owns the store as its callers see it: one handle, cheap to clone, safe to share. What it does
//! is in the modules it calls.

use bytes::Bytes;
use gristmill_engine::{
    IdHash, Instant, KeyHash, Mark, Offset, PartitionId, SubscriptionId, TimerHash, TopicId,
};

use crate::{
    Batch, Bounds, Error, Failed, Figures, Loaded, MarkFigures, ParkedRecord, ReadLimit, Receipt,
    Scope, Settings, Space, Stored, TimerRecord, Topic, TopicFigures, TopicSpec, TopicUpdate,
    murmur,
};

/// Told when a batch is durable, or why it is not. Runs on the writer thread: it must be short
/// and must not panic.
pub type Done = Box<dyn FnOnce(Result<Receipt, Failed>) + Send>;

/// Told which partitions grew. Runs on the writer thread: it must be short and must not panic.
pub type Listener = Box<dyn Fn(&[(TopicId, PartitionId)]) + Send + Sync>;

/// An open store. Clones share it; it closes when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Store {}

impl Store {
    /// Opens or creates the store in `settings.path`: takes its lock, checks its format, and
    /// checks that every checkpoint known to be synced is still there.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`], [`Error::Directory`], [`Error::Format`], [`Error::Damaged`],
    /// [`Error::Open`]; all need an operator. Nothing on disk is changed by a failed check.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        drop(settings);
        Err(Error::Closed)
    }

    /// Commits what is queued, stops the threads and flushes. Later submits fail with
    /// [`Failed::Closed`]; reads go on. The directory is released when the last clone is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] when a write or sync failed, now or earlier.
    pub fn close(&self) -> Result<(), Error> {
        Err(Error::Closed)
    }

    /// Creates a topic; durable on return.
    ///
    /// # Errors
    ///
    /// [`Error::TopicInvalid`], [`Error::TopicExists`], [`Error::Low`], [`Error::Closed`],
    /// [`Error::Write`].
    pub fn create_topic(&self, spec: TopicSpec) -> Result<Topic, Error> {
        drop(spec);
        Err(Error::Closed)
    }

    /// Deletes a topic with all its events; durable on return. Its number is never used again.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`], [`Error::Closed`], [`Error::Write`].
    pub fn delete_topic(&self, name: &str) -> Result<(), Error> {
        Err(Error::TopicUnknown {
            topic: name.to_owned(),
        })
    }

    /// Changes a topic's retention and compaction; durable on return.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`], [`Error::Closed`], [`Error::Write`].
    pub fn update_topic(&self, name: &str, update: TopicUpdate) -> Result<Topic, Error> {
        Err(Error::TopicUnknown {
            topic: format!("{name} {update:?}"),
        })
    }

    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<Topic> {
        self.topics().into_iter().find(|topic| topic.name == name)
    }

    /// The topic of this number.
    pub fn topic_by_id(&self, id: TopicId) -> Option<Topic> {
        self.topics().into_iter().find(|topic| topic.id == id)
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<Topic> {
        Vec::new()
    }

    /// Where a partition begins and ends. From memory.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`], [`Error::PartitionUnknown`].
    pub fn bounds(&self, topic: TopicId, partition: PartitionId) -> Result<Bounds, Error> {
        Err(Error::PartitionUnknown { topic, partition })
    }

    /// Reads events from `from` on, or from the start of the partition if that is later: at least
    /// one if there is one. Offsets may have gaps in a compacted topic.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`], [`Error::PartitionUnknown`], [`Error::Read`], [`Error::Corrupt`].
    pub fn read(
        &self,
        topic: TopicId,
        partition: PartitionId,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Vec<Stored>, Error> {
        drop((from, limit));
        Err(Error::PartitionUnknown { topic, partition })
    }

    /// First offset whose event is not older than `at`; the end of the partition if none is.
    ///
    /// # Errors
    ///
    /// As [`Store::read`].
    pub fn offset_at(
        &self,
        topic: TopicId,
        partition: PartitionId,
        at: Instant,
    ) -> Result<Offset, Error> {
        drop(at);
        Err(Error::PartitionUnknown { topic, partition })
    }

    /// Partition of a key: Kafka's murmur2, so that keys keep their partition when a topic moves
    /// there. Null keys take turns by `sequence`.
    pub fn partition_for(topic: &Topic, key: Option<&[u8]>, sequence: u64) -> PartitionId {
        PartitionId(murmur::partition(key, sequence, topic.partitions))
    }

    /// What a topic holds. From memory.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`].
    pub fn topic_figures(&self, topic: TopicId) -> Result<TopicFigures, Error> {
        Err(Error::TopicUnknown {
            topic: topic.0.to_string(),
        })
    }

    /// Queues a batch; `done` is called once, after it is synced or when it has failed. Batches
    /// of one caller are committed in its order. Returns at once; the caller bounds what it has
    /// under way, unless `ingest` is set.
    pub fn submit(&self, batch: Batch, done: Done) {
        drop(batch);
        done(Err(Failed::Closed));
    }

    /// Calls `listener` after each durable batch with the partitions that grew, each once.
    /// Listeners are never removed.
    pub fn on_append(&self, listener: Listener) {
        drop(listener);
    }

    /// The number of a subscription, durable from its first use on and never given to another.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] for a name over 1,024 bytes, [`Error::Closed`], [`Error::Write`].
    pub fn subscription(&self, name: &str) -> Result<SubscriptionId, Error> {
        drop(name.to_owned());
        Err(Error::Closed)
    }

    /// All subscriptions ever named, by name.
    pub fn subscriptions(&self) -> Vec<(String, SubscriptionId)> {
        Vec::new()
    }

    /// Everything durable about one partition of a subscription, as of one checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Corrupt`].
    pub fn load(&self, scope: Scope) -> Result<Loaded, Error> {
        drop(scope);
        Ok(Loaded::default())
    }

    /// A state value, unless it has expired by `now`.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Corrupt`].
    pub fn state_get(
        &self,
        scope: Scope,
        key: &[u8],
        name: &str,
        now: Instant,
    ) -> Result<Option<Bytes>, Error> {
        drop((scope, key.len(), name.len(), now));
        Ok(None)
    }

    /// Names under a key that begin with `prefix`, ascending, at most `limit`, after `after`,
    /// without those expired by `now`.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Corrupt`].
    pub fn state_names(
        &self,
        scope: Scope,
        key: &[u8],
        page: Names<'_>,
        now: Instant,
    ) -> Result<Vec<String>, Error> {
        drop((scope, key.len(), page, now));
        Ok(Vec::new())
    }

    /// Keys and names in key order, whose key begins with `page.prefix`.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Corrupt`].
    pub fn state_keys(
        &self,
        scope: Scope,
        page: Keys<'_>,
        now: Instant,
    ) -> Result<Vec<(Bytes, String)>, Error> {
        drop((scope, page, now));
        Ok(Vec::new())
    }

    /// The dedupe mark of an id, if one is held. Absent is the ordinary case and the quick one.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Corrupt`].
    pub fn mark(&self, scope: Scope, id: IdHash) -> Result<Option<Mark>, Error> {
        drop((scope, id));
        Ok(None)
    }

    /// What a partition of a subscription holds of marks. From memory.
    pub fn mark_figures(&self, scope: Scope) -> MarkFigures {
        drop(scope);
        MarkFigures::default()
    }

    /// A parked event with its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Corrupt`].
    pub fn parked(
        &self,
        scope: Scope,
        lane: KeyHash,
        sequence: u64,
    ) -> Result<Option<ParkedRecord>, Error> {
        drop((scope, lane, sequence));
        Ok(None)
    }

    /// A timer with its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Corrupt`].
    pub fn timer(&self, scope: Scope, timer: TimerHash) -> Result<Option<TimerRecord>, Error> {
        drop((scope, timer));
        Ok(None)
    }

    /// A small named document.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn document(&self, name: &str) -> Result<Option<Bytes>, Error> {
        drop(name.len());
        Ok(None)
    }

    /// Free space, as of the last second.
    pub fn space(&self) -> Space {
        Space::default()
    }

    /// What the store has done and holds.
    pub fn figures(&self) -> Figures {
        Figures::default()
    }

    /// Does all maintenance that is due now (retention, compaction, expiry) and returns when it
    /// is durable. The store does this by itself every `Settings::maintenance`.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Write`], [`Error::Closed`].
    pub fn maintain(&self) -> Result<(), Error> {
        Err(Error::Closed)
    }
}

/// A page of the names under one key.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// What they begin with.
    pub prefix: &'a str,
    /// The last name of the page before.
    pub after: Option<&'a str>,
    /// Names at most, at least 1.
    pub limit: u32,
}

/// A page of keys and names.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// What the keys begin with.
    pub prefix: &'a [u8],
    /// The last key and name of the page before.
    pub after: Option<(&'a [u8], &'a str)>,
    /// Pairs at most, at least 1.
    pub limit: u32,
}
