//! Decides what may be forgotten and when: events by retention and compaction, state and marks by
//! age. It reads on its own thread; what it removes, the writer removes, in bounded slices.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use gristmill_engine::{Instant, PartitionId, TopicId};

use crate::{
    Error,
    codec::Decoder,
    commit::Commit,
    compact,
    disk::Place,
    key::{self, meta},
    memory::Log,
    reclaim::Reclaim,
    record,
    retain::{self, Cuts},
    shared::Shared,
};

/// Time between two looks at free space and the sidecar.
const TICK: Duration = Duration::from_secs(1);
/// State values looked at in one slice.
const SLICE: usize = 1_000;
/// Slices of one kind in one round: what is left waits for the next.
const SLICES: usize = 50;
/// Pause between two slices in the background, so that a backlog does not take the disk.
const PAUSE: Duration = Duration::from_millis(5);

/// Upkeep of one store.
#[derive(Default)]
pub(crate) struct Upkeep {
    /// Only one round at a time; what rounds remember.
    reclaim: Mutex<Reclaim>,
    ended: Mutex<bool>,
    wake: Condvar,
}

/// How much a round does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Everything that is due, at once.
    All,
    /// Some slices, with pauses between.
    Background,
}

/// Starts the thread that looks after the store about once a second.
pub(crate) fn start(shared: Arc<Shared>, upkeep: Arc<Upkeep>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("store-upkeep".to_owned()).spawn(move || {
        let mut last = (shared.settings.clock)();
        while upkeep.pause(TICK) {
            tick(&shared);
            let now = (shared.settings.clock)();
            if now.since(last) >= shared.settings.maintenance {
                last = now;
                if let Err(error) = upkeep.round(&shared, Pace::Background) {
                    report(&error);
                }
            }
        }
    })
}

fn report(error: &Error) {
    // A closing store refuses its own upkeep; the writer has told of anything fatal.
    if !matches!(error, Error::Closed | Error::Write { .. }) {
        tracing::error!(code = error.code(), %error, "upkeep of the store: {}", error.hint());
    }
}

/// What is due every second, and costs next to nothing when nothing happens.
fn tick(shared: &Shared) {
    if let Err(error) = shared.room.poll(&shared.settings.path) {
        tracing::warn!(%error, "free disk space is unknown");
    }
    if let Some(synced) = &shared.synced
        && shared.counters.unsynced.swap(false, Ordering::Relaxed)
        && let Err(error) = synced.sync()
    {
        tracing::warn!(%error, "sync the note of the last checkpoint");
    }
}

impl Upkeep {
    /// Ends the thread soon.
    pub(crate) fn end(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// Waits; false when upkeep is to end.
    fn pause(&self, time: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(ended, time, |ended| !*ended);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Does what is due.
    pub(crate) fn round(&self, shared: &Shared, pace: Pace) -> Result<(), Error> {
        let mut reclaim: MutexGuard<'_, Reclaim> =
            self.reclaim.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (shared.settings.clock)();
        let logs: Vec<Arc<Log>> = shared.memory.topics().by_id.values().map(Arc::clone).collect();
        for log in &logs {
            if retain::due(log, now) {
                let id = log.topic().id;
                let removed = shared.run(move |commit| Ok(retain::trim(commit, id)))?;
                reclaim.trimmed(id, &removed);
            }
        }
        expire_marks(shared, now)?;
        self.slices(pace, || expire_state(shared, now))?;
        for log in logs.iter().filter(|log| log.topic().compacted) {
            for (number, _) in log.numbered() {
                self.compact(shared, log, number, pace)?;
            }
        }
        reclaim.reclaim(shared)
    }

    /// Removes what lies before an offset of each partition.
    pub(crate) fn cut(&self, shared: &Shared, topic: TopicId, before: Cuts) -> Result<(), Error> {
        let removed = shared.run(move |commit| Ok(retain::cut(commit, topic, &before)))?;
        let mut reclaim = self.reclaim.lock().unwrap_or_else(PoisonError::into_inner);
        reclaim.trimmed(topic, &removed);
        Ok(())
    }

    /// Runs `slice` until it has nothing more to do, or often enough.
    fn slices(&self, pace: Pace, slice: impl Fn() -> Result<bool, Error>) -> Result<(), Error> {
        for count in 0.. {
            if !slice()? || pace == Pace::Background && count >= SLICES {
                break;
            }
            if pace == Pace::Background && !self.pause(PAUSE) {
                break;
            }
        }
        Ok(())
    }

    fn compact(
        &self,
        shared: &Shared,
        log: &Log,
        number: PartitionId,
        pace: Pace,
    ) -> Result<(), Error> {
        let Some(mut pass) = compact::Pass::begin(shared, log, number)? else { return Ok(()) };
        // A pass is never broken off half way but at the end: it begins by reading everything new.
        while pass.slice(shared)? {
            if pace == Pace::Background && !self.pause(PAUSE) {
                return Ok(());
            }
        }
        pass.finish(shared)
    }
}

/// Forgets marks that are older than they need be.
fn expire_marks(shared: &Shared, now: Instant) -> Result<(), Error> {
    let age = shared.settings.marks_age;
    let mut gone: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for (cell, log) in &shared.memory.scopes().marks {
        let old = |youngest: u64| now.since(Instant(youngest)) >= age;
        let firsts = log.buckets.iter().take_while(|bucket| old(bucket.youngest));
        let firsts: Vec<u64> = firsts.map(|bucket| bucket.first).collect();
        if !firsts.is_empty() {
            gone.insert(*cell, firsts);
        }
    }
    if gone.is_empty() {
        return Ok(());
    }
    shared.run(move |commit| {
        forget_marks(commit, gone);
        Ok(())
    })
}

fn forget_marks(commit: &mut Commit<'_>, gone: BTreeMap<u32, Vec<u64>>) {
    commit.gives_up = true;
    for (cell, firsts) in &gone {
        for first in firsts {
            commit.delete_meta(meta::marks(*cell, *first));
        }
    }
    commit.after.push(Box::new(move |memory| {
        let mut scopes = memory.scopes_mut();
        for (cell, firsts) in gone {
            let Some(log) = scopes.marks.get_mut(&cell) else { continue };
            // Eviction may have been quicker with some of them.
            while let Some(bucket) = log.buckets.pop_front_if(|one| firsts.contains(&one.first)) {
                log.held -= bucket.count;
            }
        }
    }));
}

/// Removes a slice of the state values that have expired; says whether there may be more.
fn expire_state(shared: &Shared, now: Instant) -> Result<bool, Error> {
    let mut due: Vec<(fjall::Slice, fjall::Slice)> = Vec::new();
    let failed = |source: fjall::Error| Error::Read { what: "expiry", source: source.into() };
    for guard in shared.disk.expiry.iter().take(SLICE) {
        let row = guard.key().map_err(failed)?;
        match key::expiry_parts(&row) {
            Some((at, _)) if at > now.0 => break,
            Some((_, state)) => due.push((state.into(), row.clone())),
            None => due.push((fjall::Slice::default(), row.clone())),
        }
    }
    let more = due.len() == SLICE;
    if !due.is_empty() {
        shared.run(move |commit| expire(commit, due, now))?;
    }
    Ok(more)
}

/// Runs on the writer, so no value can change between look and removal.
fn expire(
    commit: &mut Commit<'_>,
    due: Vec<(fjall::Slice, fjall::Slice)>,
    now: Instant,
) -> Result<(), Error> {
    let disk = &commit.shared.disk;
    let failed = |source: fjall::Error| Error::Read { what: "state", source: source.into() };
    let mut values = Vec::new();
    for (state, _) in &due {
        // The value may have been set again since, to live longer or for ever.
        let value = disk.state.get(state).map_err(failed)?;
        let mut value = value.map(|value| Decoder::of("state value", value));
        let expires = value.as_mut().map(record::decode_state).transpose()?.and_then(|(at, _)| at);
        if expires.is_some_and(|at| at <= now) {
            values.push(state.clone());
        }
    }
    commit
        .shared
        .counters
        .expired
        .fetch_add(u64::try_from(values.len()).unwrap_or(0), Ordering::Relaxed);
    for value in values {
        commit.delete(Place::State, value);
    }
    for (_, row) in due {
        commit.delete(Place::Expiry, row);
    }
    Ok(())
}
