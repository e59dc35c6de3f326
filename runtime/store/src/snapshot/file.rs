//! Writes one file of a snapshot. It is of no use before its end is written.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::{END, HEAD_MAX, MAGIC, VERSION, unwritable};
use crate::{Error, changelog::Entry, prepare};

/// A file of a snapshot that is being written.
pub struct FileWriter {
    path: PathBuf,
    file: BufWriter<File>,
    sum: Xxh3,
    entries: u64,
    bytes: u64,
}

impl std::fmt::Debug for FileWriter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("FileWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl FileWriter {
    /// Begins a file, which must not exist, with the host's document.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`], [`Error::TooLarge`].
    pub(super) fn begin(path: &Path, head: &[u8]) -> Result<Self, Error> {
        prepare::limit("head of a snapshot", head.len(), u64::from(HEAD_MAX))?;
        let mut options = OpenOptions::new();
        // State may be what nobody else on the machine is to read.
        let file = options.write(true).create_new(true).mode(0o600).open(path);
        let file = BufWriter::with_capacity(1 << 20, file.map_err(|it| unwritable(path, it))?);
        let path = path.to_owned();
        let mut writer = Self { path, file, sum: Xxh3::new(), entries: 0, bytes: 0 };
        writer.write(MAGIC)?;
        writer.write(&VERSION.to_be_bytes())?;
        writer.write(&length(head)?)?;
        writer.write(head)?;
        let sum = writer.sum.digest().to_be_bytes();
        writer.write(&sum)?;
        Ok(writer)
    }

    /// Adds an entry; a tombstone says nothing here and is left out.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`], [`Error::TooLarge`].
    pub fn put(&mut self, entry: &Entry) -> Result<(), Error> {
        let Some(value) = &entry.value else { return Ok(()) };
        self.write(&length(&entry.key)?)?;
        self.write(&length(value)?)?;
        self.write(&entry.key)?;
        self.write(value)?;
        self.entries = self.entries.saturating_add(1);
        Ok(())
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes its end, and has the system put all of it on disk.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`].
    pub fn finish(mut self) -> Result<u64, Error> {
        self.write(END)?;
        self.write(&self.entries.to_be_bytes())?;
        let sum = self.sum.digest128().to_be_bytes();
        self.write(&sum)?;
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        written.map_err(|source| unwritable(&self.path, source))?;
        Ok(self.bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sum.update(bytes);
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.file.write_all(bytes).map_err(|source| unwritable(&self.path, source))
    }
}

fn length(bytes: &[u8]) -> Result<[u8; 4], Error> {
    prepare::limit("entry of a snapshot", bytes.len(), u64::from(u32::MAX))?;
    Ok(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes())
}
