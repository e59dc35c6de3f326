//! Owns every bound an operator or a test can set for the store. It reads no configuration file.

use std::{fmt, path::PathBuf, sync::Arc};

use gristmill_engine::{Bytes as Size, Instant, Millis};

/// Where time comes from. The store never sets a clock and takes a step back as no time passed.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Called on the writer thread between the steps of a commit; for tests that kill the process.
pub type Hook = Arc<dyn Fn(Step) + Send + Sync>;

/// Steps of one commit, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The write batch is built; nothing is written.
    Built,
    /// It is written and, unless `commit_sync` is off, synced.
    Synced,
    /// The number of the checkpoint is in the sidecar file, unless `commit_sync` is off.
    Noted,
    /// Readers see it; nobody was told.
    Published,
    /// Every `done` of the batch has run.
    Told,
}

/// How a store is opened.
#[derive(Clone)]
pub struct Settings {
    /// The data directory; made when it does not exist. One process at a time.
    pub path: PathBuf,
    /// Free space under which batches with `ingest` are refused; a quarter of it is the floor
    /// under which every batch is. Default `None`: 1 GiB, or 5 % of the file system if less.
    pub reserve: Option<Size>,
    /// Most memory for blocks read from disk. Default 64 MiB; filled by use, not at the start.
    pub cache: Size,
    /// Memory for the events that were written last, which whoever keeps up reads without a look
    /// at the disk. An event counts 64 bytes beside what is stored. Default 32 MiB; filled by use.
    pub recent: Size,
    /// Age at which a dedupe mark is forgotten. Default 24 h.
    pub marks_age: Millis,
    /// Bytes of marks a partition of a subscription holds before the oldest are forgotten early.
    /// One mark counts 64 bytes. Default 64 MiB, which is 1,048,576 marks.
    pub marks_bytes: Size,
    /// Age at which a tombstone of a compacted topic is removed. Default 24 h.
    pub tombstone_age: Millis,
    /// Events merged into one commit at most. A single larger batch is committed alone.
    /// Default 10,000.
    pub commit_events: u32,
    /// Bytes merged into one commit at most. Default 8 MiB.
    pub commit_bytes: Size,
    /// Sync each commit before anyone is told of it. Default true.
    ///
    /// False is for a store that is a cache of a changelog: its owner restores what is missing
    /// ([`changelog`](crate::changelog)). Commits are then handed to the system and not synced.
    /// A killed process loses nothing it was told of; a power loss costs the last commits, each
    /// as a whole, so that what is left is always the first commits up to one. The file `synced`
    /// is neither written nor looked at, so such a loss is not an error.
    /// [`Store::close`](crate::Store::close) still syncs, and so do the rare commits that give up
    /// what is then taken off the disk: clears, deleted topics, retention, forgotten marks. A
    /// directory may be opened either way, in turn.
    pub commit_sync: bool,
    /// Bytes waiting for the writer over which batches with `ingest` are refused.
    /// Default 64 MiB.
    pub queue_bytes: Size,
    /// Time between two rounds of maintenance (retention, compaction, expiry). Default 5 s.
    /// [`Millis`] of `u64::MAX` leaves it to [`Store::maintain`](crate::Store::maintain).
    pub maintenance: Millis,
    /// Where time comes from. Default the system's clock.
    pub clock: Clock,
    /// Called between the steps of a commit. Default none.
    pub hook: Option<Hook>,
}

impl Settings {
    /// Settings for a data directory, everything else as documented on the fields.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            reserve: None,
            cache: Size::mib(64),
            recent: Size::mib(32),
            marks_age: Millis::seconds(24 * 3_600),
            marks_bytes: Size::mib(64),
            tombstone_age: Millis::seconds(24 * 3_600),
            commit_events: 10_000,
            commit_bytes: Size::mib(8),
            commit_sync: true,
            queue_bytes: Size::mib(64),
            maintenance: Millis::seconds(5),
            clock: Arc::new(system_clock),
            hook: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("path", &self.path)
            .field("reserve", &self.reserve)
            .field("cache", &self.cache)
            .field("recent", &self.recent)
            .field("marks_age", &self.marks_age)
            .field("marks_bytes", &self.marks_bytes)
            .field("tombstone_age", &self.tombstone_age)
            .field("commit_events", &self.commit_events)
            .field("commit_bytes", &self.commit_bytes)
            .field("queue_bytes", &self.queue_bytes)
            .field("commit_sync", &self.commit_sync)
            .field("maintenance", &self.maintenance)
            .finish_non_exhaustive()
    }
}

#[expect(clippy::disallowed_methods, reason = "the default where no clock is given")]
fn system_clock() -> Instant {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Instant(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
