//! Makes snapshots appear and disappear as a whole. It knows no file's content.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use gristmill_engine::PartitionId;

use super::{FileWriter, unwritable};
use crate::Error;

/// How names of folders end that are being written, and removed.
const COMING: &str = ".coming";
const GOING: &str = ".going";
/// How names of files end.
const FILE: &str = ".snapshot";

/// A snapshot that is being written. Dropped before its end it is no more.
#[derive(Debug)]
pub struct FolderWriter {
    /// What it will be.
    path: PathBuf,
    coming: PathBuf,
}

impl FolderWriter {
    /// Begins the snapshot that will be the folder `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`].
    pub fn begin(path: &Path) -> Result<Self, Error> {
        let coming = beside(path, COMING);
        fs::create_dir_all(&coming).map_err(|source| unwritable(&coming, source))?;
        Ok(Self { path: path.to_owned(), coming })
    }

    /// Begins the file of a partition, with the host's document.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`], [`Error::TooLarge`].
    pub fn file(&self, partition: PartitionId, head: &[u8]) -> Result<FileWriter, Error> {
        FileWriter::begin(&file(&self.coming, partition), head)
    }

    /// Gives it its name: from here on it is there, whatever happens. False where the name is
    /// taken.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`].
    pub fn finish(self) -> Result<bool, Error> {
        sync(&self.coming)?;
        if self.path.exists() {
            return Ok(false);
        }
        fs::rename(&self.coming, &self.path).map_err(|source| unwritable(&self.path, source))?;
        sync_parents(&self.path)?;
        Ok(true)
    }
}

impl Drop for FolderWriter {
    fn drop(&mut self) {
        // Once it has its name there is nothing here; else the next start removes what is left.
        if let Err(error) = fs::remove_dir_all(&self.coming)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.coming.display(), %error, "remove half a snapshot");
        }
    }
}

/// Where the file of a partition is.
pub(super) fn file(folder: &Path, partition: PartitionId) -> PathBuf {
    folder.join(format!("{}{FILE}", partition.0))
}

/// The snapshots that are folders of `path`, by name, with the partitions each has.
///
/// # Errors
///
/// [`Error::Directory`].
pub fn list(path: &Path) -> Result<Vec<(String, Vec<PartitionId>)>, Error> {
    let mut found = Vec::new();
    for name in names(path)?.into_iter().filter(|name| !name.contains('.')) {
        let files = names(&path.join(&name))?;
        let partition = |file: &String| file.strip_suffix(FILE)?.parse().ok().map(PartitionId);
        let mut partitions: Vec<PartitionId> = files.iter().filter_map(partition).collect();
        partitions.sort_unstable();
        found.push((name, partitions));
    }
    found.sort();
    Ok(found)
}

/// Removes a snapshot, at once; false where there is none.
///
/// # Errors
///
/// [`Error::Directory`].
pub fn remove(path: &Path) -> Result<bool, Error> {
    let going = beside(path, GOING);
    match fs::rename(path, &going) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(unwritable(path, error)),
    }
    sync_parents(path)?;
    fs::remove_dir_all(&going).map_err(|source| unwritable(&going, source))?;
    Ok(true)
}

/// Removes what a host that was killed left half written, or half removed, below `path`.
///
/// # Errors
///
/// [`Error::Directory`].
pub fn clear(path: &Path) -> Result<(), Error> {
    for folder in names(path)? {
        let folder = path.join(folder);
        let is_half = |name: &String| name.ends_with(COMING) || name.ends_with(GOING);
        for name in names(&folder)?.iter().filter(|name| is_half(name)) {
            let half = folder.join(name);
            fs::remove_dir_all(&half).map_err(|source| unwritable(&half, source))?;
        }
    }
    Ok(())
}

/// What is in a folder; nothing where there is none.
fn names(path: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| unwritable(path, source);
    let found = match fs::read_dir(path) {
        Ok(found) => found,
        Err(error) => {
            let is_none =
                matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
            return if is_none { Ok(Vec::new()) } else { Err(failed(error)) };
        }
    };
    let mut names = Vec::new();
    for one in found {
        // Whatever has another name is not ours.
        names.extend(one.map_err(failed)?.file_name().into_string().ok());
    }
    Ok(names)
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(end);
    path.with_file_name(name)
}

/// A name is on disk when its folder is, and that when its own folder is.
fn sync_parents(path: &Path) -> Result<(), Error> {
    path.ancestors().skip(1).take(3).try_for_each(sync)
}

fn sync(path: &Path) -> Result<(), Error> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|source| unwritable(path, source))
}
