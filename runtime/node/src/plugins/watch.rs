//! Notices that the plugin directory changed, and waits until a change is whole. What a change
//! means is decided by the supervisor. A notification of the file system is a hint that hastens a
//! scan; the scan alone decides, so a lost notification costs one rescan interval and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::ledger::Files;
use super::scan::{self, Pair, Scan};

/// A file counts as whole when it has not changed for this long: copying tools write in bursts
/// milliseconds apart.
const QUIET: Duration = Duration::from_millis(100);

/// What the directory now holds of one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Both files are there and differ from before.
    Files(String, Files),
    /// One of the two files is missing: the name of the missing one.
    Incomplete(String, String),
    /// Both are gone.
    Gone(String),
    /// The directory, or a file in it, cannot be read.
    Unreadable(String),
}

/// Watches one directory.
pub(crate) struct Watch {
    directory: PathBuf,
    rescan: Duration,
    known: Scan,
    /// Digest last reported per plugin, so that a touched file is not a change.
    reported: BTreeMap<String, String>,
    changes: mpsc::UnboundedSender<Change>,
}

impl Watch {
    /// A watch over `directory` that reports to `changes`, scanning at least every `rescan`.
    pub(crate) fn new(
        directory: PathBuf,
        rescan: Duration,
        changes: mpsc::UnboundedSender<Change>,
    ) -> Self {
        Self { directory, rescan, known: Scan::new(), reported: BTreeMap::new(), changes }
    }

    /// Reports what the directory holds now. The first call reports every plugin in it.
    pub(crate) fn look(&mut self) {
        match scan::scan(&self.directory) {
            Ok(found) => self.compare(found),
            Err(error) => {
                let directory = self.directory.display();
                self.report(Change::Unreadable(format!("read {directory}: {error}")));
            }
        }
    }

    /// Looks for ever: at every rescan, and soon after a notification. Ends when nobody listens.
    pub(crate) async fn run(mut self) {
        let (hint, mut hints) = mpsc::channel(1);
        let _watcher = self.notifications(hint);
        while !self.changes.is_closed() {
            // A closed or silent channel of hints only means waiting for the next rescan.
            let hinted = tokio::time::timeout(self.rescan, hints.recv()).await;
            if matches!(hinted, Ok(None)) {
                tokio::time::sleep(self.rescan).await;
            }
            self.settle().await;
            self.look();
        }
    }

    /// Waits until two scans a little apart agree, at most for one rescan interval.
    async fn settle(&self) {
        let wait = async {
            let mut before = scan::scan(&self.directory).ok();
            loop {
                tokio::time::sleep(QUIET).await;
                let after = scan::scan(&self.directory).ok();
                if after == before {
                    return;
                }
                before = after;
            }
        };
        if tokio::time::timeout(self.rescan, wait).await.is_err() {
            tracing::debug!("the plugin directory does not come to rest; looking all the same");
        }
    }

    fn notifications(&self, hint: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
        let notified = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // A full channel already carries the hint.
                let _full = hint.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(notified).and_then(|mut watcher| {
            watcher.watch(&self.directory, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match watcher {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::info!(%error, rescan = ?self.rescan,
                    "no notifications for the plugin directory; it is rescanned");
                None
            }
        }
    }

    fn compare(&mut self, found: Scan) {
        let stems: BTreeSet<String> = self.known.keys().chain(found.keys()).cloned().collect();
        for stem in stems {
            let (before, after) = (self.known.get(&stem), found.get(&stem));
            if before != after {
                let after = after.cloned();
                self.changed(&stem, after.as_ref());
            }
        }
        self.known = found;
    }

    fn changed(&mut self, stem: &str, pair: Option<&Pair>) {
        let change = match pair {
            None => Change::Gone(stem.to_owned()),
            Some(Pair { component: None, .. }) => {
                Change::Incomplete(stem.to_owned(), format!("{stem}.wasm"))
            }
            Some(Pair { manifest: None, .. }) => {
                Change::Incomplete(stem.to_owned(), format!("{stem}.toml"))
            }
            Some(Pair { component: Some(component), manifest: Some(manifest) }) => {
                let read = std::fs::read(&component.path).and_then(|component| {
                    let manifest = std::fs::read_to_string(&manifest.path)?;
                    Ok(Files { component: Bytes::from(component), manifest })
                });
                match read {
                    Ok(files) => Change::Files(stem.to_owned(), files),
                    Err(error) => Change::Unreadable(format!("read plugin {stem:?}: {error}")),
                }
            }
        };
        if let Change::Files(_, files) = &change {
            let digest = files.digest();
            if self.reported.insert(stem.to_owned(), digest.clone()) == Some(digest) {
                return;
            }
        } else {
            self.reported.remove(stem);
        }
        self.report(change);
    }

    fn report(&self, change: Change) {
        // Nobody listens any more: the host is stopping.
        drop(self.changes.send(change));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn watch() -> (tempfile::TempDir, Watch, mpsc::UnboundedReceiver<Change>) {
        let home = tempfile::tempdir().unwrap();
        let (sender, receiver) = mpsc::unbounded_channel();
        let watch = Watch::new(home.path().to_owned(), Duration::from_secs(10), sender);
        (home, watch, receiver)
    }

    #[test]
    fn a_pair_is_reported_once_and_again_when_either_file_changes() {
        let (home, mut watch, mut changes) = watch();
        let (component, manifest) = (home.path().join("p.wasm"), home.path().join("p.toml"));
        fs::write(&component, "c1").unwrap();
        watch.look();
        assert_eq!(changes.try_recv().unwrap(), Change::Incomplete("p".into(), "p.toml".into()));
        fs::write(&manifest, "m1").unwrap();
        watch.look();
        assert!(matches!(changes.try_recv().unwrap(), Change::Files(stem, _) if stem == "p"));
        watch.look();
        assert!(changes.try_recv().is_err());
        fs::write(&manifest, "m2").unwrap();
        watch.look();
        let Change::Files(_, files) = changes.try_recv().unwrap() else { panic!("files") };
        assert_eq!((&files.component[..], &*files.manifest), (&b"c1"[..], "m2"));
        // The same content written again is no change.
        fs::write(&component, "c1").unwrap();
        watch.look();
        assert!(changes.try_recv().is_err());
        fs::remove_file(&component).unwrap();
        fs::remove_file(&manifest).unwrap();
        watch.look();
        assert_eq!(changes.try_recv().unwrap(), Change::Gone("p".into()));
    }

    #[tokio::test]
    async fn a_notification_hastens_the_scan_and_a_slow_write_is_waited_for() {
        let (home, watch, mut changes) = watch();
        let looking = tokio::spawn(watch.run());
        let component = home.path().join("p.wasm");
        fs::write(home.path().join("p.toml"), "m").unwrap();
        for part in ["c", "co", "com"] {
            fs::write(&component, part).unwrap();
            tokio::time::sleep(QUIET / 4).await;
        }
        let whole = async {
            loop {
                match changes.recv().await.unwrap() {
                    Change::Files(_, files) => return files,
                    Change::Incomplete(..) => {}
                    other @ (Change::Gone(_) | Change::Unreadable(_)) => panic!("{other:?}"),
                }
            }
        };
        let files = tokio::time::timeout(Duration::from_secs(5), whole).await.unwrap();
        assert_eq!(&files.component[..], b"com");
        looking.abort();
    }

    #[test]
    fn a_directory_that_is_not_there_is_said_to_be_unreadable() {
        let (home, mut watch, mut changes) = watch();
        drop(home);
        watch.look();
        assert!(matches!(changes.try_recv().unwrap(), Change::Unreadable(_)));
    }
}
