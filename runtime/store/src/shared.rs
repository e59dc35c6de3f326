//! Owns what the store's threads share: disk, memory, the writer's queue, the counters. It does
//! nothing by itself.

use std::{
    collections::VecDeque,
    fs::File,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use std::sync::Arc;

use crate::{
    Done, Error, Failed, Histogram, Listener, Settings, commit::Commit, disk::Disk, memory::Memory,
    prepare::Prepared, space::Room, synced::Synced,
};

/// What the store's threads share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) disk: Disk,
    pub(crate) memory: Arc<Memory>,
    /// Where synced checkpoints are noted; `None` where commits are not synced.
    pub(crate) synced: Option<Synced>,
    pub(crate) room: Room,
    pub(crate) counters: Counters,
    pub(crate) listeners: RwLock<Vec<Listener>>,
    pub(crate) queue: Queue,
    /// Held while the store is open.
    pub(crate) _lock: File,
}

impl Shared {
    /// Runs `operation` on the writer thread as a commit of its own, and waits until what it wrote
    /// is durable. It must check everything before it writes anything.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Commit<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (tell, told) = mpsc::sync_channel(1);
        let order: Order = Box::new(move |commit| {
            let outcome = operation(commit);
            let valid = outcome.is_ok();
            let told = Box::new(move |written: Result<(), Error>| {
                // The caller waits below; it cannot have gone.
                drop(tell.send(written.and(outcome)));
            });
            (valid, told)
        });
        self.queue.push(Work::Order(order), 0)?;
        told.recv().unwrap_or(Err(Error::Closed))
    }

    /// Takes a batch for the writer, or tells why not.
    pub(crate) fn submit(&self, batch: Result<Prepared, Error>, done: Done) {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return done(Err(Failed::Rejected(error))),
        };
        if batch.ingest {
            let waiting = self.queue.lock().bytes;
            if waiting > self.settings.queue_bytes.0 {
                return done(Err(Failed::Busy(Error::Busy { waiting })));
            }
            if let Err(error) = self.room.admit(true) {
                return done(Err(Failed::Low(error)));
            }
        }
        let size = batch.size;
        if let Err(refused) = self.queue.try_push(Work::Batch(batch, done), size)
            && let (Work::Batch(_, done), error) = *refused
        {
            done(Err(failed(error)));
        }
    }
}

/// The reason a queue refuses, as batches are told.
pub(crate) fn failed(error: Error) -> Failed {
    if matches!(error, Error::Closed) { Failed::Closed } else { Failed::Io(error) }
}

/// Told whether an order's commit was written.
pub(crate) type Told = Box<dyn FnOnce(Result<(), Error>) + Send>;
/// Something only the writer may do; says whether what it put in the commit is to be written.
pub(crate) type Order = Box<dyn FnOnce(&mut Commit<'_>) -> (bool, Told) + Send>;

/// What waits for the writer.
pub(crate) enum Work {
    Batch(Prepared, Done),
    Order(Order),
}

/// What waits for the writer, in order.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

/// The inside of a queue.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) work: VecDeque<Work>,
    /// Size of the batches that wait.
    pub(crate) bytes: u64,
    /// Why nothing more is taken.
    pub(crate) ended: Option<Error>,
}

impl Queue {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, work: Work, size: u64) -> Result<(), Error> {
        self.try_push(work, size).map_err(|refused| refused.1)
    }

    fn try_push(&self, work: Work, size: u64) -> Result<(), Box<(Work, Error)>> {
        let mut waiting = self.lock();
        if let Some(error) = &waiting.ended {
            return Err(Box::new((work, error.clone())));
        }
        waiting.work.push_back(work);
        waiting.bytes = waiting.bytes.saturating_add(size);
        drop(waiting);
        self.wake.notify_one();
        Ok(())
    }

    /// Takes nothing more; what waits is still done, unless `error` is fatal.
    pub(crate) fn end(&self, error: Error) {
        let mut waiting = self.lock();
        let fatal = !matches!(error, Error::Closed);
        if fatal || waiting.ended.is_none() {
            waiting.ended = Some(error);
        }
        drop(waiting);
        self.wake.notify_all();
    }

    /// Waits until there is work; `None` when there will be none any more.
    pub(crate) fn wait(&self) -> Option<MutexGuard<'_, Waiting>> {
        let mut waiting = self.lock();
        while waiting.work.is_empty() {
            if waiting.ended.is_some() {
                return None;
            }
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        Some(waiting)
    }
}

/// Upper bounds of the buckets of the sync histogram, in microseconds.
const BOUNDS: [u32; 11] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) checkpoints: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) removed: AtomicU64,
    pub(crate) compacted: AtomicU64,
    pub(crate) expired: AtomicU64,
    sync: [AtomicU64; BOUNDS.len() + 1],
    sync_micros: AtomicU64,
    /// Set once the last checkpoint in the sidecar is not synced.
    pub(crate) unsynced: AtomicBool,
}

impl Counters {
    pub(crate) fn count_sync(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.iter().position(|bound| micros <= u64::from(*bound));
        if let Some(bucket) = self.sync.get(place.unwrap_or(BOUNDS.len())) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sync_micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn sync(&self) -> Histogram {
        let bounds = BOUNDS.iter().map(|bound| f64::from(*bound) / 1e6).chain([f64::INFINITY]);
        let counts = self.sync.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let sum = Duration::from_micros(self.sync_micros.load(Ordering::Relaxed)).as_secs_f64();
        let count = buckets.iter().map(|(_, count)| count).sum();
        Histogram { buckets, sum, count }
    }
}
