//! Decides what a batch will write, on the thread that submits it: the writer is one thread and
//! only adds what it alone knows, offsets and cells.

use bytes::Bytes;
use fjall::Slice;
use gristmill_engine::{IdHash, Instant, KeyHash, Mark, PartitionId, SubscriptionId, TopicId};

use crate::{
    Append, Batch, Change, Cleared, Error, ParkedRecord, Scope,
    disk::Kind,
    key::{self, CELL, ParkedPart, meta},
    record::{self, Varying},
};

/// Longest event key and name of a state value together, in bytes, zeros counting twice
/// (source: the storage engine's keys have at most 65,535).
pub(crate) const STATE_KEY_MAX: u64 = 60_000;
/// Largest event, value or record, in bytes (source: the storage engine holds one in memory).
pub(crate) const VALUE_MAX: u64 = 256 * 1_024 * 1_024;
/// Longest name of a document or subscription, in bytes.
pub(crate) const NAME_MAX: u64 = 1_024;

/// A batch, encoded.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) ingest: bool,
    pub(crate) size: u64,
    pub(crate) appends: Vec<PreparedAppend>,
    pub(crate) writes: Vec<Write>,
}

/// An event without its offset.
#[derive(Debug)]
pub(crate) struct PreparedAppend {
    pub(crate) topic: TopicId,
    pub(crate) partition: PartitionId,
    pub(crate) timestamp: Instant,
    pub(crate) size: u64,
    pub(crate) value: Slice,
}

/// A change; keys have room for the cell in front.
#[derive(Debug)]
pub(crate) enum Write {
    Put {
        scope: Scope,
        kind: Kind,
        key: Vec<u8>,
        value: Slice,
    },
    Delete {
        scope: Scope,
        kind: Kind,
        key: Vec<u8>,
    },
    /// State and timers change their scope.
    Move {
        from: Scope,
        to: Scope,
    },
    /// A state value that expires.
    Expiring {
        scope: Scope,
        key: Vec<u8>,
        value: Slice,
        expires: Instant,
    },
    Mark {
        scope: Scope,
        id: IdHash,
        mark: Mark,
        at: Instant,
    },
    Clear {
        subscription: SubscriptionId,
        partition: Option<PartitionId>,
        what: Cleared,
    },
    Meta {
        key: Vec<u8>,
        value: Option<Slice>,
    },
}

pub(crate) fn limit(what: &'static str, size: usize, max: u64) -> Result<(), Error> {
    let size = u64::try_from(size).unwrap_or(u64::MAX);
    if size <= max { Ok(()) } else { Err(Error::TooLarge { what, size, max }) }
}

/// Encodes a batch.
pub(crate) fn prepare(batch: Batch) -> Result<Prepared, Error> {
    let mut out = Prepared { ingest: batch.ingest, ..Prepared::default() };
    out.appends.reserve_exact(batch.appends.len());
    for append in &batch.appends {
        let append = prepare_append(append)?;
        out.size = out.size.saturating_add(append.size);
        out.appends.push(append);
    }
    out.writes.reserve(batch.changes.len());
    for change in batch.changes {
        out.change(change)?;
    }
    Ok(out)
}

fn prepare_append(append: &Append) -> Result<PreparedAppend, Error> {
    let size = record::size(append);
    limit("event", usize::try_from(size).unwrap_or(usize::MAX), VALUE_MAX)?;
    Ok(PreparedAppend {
        topic: append.topic,
        partition: append.partition,
        timestamp: append.timestamp,
        size,
        value: record::encode_append(append, size).into(),
    })
}

impl Prepared {
    fn change(&mut self, change: Change) -> Result<(), Error> {
        match change {
            Change::StateSet { scope, key, name, value, expires } => {
                let key = state_key(&key, &name)?;
                limit("state value", value.len(), VALUE_MAX)?;
                let value = record::encode_state(&value, expires).into();
                match expires {
                    None => self.put(scope, Kind::State, key, value),
                    Some(expires) => {
                        self.count(key.len() * 2 + value.len());
                        self.writes.push(Write::Expiring { scope, key, value, expires });
                    }
                }
            }
            Change::StateKeep { scope, key, name, value, expires } => {
                let key = state_key(&key, &name)?;
                limit("state value", value.len(), VALUE_MAX)?;
                let value = record::encode_state(&value, expires).into();
                self.put(scope, Kind::State, key, value);
            }
            Change::StateMove { from, to } => self.writes.push(Write::Move { from, to }),
            Change::StateDelete { scope, key, name } => {
                self.delete(scope, Kind::State, state_key(&key, &name)?);
            }
            Change::TimerSet { scope, record } => {
                let key = key::hashed(0, record.entry.timer.0).to_vec();
                let value = record::encode_timer(&record);
                limit("timer", value.len(), VALUE_MAX)?;
                self.put(scope, Kind::Timers, key, value.into());
            }
            Change::TimerDelete { scope, timer } => {
                self.delete(scope, Kind::Timers, key::hashed(0, timer.0).to_vec());
            }
            Change::MarkSet { scope, id, mark, at } => {
                self.count(64);
                self.writes.push(Write::Mark { scope, id, mark, at });
            }
            Change::ParkedPut { scope, lane, record } => self.parked_put(scope, lane, &record)?,
            Change::ParkedUpdate { scope, lane, sequence, attempts, first_failure, due, error } => {
                let varying = Varying { attempts, first_failure, due, error };
                self.parked_varying(scope, lane, sequence, &varying);
            }
            Change::ParkedDelete { scope, lane, sequence } => {
                for part in [ParkedPart::Fixed, ParkedPart::Varying, ParkedPart::Body] {
                    self.delete(scope, Kind::Parked, key::parked(0, part, lane, sequence));
                }
            }
            Change::Progress { scope, topic, progress } => {
                let mut key = vec![0; CELL];
                key.extend_from_slice(&topic.0.to_be_bytes());
                let value = record::encode_progress(&progress);
                self.put(scope, Kind::Progress, key, value.into());
            }
            Change::SubscriptionClear { subscription, partition, what } => {
                self.writes.push(Write::Clear { subscription, partition, what });
            }
            Change::Document { name, value } => self.document(&name, value)?,
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) {
        self.size = self.size.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    fn put(&mut self, scope: Scope, kind: Kind, key: Vec<u8>, value: Slice) {
        self.count(key.len() + value.len());
        self.writes.push(Write::Put { scope, kind, key, value });
    }

    fn delete(&mut self, scope: Scope, kind: Kind, key: Vec<u8>) {
        self.count(key.len());
        self.writes.push(Write::Delete { scope, kind, key });
    }

    fn parked_put(
        &mut self,
        scope: Scope,
        lane: KeyHash,
        record: &ParkedRecord,
    ) -> Result<(), Error> {
        let event = &record.event;
        let sequence = event.sequence;
        let body = record::encode_parked_body(record);
        limit("parked event", body.len(), VALUE_MAX)?;
        let key = |part| key::parked(0, part, lane, sequence);
        let fixed = record::encode_parked_fixed(event);
        self.put(scope, Kind::Parked, key(ParkedPart::Fixed), fixed.into());
        self.put(scope, Kind::Parked, key(ParkedPart::Body), body.into());
        self.parked_varying(scope, lane, sequence, &Varying::of(record));
        Ok(())
    }

    fn parked_varying(&mut self, scope: Scope, lane: KeyHash, sequence: u64, varying: &Varying) {
        let key = key::parked(0, ParkedPart::Varying, lane, sequence);
        self.put(scope, Kind::Parked, key, record::encode_parked_varying(varying).into());
    }

    fn document(&mut self, name: &str, value: Option<Bytes>) -> Result<(), Error> {
        limit("name of a document", name.len(), NAME_MAX)?;
        let value = value.map(|value| Slice::from(value.as_ref()));
        let size = value.as_ref().map_or(0, |value| value.len());
        limit("document", size, VALUE_MAX)?;
        self.count(name.len() + size);
        self.writes.push(Write::Meta { key: meta::document(name), value });
        Ok(())
    }
}

fn state_key(key: &[u8], name: &str) -> Result<Vec<u8>, Error> {
    limit_state_key(key, name)?;
    Ok(key::state(0, key, name))
}

/// Refuses an event key and a name that are too long together.
pub(crate) fn limit_state_key(key: &[u8], name: &str) -> Result<(), Error> {
    let size: usize = key.iter().map(|byte| if *byte == 0 { 2 } else { 1 }).sum();
    limit("key and name of a state value", size + name.len(), STATE_KEY_MAX)
}
