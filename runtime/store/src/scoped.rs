//! Decides what reads of state, timers, marks, parked lanes and progress return. It changes
//! nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use fjall::{Keyspace, Readable, Slice};
use gristmill_engine::{
    IdHash, Instant, KeyHash, Mark, ParkedEvent, ParkedLane, StoredProgress, TimerEntry, TimerHash,
    TopicId,
};

use crate::{
    Error, Keys, Loaded, MarkFigures, Names, ParkedRecord, Scope, StateEntry, TimerRecord,
    codec::Decoder,
    disk::Kind,
    key::{self, ParkedPart},
    memory::Cells,
    record::{self, Varying},
    shared::Shared,
};

pub(crate) fn failed(what: &'static str) -> impl Fn(fjall::Error) -> Error {
    move |source| Error::Read { what, source: source.into() }
}

fn get(keyspace: &Keyspace, key: &[u8], what: &'static str) -> Result<Option<Slice>, Error> {
    keyspace.get(key).map_err(failed(what))
}

fn cells(shared: &Shared, scope: Scope) -> Option<Cells> {
    shared.memory.scopes().cells.get(&scope).copied()
}

/// Everything durable about a scope, as of one moment.
pub(crate) fn load(shared: &Shared, scope: Scope) -> Result<Loaded, Error> {
    let Some(cells) = cells(shared, scope) else { return Ok(Loaded::default()) };
    let snapshot = shared.disk.database.snapshot();
    Ok(Loaded {
        progress: load_progress(shared, &snapshot, cells.progress)?,
        parked: load_parked(shared, &snapshot, cells.parked)?,
        timers: load_timers(shared, &snapshot, cells.timers)?,
    })
}

pub(crate) fn progress(
    shared: &Shared,
    scope: Scope,
) -> Result<Vec<(TopicId, StoredProgress)>, Error> {
    let Some(cells) = cells(shared, scope) else { return Ok(Vec::new()) };
    load_progress(shared, &shared.disk.database.snapshot(), cells.progress)
}

fn load_progress(
    shared: &Shared,
    snapshot: &fjall::Snapshot,
    cell: u32,
) -> Result<Vec<(TopicId, StoredProgress)>, Error> {
    let rows = snapshot.prefix(shared.disk.kind(Kind::Progress), cell.to_be_bytes());
    let decode = |guard: fjall::Guard| {
        let (key, value) = guard.into_inner().map_err(failed("progress"))?;
        let topic = key.last_chunk::<4>().map(|topic| TopicId(u32::from_be_bytes(*topic)));
        let corrupt = Error::Corrupt { what: "progress", reason: "its key is too short" };
        Ok((topic.ok_or(corrupt)?, record::decode_progress(&mut Decoder::of("progress", value))?))
    };
    rows.map(decode).collect()
}

fn load_timers(
    shared: &Shared,
    snapshot: &fjall::Snapshot,
    cell: u32,
) -> Result<Vec<TimerEntry>, Error> {
    let rows = snapshot.prefix(shared.disk.kind(Kind::Timers), cell.to_be_bytes());
    let decode = |guard: fjall::Guard| {
        let value = guard.value().map_err(failed("timers"))?;
        record::decode_timer_entry(&mut Decoder::of("timer", value))
    };
    rows.map(decode).collect()
}

fn load_parked(
    shared: &Shared,
    snapshot: &fjall::Snapshot,
    cell: u32,
) -> Result<Vec<ParkedLane>, Error> {
    let keyspace = shared.disk.kind(Kind::Parked);
    let short = Error::Corrupt { what: "parked event", reason: "its key is too short" };
    let mut varying = BTreeMap::new();
    for guard in snapshot.prefix(keyspace, key::parked_prefix(cell, ParkedPart::Varying)) {
        let (key, value) = guard.into_inner().map_err(failed("parked lanes"))?;
        let place = key::parked_parts(&key).ok_or_else(|| short.clone())?;
        varying.insert(place, decode_varying(value)?);
    }
    let mut lanes: Vec<ParkedLane> = Vec::new();
    for guard in snapshot.prefix(keyspace, key::parked_prefix(cell, ParkedPart::Fixed)) {
        let (key, value) = guard.into_inner().map_err(failed("parked lanes"))?;
        let (lane, sequence) = key::parked_parts(&key).ok_or_else(|| short.clone())?;
        let missing = Error::Corrupt { what: "parked event", reason: "its figures are missing" };
        let varying = varying.get(&(lane, sequence)).ok_or(missing)?;
        let event = decode_parked(sequence, value, varying)?;
        match lanes.last_mut().filter(|last| last.key == lane) {
            Some(last) => last.events.push(event),
            None => lanes.push(ParkedLane { key: lane, events: vec![event] }),
        }
    }
    Ok(lanes)
}

pub(crate) fn decode_varying(value: Slice) -> Result<Varying, Error> {
    record::decode_parked_varying(&mut Decoder::of("figures of a parked event", value))
}

/// A parked event from its two small parts.
pub(crate) fn decode_parked(
    sequence: u64,
    fixed: Slice,
    varying: &Varying,
) -> Result<ParkedEvent, Error> {
    let fixed = &mut Decoder::of("parked event", fixed);
    let mut event = record::decode_parked_fixed(sequence, fixed)?;
    varying.give(&mut event);
    Ok(event)
}

pub(crate) fn state_get(
    shared: &Shared,
    scope: Scope,
    key: &[u8],
    name: &str,
    now: Instant,
) -> Result<Option<Bytes>, Error> {
    let Some(cells) = cells(shared, scope) else { return Ok(None) };
    let stored = key::state(cells.state, key, name);
    let Some(value) = get(&shared.disk.state, &stored, "state")? else { return Ok(None) };
    let (expires, value) = record::decode_state(&mut Decoder::of("state value", value))?;
    Ok(expires.is_none_or(|at| at > now).then_some(value))
}

pub(crate) fn state_names(
    shared: &Shared,
    scope: Scope,
    key: &[u8],
    page: Names<'_>,
    now: Instant,
) -> Result<Vec<String>, Error> {
    let Some(cells) = cells(shared, scope) else { return Ok(Vec::new()) };
    let prefix = key::state(cells.state, key, page.prefix);
    let after = page.after.map(|name| key::state(cells.state, key, name));
    let pairs = state_page(shared, &prefix, after, page.limit, now)?;
    Ok(pairs.into_iter().map(|(_, name)| name).collect())
}

pub(crate) fn state_keys(
    shared: &Shared,
    scope: Scope,
    page: Keys<'_>,
    now: Instant,
) -> Result<Vec<(Bytes, String)>, Error> {
    let Some(cells) = cells(shared, scope) else { return Ok(Vec::new()) };
    let prefix = key::state_prefix(cells.state, page.prefix);
    let after = page.after.map(|(key, name)| key::state(cells.state, key, name));
    state_page(shared, &prefix, after, page.limit, now)
}

/// State of a scope, expired or not, after a key and name if they are given.
pub(crate) fn state_entries(
    shared: &Shared,
    scope: Scope,
    after: Option<(&[u8], &str)>,
    limit: u32,
) -> Result<Vec<StateEntry>, Error> {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let Some(cells) = cells(shared, scope) else { return Ok(Vec::new()) };
    let prefix = key::state_prefix(cells.state, &[]);
    let to = key::after_prefix(&prefix).map_or(Unbounded, Excluded);
    let from = match after {
        Some((key, name)) => Excluded(key::state(cells.state, key, name)),
        None => Included(prefix),
    };
    let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for guard in shared.disk.state.range((from, to)).take(limit) {
        let (key, value) = guard.into_inner().map_err(failed("state"))?;
        let (expires, value) = record::decode_state(&mut Decoder::of("state value", value))?;
        let corrupt = Error::Corrupt { what: "state", reason: "its key is no key and name" };
        let (key, name) = key::state_parts(&key).ok_or(corrupt)?;
        found.push(StateEntry { key: Bytes::from(key), name: name.to_owned(), value, expires });
    }
    Ok(found)
}

/// Live state under a prefix, after a key if one is given.
fn state_page(
    shared: &Shared,
    prefix: &[u8],
    after: Option<Vec<u8>>,
    limit: u32,
    now: Instant,
) -> Result<Vec<(Bytes, String)>, Error> {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let from = match after.filter(|after| after.as_slice() >= prefix) {
        Some(after) => Excluded(after),
        None => Included(prefix.to_vec()),
    };
    let to = key::after_prefix(prefix).map_or(Unbounded, Excluded);
    // A range must not begin at or after its end: an `after` beyond the prefix finds nothing.
    if let (Excluded(from), Excluded(to)) = (&from, &to)
        && from >= to
    {
        return Ok(Vec::new());
    }
    let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for guard in shared.disk.state.range((from, to)) {
        let (key, value) = guard.into_inner().map_err(failed("state"))?;
        let (expires, _) = record::decode_state(&mut Decoder::of("state value", value))?;
        if expires.is_some_and(|at| at <= now) {
            continue;
        }
        let corrupt = Error::Corrupt { what: "state", reason: "its key is no key and name" };
        let (key, name) = key::state_parts(&key).ok_or(corrupt)?;
        found.push((Bytes::from(key), name.to_owned()));
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

/// The mark of an id. Absent is the ordinary case: filters in memory answer it.
pub(crate) fn mark(shared: &Shared, scope: Scope, id: IdHash) -> Result<Option<Mark>, Error> {
    let Some(cell) = cells(shared, scope).map(|cells| cells.marks) else { return Ok(None) };
    let key = key::hashed(cell, id.0);
    let Some(value) = get(&shared.disk.marks, &key, "dedupe mark")? else { return Ok(None) };
    let (mark, checkpoint) = record::decode_mark(value)?;
    let scopes = shared.memory.scopes();
    let held = scopes.marks.get(&cell).is_some_and(|log| log.holds(checkpoint));
    Ok(held.then_some(mark))
}

pub(crate) fn mark_figures(shared: &Shared, scope: Scope) -> MarkFigures {
    let scopes = shared.memory.scopes();
    let log = scopes.cells.get(&scope).and_then(|cells| scopes.marks.get(&cells.marks));
    log.map_or_else(MarkFigures::default, |log| MarkFigures {
        held: log.held,
        evicted: log.evicted,
        oldest: log.buckets.front().map(|bucket| Instant(bucket.oldest)),
    })
}

pub(crate) fn parked(
    shared: &Shared,
    scope: Scope,
    lane: KeyHash,
    sequence: u64,
) -> Result<Option<ParkedRecord>, Error> {
    let Some(cell) = cells(shared, scope).map(|cells| cells.parked) else { return Ok(None) };
    let part = |part| {
        let key = key::parked(cell, part, lane, sequence);
        get(shared.disk.kind(Kind::Parked), &key, "parked event")
    };
    let parts = (part(ParkedPart::Fixed)?, part(ParkedPart::Varying)?, part(ParkedPart::Body)?);
    let (Some(fixed), Some(varying), Some(body)) = parts else { return Ok(None) };
    let varying = decode_varying(varying)?;
    Ok(Some(ParkedRecord {
        event: decode_parked(sequence, fixed, &varying)?,
        source: record::decode_parked_body(&mut Decoder::of("bytes of a parked event", body))?,
        error: varying.error,
    }))
}

pub(crate) fn timer(
    shared: &Shared,
    scope: Scope,
    timer: TimerHash,
) -> Result<Option<TimerRecord>, Error> {
    let Some(cell) = cells(shared, scope).map(|cells| cells.timers) else { return Ok(None) };
    let key = key::hashed(cell, timer.0);
    let value = get(shared.disk.kind(Kind::Timers), &key, "timer")?;
    value.map(|value| record::decode_timer(&mut Decoder::of("timer", value))).transpose()
}

pub(crate) fn document(shared: &Shared, name: &str) -> Result<Option<Bytes>, Error> {
    let value = get(&shared.disk.meta, &key::meta::document(name), "document")?;
    Ok(value.map(Bytes::from_owner))
}
