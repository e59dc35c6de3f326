//! Owns the files of snapshots: what a partition of a subscription had at a checkpoint, kept
//! outside of the store, to be read back whole or not at all. It never decides what goes into one.
//!
//! A snapshot is a folder with one file per partition. It appears under its name when all of it
//! is on disk; a folder that is still being written, or being removed, has a name with a dot,
//! which no snapshot has.
//!
//! # A file
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `GMSNAPSH` |
//! | 4 | version, now 1 |
//! | 4 | length of the head |
//! | … | the head, a document of the host |
//! | 8 | xxh3 of all before |
//! | … | entries: length of the key, 4 bytes; length of the value, 4 bytes; key; value |
//! | 8 | `GMEND` and three zeros: no key is that long |
//! | 8 | number of entries |
//! | 16 | xxh3 of all before |
//!
//! Numbers are big-endian. Entries are those of a [changelog](crate::changelog), without
//! tombstones, and carry versions of their own.

mod file;
mod folder;
mod read;

pub use self::file::FileWriter;
pub use self::folder::{FolderWriter, clear, list, remove};
pub use self::read::{Head, Reader, head};

use crate::Error;
use std::{io, path::Path};

const MAGIC: &[u8; 8] = b"GMSNAPSH";
const END: &[u8; 8] = b"GMEND\0\0\0";
const VERSION: u32 = 1;
/// Bytes before the head.
const FRONT: usize = 16;
/// Bytes after the entries.
const TAIL: usize = 32;
/// Bytes of a head at most: no host writes one near it.
const HEAD_MAX: u32 = 64 << 20;

fn unwritable(path: &Path, source: io::Error) -> Error {
    Error::Directory { path: path.to_owned(), source: source.into() }
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::SnapshotRead { path: path.to_owned(), source: source.into() }
}

fn damaged(path: &Path, reason: &'static str) -> Error {
    Error::SnapshotDamaged { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests;
