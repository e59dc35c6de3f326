//! Owns the storage engine: which keyspaces there are, how each is tuned, and how it is opened.
//! It gives no bytes a meaning.

use std::{path::Path, sync::Arc};

use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode,
    compaction::Leveled,
    config::{BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry},
};
use gristmill_engine::Bytes as Size;

use crate::{filter::Filters, memory::Memory};

/// Few keyspaces, whatever the number of topics and subscriptions: each costs a directory, a
/// memtable and tens of milliseconds to create (measured: 38 s for 1,000).
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) database: Database,
    /// Topics, chunks, scopes, counters, documents, the checkpoint's number.
    pub(crate) meta: Keyspace,
    /// Events.
    pub(crate) log: Keyspace,
    /// State values.
    pub(crate) state: Keyspace,
    /// Moments at which state values expire, in order.
    pub(crate) expiry: Keyspace,
    /// Timers.
    pub(crate) timers: Keyspace,
    /// Parked events.
    pub(crate) parked: Keyspace,
    /// Dedupe marks.
    pub(crate) marks: Keyspace,
    /// How far subscriptions have come.
    pub(crate) progress: Keyspace,
}

/// A keyspace by name; commits sort by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Meta,
    Log,
    State,
    Expiry,
    Timers,
    Parked,
    Marks,
    Progress,
}

impl From<Kind> for Place {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::State => Self::State,
            Kind::Timers => Self::Timers,
            Kind::Parked => Self::Parked,
            Kind::Marks => Self::Marks,
            Kind::Progress => Self::Progress,
        }
    }
}

/// Kinds of things a scope owns; each lives in a cell of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    State,
    Timers,
    Parked,
    Marks,
    Progress,
}

/// Journals go over into tables at this size at the latest: it bounds what a restart replays to
/// about a second.
const JOURNALS: u64 = 192 * 1_024 * 1_024;

const MIB: u64 = 1_024 * 1_024;

impl Disk {
    pub(crate) fn open(path: &Path, cache: Size, memory: &Arc<Memory>) -> fjall::Result<Self> {
        let filters = Arc::clone(memory);
        let database = Database::builder(path)
            .cache_size(cache.0)
            .manual_journal_persist(true)
            .journal_compression(CompressionType::None)
            .max_journaling_size(JOURNALS)
            .worker_threads(1)
            .with_compaction_filter_factories(Arc::new(move |keyspace: &str| {
                Filters::for_keyspace(keyspace, &filters)
            }))
            .open()?;
        let small = |mib: u64| move || sized(mib, mib);
        Ok(Self {
            meta: database.keyspace("meta", small(4))?,
            log: database.keyspace("log", log_options)?,
            state: database.keyspace("state", small(8))?,
            expiry: database.keyspace("expiry", small(4))?,
            timers: database.keyspace("timers", small(4))?,
            parked: database.keyspace("parked", small(4))?,
            marks: database.keyspace("marks", marks_options)?,
            progress: database.keyspace("progress", small(4))?,
            database,
        })
    }

    pub(crate) fn kind(&self, kind: Kind) -> &Keyspace {
        self.at(kind.into())
    }

    pub(crate) fn at(&self, place: Place) -> &Keyspace {
        match place {
            Place::Meta => &self.meta,
            Place::Log => &self.log,
            Place::State => &self.state,
            Place::Expiry => &self.expiry,
            Place::Timers => &self.timers,
            Place::Parked => &self.parked,
            Place::Marks => &self.marks,
            Place::Progress => &self.progress,
        }
    }

    /// Syncs everything, for an orderly end.
    pub(crate) fn sync(&self) -> fjall::Result<()> {
        self.database.persist(PersistMode::SyncAll)
    }
}

/// A keyspace with a memtable and tables of these sizes. With the engine's tables of 64 MiB the
/// first level would take 256 MiB before anything leaves it, and every four memtables would be
/// merged with all of it (measured: ADR `2026-11-30-a-host-that-falls-behind`).
fn sized(memtable: u64, tables: u64) -> KeyspaceCreateOptions {
    let strategy = Leveled::default().with_table_target_size(tables * MIB);
    KeyspaceCreateOptions::default()
        .max_memtable_size(memtable * MIB)
        .compaction_strategy(Arc::new(strategy))
}

/// Events of this size lie beside the tables, in bytes: nearly all do.
const EVENT_APART: u32 = 64;

/// Events are written once and read in order: no bloom filters, and compaction moves where they
/// are, not what they are. What is left in the tables of a memtable is a tenth of it.
fn log_options() -> KeyspaceCreateOptions {
    let apart = KvSeparationOptions::default().separation_threshold(EVENT_APART);
    sized(16, 4).filter_policy(FilterPolicy::disabled()).with_kv_separation(Some(apart))
}

/// Marks are looked up once per event and are ordinarily absent: a filter on every level, and no
/// compression, for they are hashes.
fn marks_options() -> KeyspaceCreateOptions {
    let bloom = FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(12.0));
    sized(8, 8)
        .filter_policy(FilterPolicy::all(bloom))
        .data_block_compression_policy(CompressionPolicy::disabled())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_began_with_tables_alone_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let value = [7; 1_000];
        {
            let database = Database::builder(folder.path()).open().unwrap();
            let log = database.keyspace("log", KeyspaceCreateOptions::default).unwrap();
            log.insert(b"a", value).unwrap();
            log.rotate_memtable_and_wait().unwrap();
        }
        let disk = Disk::open(folder.path(), Size::mib(1), &Arc::default()).unwrap();
        disk.log.insert(b"b", value).unwrap();
        disk.log.rotate_memtable_and_wait().unwrap();
        disk.log.major_compact().unwrap();
        for key in [b"a", b"b"] {
            assert_eq!(disk.log.get(key).unwrap().as_deref(), Some(&value[..]));
        }
    }
}
