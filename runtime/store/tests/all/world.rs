//! Gives the tests a store in a directory of its own, a clock they turn, and short words for what
//! they do often. It checks nothing.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

use bytes::Bytes;
use gristmill_engine::{
    Bytes as Size, Instant, Millis, Offset, PartitionId, SubscriptionId, TopicId,
};
use gristmill_store::{
    Append, Batch, Change, Failed, ReadLimit, Receipt, Retention, Scope, Settings, Store, Stored,
    Topic, TopicSpec,
};
use tempfile::TempDir;

/// Midnight of some day: 2026-11-21.
pub(crate) const START: u64 = 1_795_219_200_000;

/// A clock that stands still until it is turned.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START)))
    }

    pub(crate) fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::SeqCst))
    }

    pub(crate) fn pass(&self, time: Millis) {
        self.0.fetch_add(time.0, Ordering::SeqCst);
    }
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) clock: Clock,
    pub(crate) store: Option<Store>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl Fn(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::new();
        let mut settings = settings(folder.path(), &clock);
        change(&mut settings);
        let store = Store::open(settings).expect("the store opens");
        Self { folder, clock, store: Some(store) }
    }

    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().expect("the store is open")
    }

    /// Closes the store and opens it again.
    pub(crate) fn reopen(&mut self) {
        self.reopen_with(|_| {});
    }

    pub(crate) fn reopen_with(&mut self, change: impl Fn(&mut Settings)) {
        if let Some(store) = self.store.take() {
            store.close().expect("the store closes");
        }
        let mut settings = settings(self.folder.path(), &self.clock);
        change(&mut settings);
        self.store = Some(Store::open(settings).expect("the store opens again"));
    }

    pub(crate) fn topic(&self, name: &str, partitions: u32, retention: Retention) -> Topic {
        let spec = TopicSpec { name: name.to_owned(), partitions, retention, compacted: false };
        self.store().create_topic(spec).expect("the topic is created")
    }

    /// Appends events of this size, stamped now, and gives the last offset.
    pub(crate) fn fill(&self, topic: TopicId, partition: u32, events: u64, size: usize) -> Offset {
        let append = |_| Append {
            topic,
            partition: PartitionId(partition),
            timestamp: self.clock.now(),
            key: None,
            headers: Vec::new(),
            payload: Some(Bytes::from(vec![7; size])),
        };
        let batch = Batch { appends: (0..events).map(append).collect(), ..Batch::default() };
        *submit(self.store(), batch).expect("the batch is durable").offsets.last().expect("events")
    }

    pub(crate) fn change(&self, change: Change) {
        self.changes(vec![change]);
    }

    pub(crate) fn changes(&self, changes: Vec<Change>) {
        let batch = Batch { changes, ..Batch::default() };
        submit(self.store(), batch).expect("the batch is durable");
    }

    pub(crate) fn scope(&self, name: &str, partition: u32) -> Scope {
        let subscription = self.store().subscription(name).expect("a number");
        Scope { subscription, partition: PartitionId(partition) }
    }
}

pub(crate) fn settings(path: &Path, clock: &Clock) -> Settings {
    let clock = clock.clone();
    Settings {
        reserve: Some(Size(0)),
        // Room for some of a test's events and not for all: reads come from both places.
        recent: Size(2_000),
        maintenance: Millis(u64::MAX),
        clock: Arc::new(move || clock.now()),
        ..Settings::new(path)
    }
}

/// Submits a batch and waits for its answer.
pub(crate) fn submit(store: &Store, batch: Batch) -> Result<Receipt, Failed> {
    let (tell, told) = mpsc::channel();
    store.submit(batch, Box::new(move |answer| tell.send(answer).expect("the test waits")));
    told.recv().expect("an answer")
}

pub(crate) fn scope(subscription: u32, partition: u32) -> Scope {
    Scope { subscription: SubscriptionId(subscription), partition: PartitionId(partition) }
}

pub(crate) fn event(topic: TopicId, partition: u32, key: &str, payload: &str) -> Append {
    Append {
        topic,
        partition: PartitionId(partition),
        timestamp: Instant(START),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        headers: vec![("ce_type".into(), Bytes::from_static(b"test"))],
        payload: Some(Bytes::copy_from_slice(payload.as_bytes())),
    }
}

pub(crate) const ALL: ReadLimit = ReadLimit { events: u32::MAX, bytes: Size(u64::MAX) };

/// Every event of a partition.
pub(crate) fn read_all(store: &Store, topic: TopicId, partition: u32) -> Vec<Stored> {
    store.read(topic, PartitionId(partition), Offset(0), ALL).expect("reads")
}

pub(crate) fn offsets(events: &[Stored]) -> Vec<u64> {
    events.iter().map(|event| event.offset.0).collect()
}

/// A small generator of our own, so that a seed names one history for ever.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Less than `bound`, small.
    pub(crate) fn small(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(u64::from(bound))).expect("small")
    }

    /// Any byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    /// Less than `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
