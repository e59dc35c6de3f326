//! Reads a file of a snapshot back: its head alone, or all of it once all of it was found whole.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use gristmill_engine::PartitionId;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::folder::file;
use super::{END, FRONT, HEAD_MAX, MAGIC, TAIL, VERSION, damaged, unreadable};
use crate::{Error, changelog::Entry};

/// The front of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The host's document.
    pub document: Bytes,
    /// Size of the file.
    pub bytes: u64,
}

/// A file that is read. It stays readable when its snapshot is removed.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    /// Where its entries begin.
    begin: u64,
    bytes: u64,
    is_checked: bool,
}

/// The head of the file of a partition of the snapshot that is the folder `path`.
///
/// # Errors
///
/// [`Error::SnapshotRead`], [`Error::SnapshotDamaged`]. That the rest is whole is not known.
pub fn head(path: &Path, partition: PartitionId) -> Result<Head, Error> {
    Reader::open(path, partition).map(|(_, head)| head)
}

impl Reader {
    /// Opens the file of a partition of the snapshot that is the folder `path`.
    ///
    /// # Errors
    ///
    /// As [`head`].
    pub fn open(path: &Path, partition: PartitionId) -> Result<(Self, Head), Error> {
        let path = file(path, partition);
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened.map_err(|source| unreadable(&path, source))?;
        let file = BufReader::with_capacity(1 << 20, file);
        let mut reader = Self { path, file, begin: 0, bytes, is_checked: false };
        let document = reader.head()?;
        Ok((reader, Head { document, bytes }))
    }

    /// Reads all of it, and finds out whether it is what was written.
    ///
    /// # Errors
    ///
    /// As [`head`].
    pub fn check(&mut self) -> Result<(), Error> {
        let whole = self.bytes.checked_sub(16).ok_or_else(|| self.damaged("it ends early"))?;
        self.seek(0)?;
        let (mut sum, mut left) = (Xxh3::new(), whole);
        let mut step = vec![0; 1 << 16];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(step.len());
            let part = step.get_mut(..most).unwrap_or_default();
            read(&self.path, &mut self.file, part)?;
            sum.update(part);
            left = left.saturating_sub(u64::try_from(most).unwrap_or(u64::MAX));
        }
        let mut noted = [0; 16];
        read(&self.path, &mut self.file, &mut noted)?;
        if sum.digest128().to_be_bytes() != noted {
            return Err(self.damaged("its checksum is not that of its content"));
        }
        self.is_checked = true;
        self.seek(self.begin)
    }

    /// The next entry, of a file that was found whole; `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`head`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        if !self.is_checked {
            self.check()?;
        }
        let mut lengths = [0; 8];
        read(&self.path, &mut self.file, &mut lengths)?;
        if &lengths == END {
            return Ok(None);
        }
        let (key, value) = lengths.split_at(4);
        let (key, value) = (self.text(number(key))?, self.text(number(value))?);
        Ok(Some(Entry { key, value: Some(value) }))
    }

    fn head(&mut self) -> Result<Bytes, Error> {
        let mut front = [0; FRONT];
        read(&self.path, &mut self.file, &mut front)?;
        let (magic, rest) = front.split_at(8);
        let (version, length) = rest.split_at(4);
        if magic != MAGIC {
            return Err(self.damaged("it is no file of a snapshot"));
        }
        if number(version) != VERSION {
            return Err(self.damaged("another version of Gristmill wrote it"));
        }
        let length = number(length);
        if length > HEAD_MAX {
            return Err(self.damaged("its head is too long"));
        }
        let head = self.text(length)?;
        let mut noted = [0; 8];
        read(&self.path, &mut self.file, &mut noted)?;
        let all = [&front[..], &head[..]].concat();
        if xxh3_64(&all).to_be_bytes() != noted {
            return Err(self.damaged("the checksum of its head is not that of its content"));
        }
        self.begin = u64::try_from(all.len()).unwrap_or(u64::MAX).saturating_add(8);
        if self.bytes < self.begin.saturating_add(u64::try_from(TAIL).unwrap_or(u64::MAX)) {
            return Err(self.damaged("it ends early"));
        }
        Ok(head)
    }

    fn text(&mut self, length: u32) -> Result<Bytes, Error> {
        // A length that is damage must not have memory asked for.
        if u64::from(length) > self.bytes {
            return Err(self.damaged("it ends early"));
        }
        let mut text = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        read(&self.path, &mut self.file, &mut text)?;
        Ok(text.into())
    }

    fn seek(&mut self, to: u64) -> Result<(), Error> {
        let done = self.file.seek(SeekFrom::Start(to));
        done.map(drop).map_err(|source| unreadable(&self.path, source))
    }

    fn damaged(&self, reason: &'static str) -> Error {
        damaged(&self.path, reason)
    }
}

fn read(path: &Path, from: &mut impl Read, into: &mut [u8]) -> Result<(), Error> {
    from.read_exact(into).map_err(|error| {
        let is_short = error.kind() == io::ErrorKind::UnexpectedEof;
        if is_short { damaged(path, "it ends early") } else { unreadable(path, error) }
    })
}

fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
