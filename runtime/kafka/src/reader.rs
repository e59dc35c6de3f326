//! Reads records of single partitions from where it is asked, for those who look: pages, streams,
//! registries. It joins no group, commits nothing and keeps no position of anybody's.

mod cursor;

use std::{
    fmt,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gristmill_engine::{Bytes as Size, Offset};

use self::cursor::{Cursor, Place};
use crate::{cluster::Cluster, error::Error, record::Record};

/// Clients at most, and so reads at the same time. Each costs a few threads and up to 4 MiB.
const CURSORS_MAX: usize = 16;

/// How long a client is kept in its place for whoever read there, before it may serve others.
const KEPT: Duration = Duration::from_secs(2);

/// How much one read returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// Records at most; 0 counts as 1.
    pub events: u32,
    /// Bytes of keys, headers and payloads after which no further record is added.
    pub bytes: Size,
}

/// Reads partitions. It keeps clients where they stopped, so that reading on costs no new one.
pub struct Reader {
    cluster: Cluster,
    pool: Mutex<Pool>,
    freed: Condvar,
}

#[derive(Default)]
struct Pool {
    /// Cursors that nobody uses, the last used at the end, each with when that was.
    idle: Vec<(Cursor, Instant)>,
    /// Cursors that are in use or being made.
    busy: usize,
}

impl Reader {
    /// A reader of `cluster`. It makes its clients when they are needed.
    pub fn new(cluster: &Cluster) -> Self {
        Self { cluster: cluster.clone(), pool: Mutex::default(), freed: Condvar::new() }
    }

    /// Reads what is committed from `from` on, or from the start of the partition if that is
    /// later: as much as is there now, within `limit`. When nothing is, it waits for `wait` at
    /// most until something is, and returns nothing if nothing comes. Offsets may have gaps.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`], [`Error::PartitionUnknown`], [`Error::Unauthorised`];
    /// [`Error::Unavailable`] when the partition's leader does not answer within the time of a
    /// call to the cluster; [`Error::Full`] when 16 reads are going on and none ends within it.
    pub fn read(
        &self,
        (topic, partition): (&str, u32),
        from: Offset,
        limit: ReadLimit,
        wait: Duration,
    ) -> Result<Vec<Record>, Error> {
        let (mut cursor, may_miss) = self.cursor((topic, partition), from)?;
        let mut read = cursor.read(&self.cluster, limit, wait);
        if may_miss && matches!(&read, Ok(read) if read.is_empty()) {
            // The end that it told of may be from before: it is asked anew.
            read = self
                .place(&mut cursor, (topic, partition), from)
                .and_then(|_end| cursor.read(&self.cluster, limit, Duration::ZERO));
        }
        // After an error, nobody knows where it stands.
        let cursor = read.is_ok().then_some(cursor);
        self.give_back(cursor);
        read
    }

    /// A cursor that stands at `from`, and whether what it says of the end may be old: one that
    /// stood there heard of it when it read before, or below an end there may be no records.
    fn cursor(&self, of: (&str, u32), from: Offset) -> Result<(Cursor, bool), Error> {
        let taken = self.take(of, from)?;
        let stands = |cursor: &Cursor| cursor.stands_at(of.0, of.1, from);
        let placed = match taken {
            Some(cursor) if stands(&cursor) => Ok((cursor, true)),
            Some(mut cursor) => self.place(&mut cursor, of, from).map(|end| (cursor, from < end)),
            None => Cursor::new(&self.cluster).and_then(|mut cursor| {
                self.place(&mut cursor, of, from).map(|end| (cursor, from < end))
            }),
        };
        placed.inspect_err(|_| self.give_back(None))
    }

    /// Moves a cursor; the partition's stable end. The library takes long to say that a partition
    /// does not exist, and never says that an offset before the high watermark is beyond the
    /// stable end; the partition's leader says both at once.
    fn place(
        &self,
        cursor: &mut Cursor,
        (topic, partition): (&str, u32),
        from: Offset,
    ) -> Result<Offset, Error> {
        let (start, end) = self.cluster.bounds(topic, partition)?;
        let (topic, next) = (topic.into(), from.max(start));
        cursor.move_to(Place { topic, partition, next, end: Some(end) })?;
        Ok(end)
    }

    /// Takes one that stands there, else one that nobody needs; `None` when one may be made. The
    /// caller gives it back.
    fn take(&self, (topic, partition): (&str, u32), from: Offset) -> Result<Option<Cursor>, Error> {
        let timeout = self.cluster.timeout();
        let began = Instant::now();
        let mut pool = self.lock();
        loop {
            let there = pool
                .idle
                .iter()
                .position(|(cursor, _)| cursor.stands_at(topic, partition, from))
                .or_else(|| pool.idle.iter().position(|(cursor, _)| cursor.rests()))
                .or_else(|| pool.idle.first().filter(|(_, at)| at.elapsed() > KEPT).map(|_| 0));
            let open = pool.idle.len().saturating_add(pool.busy) < CURSORS_MAX;
            let found = match there {
                None if !open && !pool.idle.is_empty() => Some(0),
                other => other,
            };
            if found.is_some() || open {
                pool.busy = pool.busy.saturating_add(1);
                return Ok(found.map(|at| pool.idle.remove(at).0));
            }
            let Some(left) = timeout.checked_sub(began.elapsed()) else {
                return Err(Error::Full { doing: format!("read topic \"{topic}\"") });
            };
            let waited = self.freed.wait_timeout(pool, left);
            (pool, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, cursor: Option<Cursor>) {
        let mut pool = self.lock();
        pool.busy = pool.busy.saturating_sub(1);
        pool.idle.extend(cursor.map(|cursor| (cursor, Instant::now())));
        // What was left alone need not go on fetching.
        for (cursor, at) in &mut pool.idle {
            if at.elapsed() > KEPT {
                cursor.rest();
            }
        }
        drop(pool);
        self.freed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}
