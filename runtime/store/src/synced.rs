//! Owns the sidecar file: the number of the last checkpoint known to be synced. It is written
//! after each sync, so it is never ahead of the disk.
//!
//! The storage engine's recovery cuts its journal at the first byte it cannot read and says
//! nothing; without this file a cut would look like a shorter history. Writing it costs about a
//! microsecond and no sync: the system keeps it when the process is killed. Once a second it is
//! synced too, so a power loss leaves it at most that much behind, never ahead
//! (`docs/adr/2026-11-21-store-durability.md`).

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"GMSYNCED";
const SLOT: usize = 24;
/// Two slots in different sectors take turns: a torn write spoils one and leaves the other.
const SLOTS: [u64; 2] = [0, 4_096];

/// The open sidecar file.
#[derive(Debug)]
pub(crate) struct Synced {
    file: File,
}

impl Synced {
    /// Opens the file, or makes one that says 0, and reads the greatest number it holds.
    /// `None` when there was no file, or none that can be read.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Option<u64>)> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let found = SLOTS.iter().filter_map(|at| read_slot(&file, *at)).max();
        if found.is_none() {
            file.set_len(8_192)?;
        }
        Ok((Self { file }, found))
    }

    /// Notes that `checkpoint` is synced.
    pub(crate) fn note(&self, checkpoint: u64) -> io::Result<()> {
        let mut slot = [0; SLOT];
        let (head, rest) = slot.split_at_mut(8);
        head.copy_from_slice(MAGIC);
        let (number, sum) = rest.split_at_mut(8);
        number.copy_from_slice(&checkpoint.to_be_bytes());
        sum.copy_from_slice(&checksum(checkpoint).to_be_bytes());
        let at = if checkpoint.is_multiple_of(2) { SLOTS[0] } else { SLOTS[1] };
        self.file.write_all_at(&slot, at)
    }

    /// Makes what was noted survive a power loss.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn read_slot(file: &File, at: u64) -> Option<u64> {
    let mut slot = [0; SLOT];
    file.read_exact_at(&mut slot, at).ok()?;
    let (magic, rest) = slot.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let sum = rest.first_chunk::<8>()?;
    let number = u64::from_be_bytes(*number);
    (magic == MAGIC && u64::from_be_bytes(*sum) == checksum(number)).then_some(number)
}

fn checksum(number: u64) -> u64 {
    xxh3_64(&number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::FileExt};

    use super::{SLOT, SLOTS, Synced};

    #[test]
    fn the_greatest_readable_number_is_found_when_a_slot_is_torn() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("synced");
        let (synced, found) = Synced::open(&path).expect("opens");
        assert_eq!(found, None);
        synced.note(6).expect("notes");
        synced.note(7).expect("notes");
        assert_eq!(Synced::open(&path).expect("opens").1, Some(7));
        let file = fs::OpenOptions::new().write(true).open(&path).expect("opens");
        for byte in 0..SLOT as u64 {
            synced.note(7).expect("notes");
            file.write_all_at(&[0xa5], SLOTS[1] + byte).expect("writes");
            assert_eq!(Synced::open(&path).expect("opens").1, Some(6), "byte {byte} is torn");
        }
        synced.note(8).expect("notes");
        assert_eq!(Synced::open(&path).expect("opens").1, Some(8));
    }
}
