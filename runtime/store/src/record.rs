//! Decides what the bytes of each stored thing mean. It reads and writes no disk.
//!
//! Timers, progress and the parts of a parked event have the same bytes in a changelog: to change
//! those is to raise the version there too.

use bytes::Bytes;
use gristmill_engine::{
    Bytes as Size, EventRef, IdHash, Instant, KeyHash, Mark, Offset, OffsetRange, ParkedEvent,
    PartitionId, Position, StoredProgress, TimerEntry, TimerHash, TopicId,
};

use crate::{
    Append, Error, Header, Parked, ParkedRecord, Stored, TimerRecord,
    codec::{Decoder, Encoder},
};

const HAS_KEY: u8 = 1;
const HAS_PAYLOAD: u8 = 2;

/// Size of an event as limits and retention count it: key, headers, payload.
pub(crate) fn size(append: &Append) -> u64 {
    let headers = append.headers.iter().map(|(name, value)| name.len() + value.len());
    let key = append.key.as_ref().map_or(0, Bytes::len);
    let payload = append.payload.as_ref().map_or(0, Bytes::len);
    u64::try_from(key + payload + headers.sum::<usize>()).unwrap_or(u64::MAX)
}

/// Size of an event as limits and retention count it.
pub(crate) fn stored_size(stored: &Stored) -> u64 {
    let headers = stored.headers.iter().map(|(name, value)| name.len() + value.len());
    let key = stored.key.as_ref().map_or(0, Bytes::len);
    let payload = stored.payload.as_ref().map_or(0, Bytes::len);
    u64::try_from(key + payload + headers.sum::<usize>()).unwrap_or(u64::MAX)
}

/// Parts of an event that are stored under its offset.
struct EventParts<'a> {
    timestamp: Instant,
    key: Option<&'a Bytes>,
    headers: &'a [Header],
    payload: Option<&'a Bytes>,
}

pub(crate) fn encode_append(append: &Append, size: u64) -> Vec<u8> {
    let room = usize::try_from(size).unwrap_or(0) + 16 + 6 * append.headers.len();
    let mut out = Encoder::with_capacity(room);
    let parts = EventParts {
        timestamp: append.timestamp,
        key: append.key.as_ref(),
        headers: &append.headers,
        payload: append.payload.as_ref(),
    };
    encode_event(&mut out, &parts);
    out.finish()
}

fn encode_event(out: &mut Encoder, event: &EventParts<'_>) {
    let key = if event.key.is_some() { HAS_KEY } else { 0 };
    let payload = if event.payload.is_some() { HAS_PAYLOAD } else { 0 };
    out.u8(key | payload).u64(event.timestamp.0);
    if let Some(key) = event.key {
        out.bytes(key);
    }
    out.length(event.headers.len());
    for (name, value) in event.headers {
        out.bytes(name.as_bytes()).bytes(value);
    }
    if let Some(payload) = event.payload {
        out.raw(payload);
    }
}

/// Decodes an event; its byte strings share the memory of `from`. What follows its headers is
/// its payload.
pub(crate) fn decode_event(offset: Offset, from: &mut Decoder) -> Result<Stored, Error> {
    let flags = from.u8()?;
    if flags & !(HAS_KEY | HAS_PAYLOAD) != 0 {
        return Err(from.corrupt("it has unknown flags"));
    }
    let timestamp = Instant(from.u64()?);
    let key = if flags & HAS_KEY == 0 { None } else { Some(from.bytes()?) };
    let count = from.length()?;
    let mut headers = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        headers.push((from.shared_text()?, from.bytes()?));
    }
    let payload = (flags & HAS_PAYLOAD != 0).then(|| from.rest());
    Ok(Stored { offset, timestamp, key, headers: headers.into(), payload })
}

pub(crate) fn encode_state(value: &[u8], expires: Option<Instant>) -> Vec<u8> {
    let mut out = Encoder::with_capacity(value.len() + 9);
    out.option_u64(expires.map(|at| at.0)).raw(value);
    out.finish()
}

/// When a state value expires, and the value.
pub(crate) fn decode_state(from: &mut Decoder) -> Result<(Option<Instant>, Bytes), Error> {
    Ok((from.option_u64()?.map(Instant), from.rest()))
}

/// A mark carries the number of its checkpoint: it is void once that is no longer in the log.
pub(crate) fn encode_mark(mark: &Mark, checkpoint: u64) -> [u8; 28] {
    let mut out = [0; 28];
    let position = mark.position;
    let fields: [&[u8]; 5] = [
        &position.topic.0.to_be_bytes(),
        &position.partition.0.to_be_bytes(),
        &position.offset.0.to_be_bytes(),
        &mark.epoch.to_be_bytes(),
        &checkpoint.to_be_bytes(),
    ];
    let bytes = fields.iter().copied().flatten();
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    out
}

/// The mark and the number of its checkpoint.
pub(crate) fn decode_mark(slice: fjall::Slice) -> Result<(Mark, u64), Error> {
    let mut from = Decoder::of("dedupe mark", slice);
    let position = decode_position(&mut from)?;
    let mark = Mark { position, epoch: from.u32()? };
    Ok((mark, from.u64()?))
}

pub(crate) fn decode_position(from: &mut Decoder) -> Result<Position, Error> {
    Ok(Position {
        topic: TopicId(from.u32()?),
        partition: PartitionId(from.u32()?),
        offset: Offset(from.u64()?),
    })
}

pub(crate) fn encode_timer(record: &TimerRecord) -> Vec<u8> {
    let room = record.key.len() + record.name.len() + record.payload.len() + record.context.len();
    let mut out = Encoder::with_capacity(room + 72);
    let entry = &record.entry;
    out.u128(entry.timer.0).u128(entry.key.0).u64(entry.due.0).u64(entry.sequence);
    out.bytes(&record.key).bytes(record.name.as_bytes());
    out.bytes(&record.payload).bytes(&record.context);
    out.finish()
}

pub(crate) fn decode_timer(from: &mut Decoder) -> Result<TimerRecord, Error> {
    Ok(TimerRecord {
        entry: decode_timer_entry(from)?,
        key: from.bytes()?,
        name: from.text()?,
        payload: from.bytes()?,
        context: from.bytes()?,
    })
}

/// The front of a timer: all the engine needs.
pub(crate) fn decode_timer_entry(from: &mut Decoder) -> Result<TimerEntry, Error> {
    Ok(TimerEntry {
        timer: TimerHash(from.u128()?),
        key: KeyHash(from.u128()?),
        due: Instant(from.u64()?),
        sequence: from.u64()?,
    })
}

pub(crate) fn encode_progress(progress: &StoredProgress) -> Vec<u8> {
    let mut out = Encoder::with_capacity(40 + 16 * progress.finished.len());
    out.u128(progress.incarnation).u32(progress.epoch).u64(progress.epoch_start.0);
    out.u64(progress.next.0).length(progress.finished.len());
    for range in &progress.finished {
        out.u64(range.from.0).u64(range.to.0);
    }
    out.finish()
}

pub(crate) fn decode_progress(from: &mut Decoder) -> Result<StoredProgress, Error> {
    let incarnation = from.u128()?;
    let epoch = from.u32()?;
    let epoch_start = Offset(from.u64()?);
    let next = Offset(from.u64()?);
    let count = from.length()?;
    let mut finished = Vec::with_capacity(count.min(1_024));
    for _ in 0..count {
        finished.push(OffsetRange { from: Offset(from.u64()?), to: Offset(from.u64()?) });
    }
    Ok(StoredProgress { incarnation, epoch, epoch_start, next, finished })
}

/// The part of a parked event that never changes.
pub(crate) fn encode_parked_fixed(event: &ParkedEvent) -> Vec<u8> {
    let mut out = Encoder::with_capacity(64);
    match event.event {
        EventRef::Record(position) => {
            out.u8(0).u32(position.topic.0).u32(position.partition.0).u64(position.offset.0);
        }
        EventRef::Timer { partition, timer, sequence } => {
            out.u8(1).u32(partition.0).u128(timer.0).u64(sequence);
        }
    }
    out.u64(event.size.0).option_u128(event.id.map(|id| id.0)).u8(u8::from(event.redriven));
    out.finish()
}

/// The part of a parked event that each attempt changes.
pub(crate) fn encode_parked_varying(varying: &Varying) -> Vec<u8> {
    let mut out = Encoder::with_capacity(32 + varying.error.len());
    out.u32(varying.attempts).option_u64(varying.first_failure.map(|at| at.0));
    out.u64(varying.due.0).bytes(varying.error.as_bytes());
    out.finish()
}

/// What each attempt changes of a parked event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Varying {
    pub(crate) attempts: u32,
    pub(crate) first_failure: Option<Instant>,
    pub(crate) due: Instant,
    pub(crate) error: String,
}

pub(crate) fn decode_parked_varying(from: &mut Decoder) -> Result<Varying, Error> {
    Ok(Varying {
        attempts: from.u32()?,
        first_failure: from.option_u64()?.map(Instant),
        due: Instant(from.u64()?),
        error: from.text()?,
    })
}

/// The part of a parked event that never changes; its figures are all none.
pub(crate) fn decode_parked_fixed(sequence: u64, from: &mut Decoder) -> Result<ParkedEvent, Error> {
    let event = match from.u8()? {
        0 => EventRef::Record(decode_position(from)?),
        1 => EventRef::Timer {
            partition: PartitionId(from.u32()?),
            timer: TimerHash(from.u128()?),
            sequence: from.u64()?,
        },
        _ => return Err(from.corrupt("it is neither event nor timer")),
    };
    Ok(ParkedEvent {
        sequence,
        event,
        attempts: 0,
        first_failure: None,
        due: Instant(0),
        size: Size(from.u64()?),
        id: from.option_u128()?.map(IdHash),
        redriven: from.flag()?,
    })
}

impl Varying {
    /// What an event has of it.
    pub(crate) fn of(record: &ParkedRecord) -> Self {
        let ParkedEvent { attempts, first_failure, due, .. } = record.event;
        Self { attempts, first_failure, due, error: record.error.clone() }
    }

    /// Gives an event these figures.
    pub(crate) fn give(&self, event: &mut ParkedEvent) {
        event.attempts = self.attempts;
        event.first_failure = self.first_failure;
        event.due = self.due;
    }
}

/// The bytes of a parked event.
pub(crate) fn encode_parked_body(record: &ParkedRecord) -> Vec<u8> {
    match &record.source {
        Parked::Event { topic, stored } => {
            let room = usize::try_from(stored_size(stored)).unwrap_or(0);
            let mut out = Encoder::with_capacity(room + 48);
            out.u8(0).u32(topic.0).u64(stored.offset.0);
            let parts = EventParts {
                timestamp: stored.timestamp,
                key: stored.key.as_ref(),
                headers: &stored.headers,
                payload: stored.payload.as_ref(),
            };
            encode_event(&mut out, &parts);
            out.finish()
        }
        Parked::Timer(timer) => {
            let mut out = Encoder::default();
            out.u8(1).raw(&encode_timer(timer));
            out.finish()
        }
    }
}

pub(crate) fn decode_parked_body(from: &mut Decoder) -> Result<Parked, Error> {
    match from.u8()? {
        0 => {
            let topic = TopicId(from.u32()?);
            let offset = Offset(from.u64()?);
            Ok(Parked::Event { topic, stored: decode_event(offset, from)? })
        }
        1 => Ok(Parked::Timer(decode_timer(from)?)),
        _ => Err(from.corrupt("it is neither event nor timer")),
    }
}
