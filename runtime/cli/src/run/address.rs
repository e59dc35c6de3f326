//! Owns the file `address` of the data directory, by which scripts find a host that took any free
//! port. It is there while the host listens, and left over only by a crash.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::problem::Problem;

/// Time for a host to take a connection.
const ANSWER: Duration = Duration::from_millis(500);

/// The file; dropping it removes it.
#[derive(Debug)]
pub(super) struct AddressFile {
    path: PathBuf,
}

impl AddressFile {
    /// Removes what a crash left over, so that nobody takes it for this host's. A host that lives
    /// keeps its file: it answers.
    pub(super) fn forget_stale(data_dir: &Path) {
        let path = data_dir.join("address");
        let Ok(text) = fs::read_to_string(&path) else { return };
        let answers = |address| TcpStream::connect_timeout(&address, ANSWER).is_ok();
        if !text.trim().parse().is_ok_and(answers) {
            drop(fs::remove_file(&path));
        }
    }

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
    fn only_what_a_crash_left_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("address");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        fs::write(&path, format!("{address}\n")).unwrap();
        AddressFile::forget_stale(folder.path());
        assert!(path.exists(), "somebody answers");
        drop(listener);
        AddressFile::forget_stale(folder.path());
        assert!(!path.exists(), "nobody answers");
        fs::write(&path, "nonsense").unwrap();
        AddressFile::forget_stale(folder.path());
        assert!(!path.exists());
    }

    #[test]
    fn a_missing_folder_is_told() {
        let folder = tempfile::tempdir().unwrap().path().join("gone");
        let refused = AddressFile::write(&folder, "127.0.0.1:81".parse().unwrap()).unwrap_err();
        assert_eq!(refused.code, "E0554");
    }
}
