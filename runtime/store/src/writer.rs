//! Owns the writer thread: merges what waits into commits, syncs each (unless the settings say
//! otherwise), and only then tells. It is the one thread that writes.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Instant as Moment,
};

use fjall::{OwnedWriteBatch, PersistMode};

use crate::{
    Done, Error, Failed, Receipt, Step,
    commit::{Commit, Sealed},
    prepare::Prepared,
    shared::{Order, Shared, Work, failed},
};

/// A batch's answer, held back until its commit is durable.
type Answer = (Done, Result<Receipt, Failed>);

/// What the writer takes from the queue at once.
enum Taken {
    Batches(Vec<(Prepared, Done)>),
    Order(Order),
}

/// Starts the writer; `checkpoint` is the last durable one.
pub(crate) fn start(shared: Arc<Shared>, checkpoint: u64) -> std::io::Result<JoinHandle<()>> {
    let writer = thread::Builder::new().name("store-writer".to_owned());
    writer.spawn(move || {
        let _end = End(Arc::clone(&shared));
        let mut writer = Writer { shared: &shared, checkpoint };
        while let Some(taken) = writer.take() {
            match taken {
                Taken::Batches(batches) => writer.batches(batches),
                Taken::Order(order) => writer.order(order),
            }
        }
    })
}

/// However the writer ends, nothing waits for it in vain.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.queue.end(Error::Closed);
        let mut waiting = self.0.queue.lock();
        let error = waiting.ended.clone().unwrap_or(Error::Closed);
        let left = std::mem::take(&mut waiting.work);
        drop(waiting);
        for work in left {
            // An order that is dropped closes the channel its caller waits at.
            if let Work::Batch(_, done) = work {
                done(Err(failed(error.clone())));
            }
        }
    }
}

struct Writer<'a> {
    shared: &'a Shared,
    checkpoint: u64,
}

impl Writer<'_> {
    /// Takes an order alone, or as many batches as one commit holds; waits if there is nothing.
    fn take(&self) -> Option<Taken> {
        let settings = &self.shared.settings;
        let mut waiting = self.shared.queue.wait()?;
        if waiting.ended.as_ref().is_some_and(|error| !matches!(error, Error::Closed)) {
            return None;
        }
        let mut batches = Vec::new();
        let (mut events, mut bytes) = (0_u64, 0_u64);
        loop {
            match waiting.work.pop_front() {
                None => break,
                Some(Work::Order(order)) if batches.is_empty() => {
                    return Some(Taken::Order(order));
                }
                Some(order @ Work::Order(_)) => {
                    waiting.work.push_front(order);
                    break;
                }
                Some(Work::Batch(batch, done)) => {
                    let more = u64::try_from(batch.appends.len()).unwrap_or(u64::MAX);
                    let full = events.saturating_add(more) > u64::from(settings.commit_events)
                        || bytes.saturating_add(batch.size) > settings.commit_bytes.0;
                    if full && !batches.is_empty() {
                        waiting.work.push_front(Work::Batch(batch, done));
                        break;
                    }
                    events = events.saturating_add(more);
                    bytes = bytes.saturating_add(batch.size);
                    waiting.bytes = waiting.bytes.saturating_sub(batch.size);
                    batches.push((batch, done));
                }
            }
        }
        Some(Taken::Batches(batches))
    }

    fn batches(&mut self, batches: Vec<(Prepared, Done)>) {
        let shared = self.shared;
        self.poll_space();
        let mut commit = Commit::new(shared, self.checkpoint + 1);
        let number = commit.number;
        let count = u64::try_from(batches.len()).unwrap_or(0);
        let mut answers: Vec<Answer> = Vec::with_capacity(batches.len());
        for (batch, done) in batches {
            let answer = match shared.room.admit(batch.ingest) {
                Err(error) => Err(Failed::Low(error)),
                Ok(()) => match commit.add(batch) {
                    Ok(offsets) => Ok(Receipt { checkpoint: number, offsets }),
                    Err(error) => Err(Failed::Rejected(error)),
                },
            };
            answers.push((done, answer));
        }
        let events = commit.events;
        let written = self.write(commit);
        shared.counters.batches.fetch_add(count, Ordering::Relaxed);
        shared.counters.events.fetch_add(events, Ordering::Relaxed);
        for (done, answer) in answers {
            done(match (&written, answer) {
                (Err(error), Ok(_)) => Err(Failed::Io(error.clone())),
                (_, answer) => answer,
            });
        }
        self.step(Step::Told);
    }

    fn order(&mut self, order: Order) {
        let mut commit = Commit::new(self.shared, self.checkpoint + 1);
        let (valid, told) = order(&mut commit);
        told(if valid { self.write(commit) } else { Ok(()) });
        self.step(Step::Told);
    }

    /// Asks for free space before each commit while little is left; else once a second will do.
    fn poll_space(&self) {
        if self.shared.room.near()
            && let Err(error) = self.shared.room.poll(&self.shared.settings.path)
        {
            tracing::warn!(%error, "free disk space is unknown");
        }
    }

    /// Writes and syncs a commit, shows it to readers, and says which partitions grew. After an
    /// error nothing more is written: what the system dropped at a failed sync, a later one would
    /// not bring back.
    fn write(&mut self, commit: Commit<'_>) -> Result<(), Error> {
        if commit.is_empty() {
            return Ok(());
        }
        let shared = self.shared;
        let Sealed { number, items, after, gives_up, grown } = commit.seal();
        self.step(Step::Built);
        self.persist(number, items, gives_up)?;
        self.step(Step::Noted);
        for change in after {
            change(&shared.memory);
        }
        shared.memory.published.store(number, Ordering::Release);
        shared.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        if !grown.is_empty() {
            let listeners = shared.listeners.read().unwrap_or_else(PoisonError::into_inner);
            for listener in listeners.iter() {
                listener(&grown);
            }
        }
        self.step(Step::Published);
        Ok(())
    }

    /// Writes a commit; syncs and notes it unless the settings say otherwise. A sync takes all
    /// commits before it along.
    fn persist(&mut self, number: u64, items: OwnedWriteBatch, sync: bool) -> Result<(), Error> {
        let shared = self.shared;
        let sync = sync || shared.synced.is_some();
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let began = Moment::now();
        let written = items.durability(Some(mode)).commit();
        if sync {
            shared.counters.count_sync(began.elapsed());
        }
        if let Err(source) = written {
            return Err(self.fail(Error::Write { checkpoint: number, source: source.into() }));
        }
        self.checkpoint = number;
        self.step(Step::Synced);
        let Some(synced) = &shared.synced else { return Ok(()) };
        if let Err(source) = synced.note(number) {
            let path = shared.settings.path.join("synced");
            return Err(self.fail(Error::Directory { path, source: source.into() }));
        }
        shared.counters.unsynced.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn fail(&self, error: Error) -> Error {
        tracing::error!(code = error.code(), %error, "the store stops: {}", error.hint());
        self.shared.queue.end(error.clone());
        error
    }

    fn step(&self, step: Step) {
        if let Some(hook) = &self.shared.settings.hook {
            hook(step);
        }
    }
}
