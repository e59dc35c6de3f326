//! Decides how changes of one partition of a subscription become entries of a compacted log, and
//! entries become changes again. It reads and writes no log and knows neither topic nor offset.
//!
//! Where the log is the truth and the store its cache, what a checkpoint changes goes into the log
//! first, as entries made by [`encode`]; a store that lacks them is brought up to date by
//! [`decode`] and [`Store::submit`](crate::Store::submit). Bytes here name no host, no
//! subscription and no partition of it, for the log's own topic and partition say those. They do
//! hold [`TopicId`]s, positions and keyed hashes: these must mean the same to everyone who reads
//! the log.
//!
//! # Entries
//!
//! A key begins with a byte for its kind, a value with a byte for its version, now 1 for all.
//!
//! | kind | rest of the key | value | tombstone |
//! |---|---|---|---|
//! | `s` state | event key, name | expiry, value | the value is deleted |
//! | `t` timer | timer | the timer | the timer is deleted |
//! | `p` parked event | lane, sequence | event, its bytes, first figures | it left its lane |
//! | `f` its figures | lane, sequence | attempts, first failure, due, error | as `p` |
//! | `o` progress | topic | the progress | never written |
//! | `m` batch of marks | number of the batch | moment, marks | the batch is forgotten |
//!
//! # What a reader must do
//!
//! Read every entry from the start of the log, or from where its store stands, in the order of
//! their offsets, and apply each; to apply some twice does no harm. How far it came belongs into
//! the batch of what it applied, as a [`Change::Document`], for without
//! [`Settings::commit_sync`](crate::Settings::commit_sync) the last batches may be lost. Compaction
//! keeps that order and the last entry of each key. That is all it takes:
//!
//! - Figures have a key of their own, so that a failed attempt writes no event again and reads
//!   nothing. A put holds figures too: those of the same place that are older come before it in
//!   the log, whatever was compacted, and are overwritten by it. So it needs no tombstone of them.
//! - What leaves its lane leaves tombstones of both, event first. Figures that outlive the
//!   tombstone of their event (it may be compacted away earlier) are still followed by their own,
//!   which deletes the place like the other one.
//! - Tombstones go some time after they were written (Kafka's `delete.retention.ms`). A store that
//!   stands further back than that must be emptied and read anew.
//!
//! # What is not in the log
//!
//! [`Change::Document`]: documents are the host's own. [`Change::StateKeep`] and
//! [`Change::StateMove`]: a state beside another is the host's own too, and who takes its place
//! writes what differs. [`Change::SubscriptionClear`]: to forget
//! what is in a log, its owner deletes the log, or writes tombstones of all it holds. State values
//! that expire leave no tombstone by themselves: they come back with their expiry and are then
//! forgotten like any other. [`encode`] makes a tombstone of a [`Change::StateDelete`].

use bytes::Bytes;
use gristmill_engine::{IdHash, Instant, KeyHash, Mark, TimerHash, TopicId};

use crate::{
    Change, Error, ParkedRecord, Scope,
    codec::{Decoder, Encoder},
    prepare::{self, VALUE_MAX},
    record::{self, Varying},
};

/// Version of every value this version writes, and the only one it reads.
const VERSION: u8 = 1;

const STATE: u8 = b's';
const TIMER: u8 = b't';
const PARKED: u8 = b'p';
const FIGURES: u8 = b'f';
const PROGRESS: u8 = b'o';
const MARKS: u8 = b'm';

/// Bytes of a mark in its batch.
const MARK_BYTES: usize = 36;

/// One entry of a compacted log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is about. Of several entries with one key the last counts.
    pub key: Bytes,
    /// What it says; `None` is a tombstone.
    pub value: Option<Bytes>,
}

/// Appends the entries of `changes`, all of one scope, to `entries` in their order. They belong
/// into one transaction.
///
/// All marks become one entry, a batch under the number `marks_sequence`, which then rises by one;
/// its moment is that of the youngest. It takes 36 bytes per mark and 16 more. The owner of the log
/// starts from one more than the greatest [`mark_batch`] it has read, 0 if there is none.
///
/// [`Change::Document`], [`Change::StateKeep`], [`Change::StateMove`] and
/// [`Change::SubscriptionClear`] are skipped: see the module.
///
/// # Errors
///
/// [`Error::TooLarge`] for what the store would refuse: it must not be in the log then. `entries`
/// and `marks_sequence` are as before.
///
/// # Panics
///
/// When changes are of different scopes: they belong into different logs.
pub fn encode<'a>(
    changes: impl IntoIterator<Item = &'a Change>,
    marks_sequence: &mut u64,
    entries: &mut Vec<Entry>,
) -> Result<(), Error> {
    let before = entries.len();
    let mut all = None;
    let mut marks = Marks::default();
    for change in changes {
        if let Some(scope) = change.scope() {
            let one = *all.get_or_insert(scope) == scope;
            assert!(one, "changes of two scopes belong into two changelogs");
        }
        if let Err(error) = encode_one(change, &mut marks, entries) {
            entries.truncate(before);
            return Err(error);
        }
    }
    if !marks.list.is_empty() {
        entries.push(Entry { key: mark_batch_key(*marks_sequence), value: Some(marks.encode()) });
        *marks_sequence = marks_sequence.saturating_add(1);
    }
    Ok(())
}

/// The changes of one entry, in order: none for a batch of marks that is forgotten, many for one
/// that is not, else one. Byte strings share the memory of `value`.
///
/// # Errors
///
/// [`Error::ChangelogUnknown`] for a kind or version of a newer Gristmill, [`Error::Corrupt`] for
/// bytes that mean nothing. Nothing of such a log may be applied further.
pub fn decode(scope: Scope, key: &[u8], value: Option<Bytes>) -> Result<Vec<Change>, Error> {
    let Some((kind, place)) = key.split_first() else {
        return Err(Error::Corrupt { what: "changelog entry", reason: "its key is empty" });
    };
    let place = Bytes::copy_from_slice(place);
    let change = match *kind {
        STATE => decode_state(scope, place, value)?,
        TIMER => decode_timer(scope, place, value)?,
        PARKED => decode_parked(scope, place, value)?,
        FIGURES => decode_figures(scope, place, value)?,
        PROGRESS => decode_progress(scope, place, value)?,
        MARKS => return decode_marks(scope, place, value),
        found => {
            return Err(Error::ChangelogUnknown { what: "changelog entry", part: "kind", found });
        }
    };
    Ok(vec![change])
}

/// Number of the batch of marks that an entry with this key, value or tombstone, is about; `None`
/// for an entry of another kind.
pub fn mark_batch(key: &[u8]) -> Option<u64> {
    let number = key.strip_prefix(&[MARKS])?;
    number.try_into().ok().map(u64::from_be_bytes)
}

/// Key of a batch of marks. The owner of the log writes a tombstone under it once the batch is
/// older than marks are kept (24 h).
pub fn mark_batch_key(sequence: u64) -> Bytes {
    let mut key = Encoder::with_capacity(9);
    key.u8(MARKS).u64(sequence);
    key.finish().into()
}

/// Moment of the youngest mark of a batch, from the value of its entry.
///
/// # Errors
///
/// As [`decode`], as far as it is read: marks are not looked at.
pub fn mark_batch_at(value: &[u8]) -> Result<Instant, Error> {
    let head = value.first_chunk::<9>().map_or(value, <[u8; 9]>::as_slice);
    let mut from = open(OF_MARKS, Bytes::copy_from_slice(head))?;
    Ok(Instant(from.u64()?))
}

/// Marks of one call of [`encode`].
#[derive(Default)]
struct Marks {
    /// Moment of the youngest.
    at: u64,
    list: Vec<(IdHash, Mark)>,
}

impl Marks {
    fn add(&mut self, id: IdHash, mark: Mark, at: Instant) {
        self.at = self.at.max(at.0);
        self.list.push((id, mark));
    }

    fn encode(&self) -> Bytes {
        let mut out = Encoder::with_capacity(16 + MARK_BYTES * self.list.len());
        out.u8(VERSION).u64(self.at).length(self.list.len());
        for (id, Mark { position, epoch }) in &self.list {
            out.u128(id.0).u32(position.topic.0).u32(position.partition.0);
            out.u64(position.offset.0).u32(*epoch);
        }
        out.finish().into()
    }
}

fn encode_one(change: &Change, marks: &mut Marks, entries: &mut Vec<Entry>) -> Result<(), Error> {
    let mut put = |key: Bytes, value: Option<Bytes>| entries.push(Entry { key, value });
    match change {
        Change::StateSet { scope: _, key, name, value, expires } => {
            prepare::limit("state value", value.len(), VALUE_MAX)?;
            put(state_key(key, name)?, Some(state_value(value, *expires)));
        }
        Change::StateDelete { scope: _, key, name } => put(state_key(key, name)?, None),
        Change::TimerSet { scope: _, record } => {
            let value = record::encode_timer(record);
            prepare::limit("timer", value.len(), VALUE_MAX)?;
            put(timer_key(record.entry.timer), Some(versioned(&value)));
        }
        Change::TimerDelete { scope: _, timer } => put(timer_key(*timer), None),
        Change::MarkSet { scope: _, id, mark, at } => marks.add(*id, *mark, *at),
        Change::ParkedPut { scope: _, lane, record } => {
            put(parked_key(PARKED, *lane, record.event.sequence), Some(parked_value(record)?));
        }
        Change::ParkedUpdate { scope: _, lane, sequence, attempts, first_failure, due, error } => {
            let (attempts, first_failure, due) = (*attempts, *first_failure, *due);
            let varying = Varying { attempts, first_failure, due, error: error.clone() };
            let value = versioned(&record::encode_parked_varying(&varying));
            put(parked_key(FIGURES, *lane, *sequence), Some(value));
        }
        Change::ParkedDelete { scope: _, lane, sequence } => {
            put(parked_key(PARKED, *lane, *sequence), None);
            put(parked_key(FIGURES, *lane, *sequence), None);
        }
        Change::Progress { scope: _, topic, progress } => {
            let mut key = Encoder::with_capacity(5);
            key.u8(PROGRESS).u32(topic.0);
            put(key.finish().into(), Some(versioned(&record::encode_progress(progress))));
        }
        Change::StateKeep { .. }
        | Change::StateMove { .. }
        | Change::SubscriptionClear { .. }
        | Change::Document { .. } => {}
    }
    Ok(())
}

fn versioned(content: &[u8]) -> Bytes {
    let mut out = Encoder::with_capacity(1 + content.len());
    out.u8(VERSION).raw(content);
    out.finish().into()
}

fn state_key(key: &[u8], name: &str) -> Result<Bytes, Error> {
    prepare::limit_state_key(key, name)?;
    let mut out = Encoder::with_capacity(7 + key.len() + name.len());
    out.u8(STATE).bytes(key).bytes(name.as_bytes());
    Ok(out.finish().into())
}

fn state_value(value: &[u8], expires: Option<Instant>) -> Bytes {
    let mut out = Encoder::with_capacity(15 + value.len());
    out.u8(VERSION).option_u64(expires.map(|at| at.0)).bytes(value);
    out.finish().into()
}

fn timer_key(timer: TimerHash) -> Bytes {
    let mut out = Encoder::with_capacity(17);
    out.u8(TIMER).u128(timer.0);
    out.finish().into()
}

fn parked_key(kind: u8, lane: KeyHash, sequence: u64) -> Bytes {
    let mut out = Encoder::with_capacity(25);
    out.u8(kind).u128(lane.0).u64(sequence);
    out.finish().into()
}

fn parked_value(record: &ParkedRecord) -> Result<Bytes, Error> {
    let body = record::encode_parked_body(record);
    prepare::limit("parked event", body.len(), VALUE_MAX)?;
    let mut out = Encoder::with_capacity(128 + record.error.len() + body.len());
    out.u8(VERSION).raw(&record::encode_parked_fixed(&record.event));
    out.raw(&record::encode_parked_varying(&Varying::of(record))).bytes(&body);
    Ok(out.finish().into())
}

const OF_STATE: &str = "changelog entry of a state value";
const OF_TIMER: &str = "changelog entry of a timer";
const OF_PARKED: &str = "changelog entry of a parked event";
const OF_FIGURES: &str = "changelog entry of figures of a parked event";
const OF_PROGRESS: &str = "changelog entry of progress";
const OF_MARKS: &str = "changelog entry of marks";

/// What follows the version of a value, if it is known.
fn open(what: &'static str, value: Bytes) -> Result<Decoder, Error> {
    let mut from = Decoder::new(what, value);
    match from.u8()? {
        VERSION => Ok(from),
        found => Err(Error::ChangelogUnknown { what, part: "version", found }),
    }
}

fn decode_state(scope: Scope, place: Bytes, value: Option<Bytes>) -> Result<Change, Error> {
    let mut place = Decoder::new(OF_STATE, place);
    let (key, name) = (place.bytes()?, place.text()?);
    place.end()?;
    let Some(value) = value else { return Ok(Change::StateDelete { scope, key, name }) };
    let mut from = open(OF_STATE, value)?;
    let (expires, value) = (from.option_u64()?.map(Instant), from.bytes()?);
    from.end()?;
    Ok(Change::StateSet { scope, key, name, value, expires })
}

fn decode_timer(scope: Scope, place: Bytes, value: Option<Bytes>) -> Result<Change, Error> {
    let mut place = Decoder::new(OF_TIMER, place);
    let timer = TimerHash(place.u128()?);
    place.end()?;
    let Some(value) = value else { return Ok(Change::TimerDelete { scope, timer }) };
    let mut from = open(OF_TIMER, value)?;
    let record = record::decode_timer(&mut from)?;
    from.end()?;
    if record.entry.timer != timer {
        return Err(from.corrupt("its key is that of another"));
    }
    Ok(Change::TimerSet { scope, record })
}

fn decode_place(what: &'static str, place: Bytes) -> Result<(KeyHash, u64), Error> {
    let mut from = Decoder::new(what, place);
    let place = (KeyHash(from.u128()?), from.u64()?);
    from.end()?;
    Ok(place)
}

fn decode_parked(scope: Scope, place: Bytes, value: Option<Bytes>) -> Result<Change, Error> {
    let (lane, sequence) = decode_place(OF_PARKED, place)?;
    let Some(value) = value else { return Ok(Change::ParkedDelete { scope, lane, sequence }) };
    let mut from = open(OF_PARKED, value)?;
    let mut event = record::decode_parked_fixed(sequence, &mut from)?;
    let varying = record::decode_parked_varying(&mut from)?;
    varying.give(&mut event);
    let mut body = Decoder::new(OF_PARKED, from.bytes()?);
    from.end()?;
    let source = record::decode_parked_body(&mut body)?;
    body.end()?;
    let record = ParkedRecord { event, source, error: varying.error };
    Ok(Change::ParkedPut { scope, lane, record })
}

fn decode_figures(scope: Scope, place: Bytes, value: Option<Bytes>) -> Result<Change, Error> {
    let (lane, sequence) = decode_place(OF_FIGURES, place)?;
    // Only what leaves its lane leaves this tombstone; the one of its event may be gone already.
    let Some(value) = value else { return Ok(Change::ParkedDelete { scope, lane, sequence }) };
    let mut from = open(OF_FIGURES, value)?;
    let Varying { attempts, first_failure, due, error } = record::decode_parked_varying(&mut from)?;
    from.end()?;
    Ok(Change::ParkedUpdate { scope, lane, sequence, attempts, first_failure, due, error })
}

fn decode_progress(scope: Scope, place: Bytes, value: Option<Bytes>) -> Result<Change, Error> {
    let mut place = Decoder::new(OF_PROGRESS, place);
    let topic = TopicId(place.u32()?);
    place.end()?;
    let value = value.ok_or_else(|| place.corrupt("it is a tombstone"))?;
    let mut from = open(OF_PROGRESS, value)?;
    let progress = record::decode_progress(&mut from)?;
    from.end()?;
    Ok(Change::Progress { scope, topic, progress })
}

fn decode_marks(scope: Scope, place: Bytes, value: Option<Bytes>) -> Result<Vec<Change>, Error> {
    let mut place = Decoder::new(OF_MARKS, place);
    place.u64()?;
    place.end()?;
    let Some(value) = value else { return Ok(Vec::new()) };
    let most = value.len() / MARK_BYTES;
    let mut from = open(OF_MARKS, value)?;
    let (at, count) = (Instant(from.u64()?), from.length()?);
    let mut changes = Vec::with_capacity(count.min(most));
    for _ in 0..count {
        let id = IdHash(from.u128()?);
        let position = record::decode_position(&mut from)?;
        let mark = Mark { position, epoch: from.u32()? };
        changes.push(Change::MarkSet { scope, id, mark, at });
    }
    from.end()?;
    Ok(changes)
}
