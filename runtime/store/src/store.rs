//! Owns the store as its callers see it: one handle, cheap to clone, safe to share. What it does
//! is in the modules it calls.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::Ordering},
    thread::JoinHandle,
};

use bytes::Bytes;
use gristmill_engine::{
    Bytes as Size, IdHash, Instant, KeyHash, Mark, Offset, PartitionId, StoredProgress,
    SubscriptionId, TimerHash, TopicId,
};

use crate::{
    Batch, Bounds, Error, Failed, Figures, Loaded, MarkFigures, Moment, ParkedRecord, ReadLimit,
    Receipt, Scope, Settings, Space, StateEntry, Stored, TimerRecord, Topic, TopicFigures,
    TopicSpec, TopicUpdate, log, murmur, open, prepare, scoped,
    shared::{Counters, Queue, Shared},
    space::Room,
    synced::Synced,
    topics,
    upkeep::{self, Pace, Upkeep},
    writer,
};

/// Told when a batch is durable, or why it is not. Runs on the writer thread: it must be short
/// and must not panic.
pub type Done = Box<dyn FnOnce(Result<Receipt, Failed>) + Send>;

/// Told which partitions grew. Runs on the writer thread: it must be short and must not panic.
pub type Listener = Box<dyn Fn(&[(TopicId, PartitionId)]) + Send + Sync>;

/// An open store. Clones share it; it closes when the last clone is dropped.
#[derive(Clone)]
pub struct Store(Arc<Handle>);

/// What closes when the last clone goes. The threads share only the inside, so they end.
struct Handle {
    shared: Arc<Shared>,
    upkeep: Arc<Upkeep>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(code = error.code(), %error, "close the store");
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.0.shared.settings.path).finish_non_exhaustive()
    }
}

impl Handle {
    fn close(&self) -> Result<(), Error> {
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let first = !threads.is_empty();
        self.upkeep.end();
        self.shared.queue.end(Error::Closed);
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
        let ended = self.shared.queue.lock().ended.clone();
        if let Some(error) = ended.filter(|error| !matches!(error, Error::Closed)) {
            return Err(error);
        }
        let checkpoint = self.shared.memory.published.load(Ordering::Acquire);
        if first {
            let failed = |source: fjall::Error| Error::Write { checkpoint, source: source.into() };
            self.shared.disk.sync().map_err(failed)?;
            let path = || self.shared.settings.path.join("synced");
            let failed =
                |source: std::io::Error| Error::Directory { path: path(), source: source.into() };
            self.shared.synced.as_ref().map_or(Ok(()), Synced::sync).map_err(failed)?;
        }
        Ok(())
    }
}

impl Store {
    /// Opens or creates the store in `settings.path`: takes its lock, checks its format, and
    /// checks that every checkpoint known to be synced is still there. Without `commit_sync` no
    /// checkpoint is known to be.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`], [`Error::Directory`], [`Error::Format`], [`Error::Damaged`],
    /// [`Error::Open`]; all need an operator. Nothing on disk is changed by a failed check.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        let opened = open::open(&settings)?;
        let path = settings.path.clone();
        let failed =
            |source: std::io::Error| Error::Directory { path: path.clone(), source: source.into() };
        let room = Room::new(&path, settings.reserve).map_err(failed)?;
        let shared = Arc::new(Shared {
            settings,
            disk: opened.disk,
            memory: opened.memory,
            synced: opened.synced,
            room,
            counters: Counters::default(),
            listeners: RwLock::default(),
            queue: Queue::default(),
            _lock: opened.lock,
        });
        let upkeep = Arc::new(Upkeep::default());
        let handle = Handle {
            shared: Arc::clone(&shared),
            upkeep: Arc::clone(&upkeep),
            threads: Mutex::default(),
        };
        let store = Self(Arc::new(handle));
        let writer = writer::start(Arc::clone(&shared), opened.checkpoint).map_err(failed)?;
        store.keep(writer);
        store.keep(upkeep::start(shared, upkeep).map_err(failed)?);
        Ok(store)
    }

    fn keep(&self, thread: JoinHandle<()>) {
        self.0.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }

    /// Commits what is queued, stops the threads and flushes. Later submits fail with
    /// [`Failed::Closed`]; reads go on. The directory is released when the last clone is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] when a write or sync failed, now or earlier.
    pub fn close(&self) -> Result<(), Error> {
        self.0.close()
    }

    /// Creates a topic; durable on return.
    ///
    /// # Errors
    ///
    /// [`Error::TopicInvalid`], [`Error::TopicExists`], [`Error::Low`], [`Error::Closed`],
    /// [`Error::Write`].
    pub fn create_topic(&self, spec: TopicSpec) -> Result<Topic, Error> {
        self.0.shared.run(move |commit| topics::create(commit, spec))
    }

    /// Deletes a topic with all its events; durable on return. Its number is never used again.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`], [`Error::Closed`], [`Error::Write`].
    pub fn delete_topic(&self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        self.0.shared.run(move |commit| topics::delete(commit, &name)).map(drop)
    }

    /// Changes a topic's retention and compaction; durable on return.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`], [`Error::Closed`], [`Error::Write`].
    pub fn update_topic(&self, name: &str, update: TopicUpdate) -> Result<Topic, Error> {
        let name = name.to_owned();
        self.0.shared.run(move |commit| topics::update(commit, &name, update))
    }

    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<Topic> {
        let topics = self.0.shared.memory.topics();
        let log = topics.by_name.get(name).and_then(|id| topics.by_id.get(id));
        log.map(|log| log.topic())
    }

    /// The topic of this number.
    pub fn topic_by_id(&self, id: TopicId) -> Option<Topic> {
        self.0.shared.memory.log(id).ok().map(|log| log.topic())
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<Topic> {
        let topics = self.0.shared.memory.topics();
        let logs = topics.by_name.values().filter_map(|id| topics.by_id.get(id));
        logs.map(|log| log.topic()).collect()
    }

    /// Where a partition begins and ends. From memory.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`], [`Error::PartitionUnknown`].
    pub fn bounds(&self, topic: TopicId, partition: PartitionId) -> Result<Bounds, Error> {
        Ok(self.0.shared.memory.log(topic)?.partition(partition)?.bounds())
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
        log::read(&self.0.shared, topic, partition, from, limit)
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
        log::offset_at(&self.0.shared, topic, partition, at)
    }

    /// Partition of a key: Kafka's murmur2, so that keys keep their partition when a topic moves
    /// there. Null keys take turns by `sequence`.
    pub fn partition_for(topic: &Topic, key: Option<&[u8]>, sequence: u64) -> PartitionId {
        Self::partition_among(topic.partitions, key, sequence)
    }

    /// The same where only the number of partitions is known, at least 1.
    pub fn partition_among(partitions: u32, key: Option<&[u8]>, sequence: u64) -> PartitionId {
        PartitionId(murmur::partition(key, sequence, partitions.max(1)))
    }

    /// What a topic holds. From memory.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`].
    pub fn topic_figures(&self, topic: TopicId) -> Result<TopicFigures, Error> {
        Ok(self.0.shared.memory.log(topic)?.figures())
    }

    /// Queues a batch; `done` is called once, after it is synced (written, without `commit_sync`)
    /// or when it has failed. Batches of one caller are committed in its order. Returns at once;
    /// the caller bounds what it has under way, unless `ingest` is set.
    pub fn submit(&self, batch: Batch, done: Done) {
        self.0.shared.submit(prepare::prepare(batch), done);
    }

    /// Calls `listener` after each durable batch with the partitions that grew, each once.
    /// Listeners are never removed.
    pub fn on_append(&self, listener: Listener) {
        let mut listeners = self.0.shared.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.push(listener);
    }

    /// The number of a subscription, durable from its first use on and never given to another.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] for a name over 1,024 bytes, [`Error::Closed`], [`Error::Write`].
    pub fn subscription(&self, name: &str) -> Result<SubscriptionId, Error> {
        if let Some(known) = self.0.shared.memory.scopes().subscriptions.get(name) {
            return Ok(SubscriptionId(*known));
        }
        prepare::limit("name of a subscription", name.len(), prepare::NAME_MAX)?;
        let name = name.to_owned();
        self.0.shared.run(move |commit| Ok(topics::subscription(commit, name)))
    }

    /// All subscriptions ever named, by name.
    pub fn subscriptions(&self) -> Vec<(String, SubscriptionId)> {
        let scopes = self.0.shared.memory.scopes();
        let named = scopes.subscriptions.iter();
        named.map(|(name, number)| (name.clone(), SubscriptionId(*number))).collect()
    }

    /// Everything durable about one partition of a subscription, as of one checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Corrupt`].
    pub fn load(&self, scope: Scope) -> Result<Loaded, Error> {
        scoped::load(&self.0.shared, scope)
    }

    /// The same with all that belongs to it, state and marks too, to be read at leisure.
    pub fn moment(&self, scope: Scope) -> Moment {
        Moment::new(&self.0.shared, scope)
    }

    /// How far a partition of a subscription has durably come, by topic. Alone it is had for less
    /// than the rest of [`Store::load`].
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Corrupt`].
    pub fn progress(&self, scope: Scope) -> Result<Vec<(TopicId, StoredProgress)>, Error> {
        scoped::progress(&self.0.shared, scope)
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
        scoped::state_get(&self.0.shared, scope, key, name, now)
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
        scoped::state_names(&self.0.shared, scope, key, page, now)
    }

    /// State in order of key and name, expired or not, after a key and name if they are given.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Corrupt`].
    pub fn state_entries(
        &self,
        scope: Scope,
        after: Option<(&[u8], &str)>,
        limit: u32,
    ) -> Result<Vec<StateEntry>, Error> {
        scoped::state_entries(&self.0.shared, scope, after, limit)
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
        scoped::state_keys(&self.0.shared, scope, page, now)
    }

    /// The dedupe mark of an id, if one is held. Absent is the ordinary case and the quick one.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Corrupt`].
    pub fn mark(&self, scope: Scope, id: IdHash) -> Result<Option<Mark>, Error> {
        scoped::mark(&self.0.shared, scope, id)
    }

    /// What a partition of a subscription holds of marks. From memory.
    pub fn mark_figures(&self, scope: Scope) -> MarkFigures {
        scoped::mark_figures(&self.0.shared, scope)
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
        scoped::parked(&self.0.shared, scope, lane, sequence)
    }

    /// A timer with its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Corrupt`].
    pub fn timer(&self, scope: Scope, timer: TimerHash) -> Result<Option<TimerRecord>, Error> {
        scoped::timer(&self.0.shared, scope, timer)
    }

    /// A small named document.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn document(&self, name: &str) -> Result<Option<Bytes>, Error> {
        scoped::document(&self.0.shared, name)
    }

    /// Free space, as of the last second.
    pub fn space(&self) -> Space {
        self.0.shared.room.space()
    }

    /// Refuses while free space is under the reserve, like what comes from outside: for files that
    /// are written beside the store.
    ///
    /// # Errors
    ///
    /// [`Error::Low`].
    pub fn must_have_room(&self) -> Result<(), Error> {
        self.0.shared.room.admit(true)
    }

    /// What the store has done and holds.
    pub fn figures(&self) -> Figures {
        let shared = &self.0.shared;
        let counted = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let scopes = shared.memory.scopes();
        let logs = scopes.marks.values();
        let (marks, marks_evicted) =
            logs.fold((0, 0), |(held, evicted), log| (held + log.held, evicted + log.evicted));
        drop(scopes);
        let queued = shared.queue.lock().work.len();
        Figures {
            checkpoint: shared.memory.published.load(Ordering::Acquire),
            checkpoints: counted(&shared.counters.checkpoints),
            batches: counted(&shared.counters.batches),
            events: counted(&shared.counters.events),
            sync: shared.counters.sync(),
            queued: u64::try_from(queued).unwrap_or(u64::MAX),
            disk: Size(shared.disk.database.disk_space().unwrap_or(0)),
            state: Size(shared.disk.state.disk_space()),
            marks,
            marks_evicted,
            removed: counted(&shared.counters.removed),
            compacted: counted(&shared.counters.compacted),
            expired: counted(&shared.counters.expired),
        }
    }

    /// Removes the events of a topic that lie before an offset of their partition, as far as they
    /// fill whole chunks: up to a chunk of them stays a while. What a subscription has not read
    /// is gone for it.
    ///
    /// # Errors
    ///
    /// [`Error::Write`], [`Error::Closed`].
    pub fn trim(
        &self,
        topic: TopicId,
        before: impl IntoIterator<Item = (PartitionId, Offset)>,
    ) -> Result<(), Error> {
        self.0.upkeep.cut(&self.0.shared, topic, before.into_iter().collect())
    }

    /// Does all maintenance that is due now (retention, compaction, expiry) and returns when it
    /// is durable. The store does this by itself every `Settings::maintenance`.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Write`], [`Error::Closed`].
    pub fn maintain(&self) -> Result<(), Error> {
        self.0.upkeep.round(&self.0.shared, Pace::All)
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
