//! Reads what a partition of a subscription has as of one checkpoint, however long that takes and
//! whatever is written meanwhile. It changes nothing and holds nothing up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fjall::{Guard, Keyspace, Readable, Slice, Snapshot};
use gristmill_engine::{IdHash, Instant, KeyHash, TopicId};

use crate::{
    Change, Error, ParkedRecord, Scope,
    changelog::{self, Entry},
    codec::Decoder,
    disk::Kind,
    key::{self, ParkedPart},
    memory::{Cells, MarkLog},
    record,
    scoped::{decode_parked, decode_varying, failed},
    shared::Shared,
};

/// Marks looked at in one step: those of a time become one entry.
const MARKS_STEP: usize = 8_192;

/// What a scope has at a moment: state, timers, parked events, marks and progress.
pub struct Moment {
    shared: Arc<Shared>,
    snapshot: Snapshot,
    scope: Scope,
    cells: Option<Cells>,
    marks: MarkLog,
    /// Every checkpoint up to this one is in the log of marks.
    published: u64,
}

/// What was read of a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// State values that exist.
    pub values: u64,
    /// Timers that are set.
    pub timers: u64,
    /// Events and timers in parked lanes.
    pub parked: u64,
}

impl std::fmt::Debug for Moment {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Moment").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Moment {
    pub(crate) fn new(shared: &Arc<Shared>, scope: Scope) -> Self {
        let published = shared.memory.published.load(Ordering::Acquire);
        let scopes = shared.memory.scopes();
        let cells = scopes.cells.get(&scope).copied();
        let marks = cells.and_then(|cells| scopes.marks.get(&cells.marks)).cloned();
        let snapshot = shared.disk.database.snapshot();
        drop(scopes);
        let marks = marks.unwrap_or_default();
        Self { shared: Arc::clone(shared), snapshot, scope, cells, marks, published }
    }

    /// Gives all of it to `put`, as entries of a changelog: progress first, values that have not
    /// expired by `now`.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Corrupt`], and those of `put`.
    pub fn read(
        &self,
        now: Instant,
        mut put: impl FnMut(Entry) -> Result<(), Error>,
    ) -> Result<Contents, Error> {
        let Some(cells) = self.cells else { return Ok(Contents::default()) };
        let mut numbers = 0;
        self.read_progress(cells, &mut |change| give(&[change], &mut numbers, &mut put))?;
        let mut numbers = 0;
        let values =
            self.read_state(cells, now, &mut |change| give(&[change], &mut numbers, &mut put))?;
        let timers =
            self.read_timers(cells, &mut |change| give(&[change], &mut numbers, &mut put))?;
        let parked =
            self.read_parked(cells, &mut |change| give(&[change], &mut numbers, &mut put))?;
        self.read_marks(cells, now, &mut |changes| give(&changes, &mut numbers, &mut put))?;
        Ok(Contents { values, timers, parked })
    }

    /// Whether all that was read was there to be read. It is not where the scope was cleared, or
    /// given the state of another, before the end.
    pub fn is_whole(&self) -> bool {
        self.shared.memory.scopes().cells.get(&self.scope).copied() == self.cells
    }

    fn rows(&self, kind: Kind, prefix: impl AsRef<[u8]>) -> impl Iterator<Item = Guard> {
        self.snapshot.prefix(self.shared.disk.kind(kind), prefix)
    }

    fn read_progress(
        &self,
        cells: Cells,
        put: &mut dyn FnMut(Change) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for guard in self.rows(Kind::Progress, cells.progress.to_be_bytes()) {
            let (key, value) = guard.into_inner().map_err(failed("progress"))?;
            let topic = key.last_chunk::<4>().map(|topic| TopicId(u32::from_be_bytes(*topic)));
            let corrupt = Error::Corrupt { what: "progress", reason: "its key is too short" };
            let progress = record::decode_progress(&mut Decoder::of("progress", value))?;
            put(Change::Progress { scope: self.scope, topic: topic.ok_or(corrupt)?, progress })?;
        }
        Ok(())
    }

    fn read_state(
        &self,
        cells: Cells,
        now: Instant,
        put: &mut dyn FnMut(Change) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        let mut count: u64 = 0;
        for guard in self.rows(Kind::State, cells.state.to_be_bytes()) {
            let (key, value) = guard.into_inner().map_err(failed("state"))?;
            let (expires, value) = record::decode_state(&mut Decoder::of("state value", value))?;
            if expires.is_some_and(|at| at <= now) {
                continue;
            }
            let corrupt = Error::Corrupt { what: "state", reason: "its key is no key and name" };
            let (key, name) = key::state_parts(&key).ok_or(corrupt)?;
            let (key, name) = (key.into(), name.to_owned());
            count = count.saturating_add(1);
            put(Change::StateSet { scope: self.scope, key, name, value, expires })?;
        }
        Ok(count)
    }

    fn read_timers(
        &self,
        cells: Cells,
        put: &mut dyn FnMut(Change) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        let mut count: u64 = 0;
        for guard in self.rows(Kind::Timers, cells.timers.to_be_bytes()) {
            let value = guard.value().map_err(failed("timers"))?;
            let record = record::decode_timer(&mut Decoder::of("timer", value))?;
            count = count.saturating_add(1);
            put(Change::TimerSet { scope: self.scope, record })?;
        }
        Ok(count)
    }

    /// In the order of their lanes.
    fn read_parked(
        &self,
        cells: Cells,
        put: &mut dyn FnMut(Change) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        let mut count: u64 = 0;
        for guard in self.rows(Kind::Parked, key::parked_prefix(cells.parked, ParkedPart::Fixed)) {
            let (key, fixed) = guard.into_inner().map_err(failed("parked lanes"))?;
            let short = Error::Corrupt { what: "parked event", reason: "its key is too short" };
            let (lane, sequence) = key::parked_parts(&key).ok_or(short)?;
            let varying = self.parked_part(cells, (ParkedPart::Varying, lane, sequence))?;
            let varying = decode_varying(varying)?;
            let body = self.parked_part(cells, (ParkedPart::Body, lane, sequence))?;
            let body = &mut Decoder::of("bytes of a parked event", body);
            let record = ParkedRecord {
                event: decode_parked(sequence, fixed, &varying)?,
                source: record::decode_parked_body(body)?,
                error: varying.error,
            };
            count = count.saturating_add(1);
            put(Change::ParkedPut { scope: self.scope, lane, record })?;
        }
        Ok(count)
    }

    fn parked_part(
        &self,
        cells: Cells,
        (part, lane, sequence): (ParkedPart, KeyHash, u64),
    ) -> Result<Slice, Error> {
        let keyspace: &Keyspace = self.shared.disk.kind(Kind::Parked);
        let found = self.snapshot.get(keyspace, key::parked(cells.parked, part, lane, sequence));
        let missing = Error::Corrupt { what: "parked event", reason: "a part of it is missing" };
        found.map_err(failed("parked lanes"))?.ok_or(missing)
    }

    fn read_marks(
        &self,
        cells: Cells,
        now: Instant,
        put: &mut dyn FnMut(Vec<Change>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut by_time: BTreeMap<Instant, Vec<Change>> = BTreeMap::new();
        let mut count: usize = 0;
        for guard in self.rows(Kind::Marks, cells.marks.to_be_bytes()) {
            let (key, value) = guard.into_inner().map_err(failed("dedupe marks"))?;
            let (mark, checkpoint) = record::decode_mark(value)?;
            let short = Error::Corrupt { what: "dedupe mark", reason: "its key is too short" };
            let id = key.last_chunk::<16>().map(|id| IdHash(u128::from_be_bytes(*id)));
            let id = id.ok_or(short)?;
            let Some(at) = self.marked_at(checkpoint, now) else { continue };
            let change = Change::MarkSet { scope: self.scope, id, mark, at };
            by_time.entry(at).or_default().push(change);
            count = count.saturating_add(1);
            if count >= MARKS_STEP {
                count = 0;
                std::mem::take(&mut by_time).into_values().try_for_each(&mut *put)?;
            }
        }
        by_time.into_values().try_for_each(put)
    }

    /// About when marks of a checkpoint were set, and never before; `None` once they are
    /// forgotten.
    fn marked_at(&self, checkpoint: u64, now: Instant) -> Option<Instant> {
        if !self.marks.holds(checkpoint) {
            // What is written and not yet published is not in the log.
            return (checkpoint > self.published).then_some(now);
        }
        let bucket = self.marks.buckets.iter().rev().find(|it| it.first <= checkpoint);
        bucket.map(|bucket| Instant(bucket.youngest))
    }
}

/// Gives changes to `put` as entries.
fn give(
    changes: &[Change],
    numbers: &mut u64,
    put: &mut dyn FnMut(Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut entries = Vec::new();
    changelog::encode(changes, numbers, &mut entries)?;
    entries.into_iter().try_for_each(put)
}
