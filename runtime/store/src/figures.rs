//! Owns what the store counts for metrics. Nothing is decided by it.

use gristmill_engine::{Bytes as Size, Instant};

/// What the store has done and holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// Number of the last durable checkpoint.
    pub checkpoint: u64,
    /// Checkpoints since the store was opened.
    pub checkpoints: u64,
    /// Batches since the store was opened.
    pub batches: u64,
    /// Events appended since the store was opened.
    pub events: u64,
    /// How long write and sync took, per checkpoint that was synced: without
    /// `Settings::commit_sync` few are.
    pub sync: Histogram,
    /// Batches that wait for the writer.
    pub queued: u64,
    /// Bytes on disk, everything included.
    pub disk: Size,
    /// Bytes of the state keyspace on disk, with what compaction has still to remove.
    pub state: Size,
    /// Dedupe marks held.
    pub marks: u64,
    /// Dedupe marks forgotten before their age since the store was opened.
    pub marks_evicted: u64,
    /// Events removed by retention since the store was opened.
    pub removed: u64,
    /// Events removed by compaction since the store was opened.
    pub compacted: u64,
    /// State values removed at their expiry since the store was opened.
    pub expired: u64,
}

/// What one partition of a subscription holds of dedupe marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MarkFigures {
    /// Marks held.
    pub held: u64,
    /// Marks forgotten before their age since the store was opened.
    pub evicted: u64,
    /// When the oldest mark held was made, to the minute; its age is the time really covered.
    pub oldest: Option<Instant>,
}

/// Counts of durations by upper bound.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// Upper bound in seconds and the number of durations up to it, not cumulative; the last
    /// bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all durations in seconds.
    pub sum: f64,
    /// Number of all durations.
    pub count: u64,
}

/// Free space of the file system the store is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// Bytes an ordinary user can still write.
    pub free: Size,
    /// Bytes of the file system.
    pub total: Size,
    /// Whether free space is under the reserve: ingest is refused until a tenth more is free.
    pub low: bool,
}
