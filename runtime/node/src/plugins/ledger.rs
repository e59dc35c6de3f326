//! Remembers, per plugin, which versions ran: the last few pairs of component and manifest are
//! kept as files, their order and a rollback's pin as a document of the store. It never decides
//! which version should run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use gristmill_engine::Instant;
use gristmill_store::Store;
use serde::{Deserialize, Serialize};

use super::scan;
use crate::Error;

/// A plugin's two files, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// Content of `NAME.wasm`.
    pub(crate) component: Bytes,
    /// Content of `NAME.toml`.
    pub(crate) manifest: String,
}

impl Files {
    /// SHA-256 of the component, a zero byte and the manifest: a manifest change alone is another
    /// version too.
    pub(crate) fn digest(&self) -> String {
        scan::digest(&[&self.component[..], b"\0", self.manifest.as_bytes()].concat())
    }
}

/// What is remembered of one plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Versions that ran, oldest first, without repeats.
    pub(crate) versions: Vec<Entry>,
    /// Digest of the version in use.
    pub(crate) active: Option<String>,
    /// Digest of the version that was rolled back: ignored until the files change.
    pub(crate) ignored: Option<String>,
}

/// One version that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Digest of component and manifest.
    pub(crate) digest: String,
    /// Digest of the component alone.
    pub(crate) component: String,
    /// When it last became active, Unix milliseconds.
    pub(crate) activated_ms: u64,
}

impl Ledger {
    /// Notes that `entry` is in use now and forgets all but the newest `kept` versions. Returns
    /// the digests forgotten.
    pub(crate) fn activate(&mut self, entry: Entry, kept: usize) -> Vec<String> {
        self.versions.retain(|version| version.digest != entry.digest);
        self.active = Some(entry.digest.clone());
        self.versions.push(entry);
        let surplus = self.versions.len().saturating_sub(kept.max(1));
        self.versions.drain(..surplus).map(|version| version.digest).collect()
    }

    /// The version that was active before the present one.
    pub(crate) fn previous(&self) -> Option<&Entry> {
        let active = self.active.as_deref()?;
        let place = self.versions.iter().position(|version| version.digest == active)?;
        self.versions.get(place.checked_sub(1)?)
    }
}

/// The ledgers of all plugins, and the files they speak of.
#[derive(Debug, Clone)]
pub(crate) struct Ledgers {
    folder: PathBuf,
    store: Store,
}

impl Ledgers {
    /// Ledgers kept in `store`, with files under `folder`.
    pub(crate) fn new(folder: PathBuf, store: Store) -> Self {
        Self { folder, store }
    }

    /// What is remembered of the plugin `stem`.
    pub(crate) fn read(&self, stem: &str) -> Result<Ledger, Error> {
        let Some(text) = self.store.document(&document_name(stem))? else {
            return Ok(Ledger::default());
        };
        serde_json::from_slice(&text)
            .map_err(|source| Error::Ledger { plugin: stem.to_owned(), source })
    }

    /// The document that remembers `ledger`, for the store.
    pub(crate) fn document(stem: &str, ledger: &Ledger) -> (String, Bytes) {
        // A ledger is strings and numbers: it always has a JSON form.
        (document_name(stem), Bytes::from(serde_json::to_vec(ledger).unwrap_or_default()))
    }

    /// Keeps the files of a version.
    pub(crate) fn keep(&self, stem: &str, files: &Files) -> io::Result<()> {
        let folder = self.folder.join(stem);
        fs::create_dir_all(&folder)?;
        let digest = files.digest();
        write_whole(&folder.join(format!("{digest}.wasm")), &files.component)?;
        write_whole(&folder.join(format!("{digest}.toml")), files.manifest.as_bytes())
    }

    /// The files of a version kept earlier.
    pub(crate) fn files(&self, stem: &str, digest: &str) -> io::Result<Files> {
        let folder = self.folder.join(stem);
        Ok(Files {
            component: Bytes::from(fs::read(folder.join(format!("{digest}.wasm")))?),
            manifest: fs::read_to_string(folder.join(format!("{digest}.toml")))?,
        })
    }

    /// Removes the files of versions that are not kept any more.
    pub(crate) fn forget(&self, stem: &str, digests: &[String]) {
        for digest in digests {
            for kind in ["wasm", "toml"] {
                let path = self.folder.join(stem).join(format!("{digest}.{kind}"));
                if let Err(error) = fs::remove_file(&path)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(plugin = stem, %error, path = %path.display(),
                        "an old plugin version stays on disk");
                }
            }
        }
    }
}

fn document_name(stem: &str) -> String {
    format!("plugin/{stem}")
}

/// Writes a file so that a crash leaves the old content or the new one, never a part.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("part");
    fs::write(&partial, content)?;
    fs::File::open(&partial)?.sync_all()?;
    fs::rename(partial, path)
}

/// An entry for `files`, activated at `now`.
pub(crate) fn entry(files: &Files, now: Instant) -> Entry {
    Entry { digest: files.digest(), component: scan::digest(&files.component), activated_ms: now.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(digest: &str) -> Entry {
        Entry { digest: digest.into(), component: String::new(), activated_ms: 0 }
    }

    #[test]
    fn the_newest_versions_are_kept_and_the_rest_named() {
        let mut ledger = Ledger::default();
        for digest in ["a", "b", "c"] {
            assert!(ledger.activate(version(digest), 3).is_empty());
        }
        assert_eq!(ledger.activate(version("d"), 3), ["a"]);
        assert_eq!(ledger.previous().unwrap().digest, "c");
        assert!(ledger.activate(version("b"), 3).is_empty(), "a return is not a new version");
        assert_eq!(ledger.previous().unwrap().digest, "d");
    }

    #[test]
    fn the_first_version_has_no_previous_one() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.previous(), None);
        ledger.activate(version("a"), 5);
        assert_eq!(ledger.previous(), None);
    }
}
