//! Decides whether there is room to write. It frees none.

use std::{
    io,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use gristmill_engine::Bytes as Size;

use crate::{Error, Space};

/// Reserve where none is set: 1 GiB, or a twentieth of the file system if that is less.
const RESERVE: u64 = 1_024 * 1_024 * 1_024;
const RESERVE_PART: u64 = 20;

/// What is known of the file system's free space.
#[derive(Debug, Default)]
pub(crate) struct Room {
    free: AtomicU64,
    total: AtomicU64,
    reserve: AtomicU64,
    low: AtomicBool,
}

impl Room {
    pub(crate) fn new(path: &Path, reserve: Option<Size>) -> io::Result<Self> {
        let room = Self::default();
        let total = room.measure(path)?;
        let part = (total / RESERVE_PART).min(RESERVE);
        room.reserve.store(reserve.map_or(part, |size| size.0), Ordering::Relaxed);
        room.judge();
        Ok(room)
    }

    /// Asks the file system again.
    pub(crate) fn poll(&self, path: &Path) -> io::Result<()> {
        self.measure(path)?;
        self.judge();
        Ok(())
    }

    fn measure(&self, path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(path)?;
        let total = found.f_blocks.saturating_mul(found.f_frsize);
        self.free.store(found.f_bavail.saturating_mul(found.f_frsize), Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        Ok(total)
    }

    /// Low below the reserve, and until a tenth more is free: so it does not flicker.
    fn judge(&self) {
        let free = self.free.load(Ordering::Relaxed);
        let reserve = self.reserve.load(Ordering::Relaxed);
        let was = self.low.load(Ordering::Relaxed);
        let low = free < reserve || was && free < reserve.saturating_add(reserve / 10);
        self.low.store(low, Ordering::Relaxed);
        if low != was {
            tracing::warn!(free, reserve, low, "free disk space crossed the reserve");
        }
    }

    /// Whether free space should be asked for before each commit.
    pub(crate) fn near(&self) -> bool {
        let reserve = self.reserve.load(Ordering::Relaxed);
        self.free.load(Ordering::Relaxed) < reserve.saturating_mul(2)
    }

    /// Whether a batch may be written.
    pub(crate) fn admit(&self, ingest: bool) -> Result<(), Error> {
        let free = self.free.load(Ordering::Relaxed);
        let reserve = self.reserve.load(Ordering::Relaxed);
        // What is under way may end even when nothing new is taken in.
        let floor = if ingest { reserve } else { reserve / 4 };
        let refused = if ingest { self.low.load(Ordering::Relaxed) } else { free < floor };
        if refused { Err(Error::Low { free, floor }) } else { Ok(()) }
    }

    pub(crate) fn space(&self) -> Space {
        Space {
            free: Size(self.free.load(Ordering::Relaxed)),
            total: Size(self.total.load(Ordering::Relaxed)),
            low: self.low.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::Room;

    #[test]
    fn batches_are_refused_below_their_floor_and_not_at_it() {
        // Free, low before; admitted: ingest, checkpoint; low after. The reserve is 1,000.
        let rows: &[(u64, bool, bool, bool, bool)] = &[
            (1_000, false, true, true, false),
            (999, false, false, true, true),
            (1_099, true, false, true, true),
            (1_100, true, true, true, false),
            (250, true, false, true, true),
            (249, true, false, false, true),
            (0, false, false, false, true),
        ];
        for row in rows {
            let (free, before, ingest, checkpoint, low) = *row;
            let room = Room::default();
            room.reserve.store(1_000, Ordering::Relaxed);
            room.free.store(free, Ordering::Relaxed);
            room.low.store(before, Ordering::Relaxed);
            room.judge();
            assert_eq!(room.admit(true).is_ok(), ingest, "{row:?}");
            assert_eq!(room.admit(false).is_ok(), checkpoint, "{row:?}");
            assert_eq!(room.space().low, low, "{row:?}");
        }
    }
}
