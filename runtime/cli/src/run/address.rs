//! Owns the file `address` of the data directory, by which scripts find a host that took any free
//! port. It is there while the host listens, and left over only by a crash.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::problem::Problem;

/// The file; dropping it removes it.
#[derive(Debug)]
pub(super) struct AddressFile {
    path: PathBuf,
}

impl AddressFile {
    /// Writes `IP:PORT` and a line end: whole, or not at all.
    pub(super) fn write(data_dir: &Path, address: SocketAddr) -> Result<Self, Problem> {
        let path = data_dir.join("address");
        let partial = data_dir.join("address.part");
        fs::write(&partial, format!("{address}\n"))
            .and_then(|()| fs::rename(&partial, &path))
            .map_err(|error| {
                Problem::environment("E0554", format!("write {}", path.display()))
                    .hint("check `data_dir` and its permissions")
                    .source(error)
            })?;
        Ok(Self { path })
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // Somebody may have removed it already; a stale one is written over at the next start.
        drop(fs::remove_file(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_as_long_as_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("address");
        let file = AddressFile::write(folder.path(), "127.0.0.1:81".parse().unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "127.0.0.1:81\n");
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_missing_folder_is_told() {
        let folder = tempfile::tempdir().unwrap().path().join("gone");
        let refused = AddressFile::write(&folder, "127.0.0.1:81".parse().unwrap()).unwrap_err();
        assert_eq!(refused.code, "E0554");
    }
}
