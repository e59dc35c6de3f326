//! Builds the library that stands in front of the system's, and tells it which call fails.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::support::component::root;
use crate::support::random::Random;

/// The layer at which calls fail.
pub(super) const SHIM: &str = "the system library's calls";

/// Numbers of errors (source: errno.h of Linux).
const EIO: u32 = 5;
const ENOSPC: u32 = 28;

/// The library.
#[derive(Debug)]
pub(super) struct Shim {
    path: PathBuf,
}

/// A call that fails.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    call: &'static str,
    error: u32,
    /// Which of them, from 1.
    count: u64,
}

impl Fault {
    /// One of the first `max` calls of a kind.
    pub(super) fn any(random: &mut Random, max: u64) -> Self {
        let (call, error) = match random.within(0..=2) {
            0 => ("write", EIO),
            1 => ("write", ENOSPC),
            _ => ("sync", EIO),
        };
        Self { call, error, count: random.within(1..=max) }
    }

    /// What the system calls the error.
    pub(super) fn error_name(self) -> &'static str {
        if self.error == EIO { "EIO" } else { "ENOSPC" }
    }

    /// How a host's log shows it.
    pub(super) fn words(self) -> &'static str {
        if self.error == EIO { "os error 5" } else { "os error 28" }
    }
}

impl Shim {
    /// Compiles it. A C compiler is there, for the host's own build needs one.
    ///
    /// # Errors
    ///
    /// When it does not compile.
    pub(super) fn build() -> Result<Self> {
        let source = root().join("tests/src/chaos/disk/faults.c");
        let folder = root().join("target/tmp");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("faults-{}.so", std::process::id()));
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let status = Command::new(&compiler)
            .args(["-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o"])
            .args([&path, &source])
            .status()
            .with_context(|| format!("run the C compiler {compiler}"))?;
        ensure!(status.success(), "{} does not compile", source.display());
        Ok(Self { path })
    }

    /// What a host has to find in its environment for `fault` to come to files below `under`.
    pub(super) fn variables(
        &self,
        fault: Fault,
        under: &Path,
        told: &Path,
    ) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.path.display().to_string()),
            ("FAULTS_UNDER", under.display().to_string()),
            ("FAULTS_CALL", fault.call.to_owned()),
            ("FAULTS_COUNT", fault.count.to_string()),
            ("FAULTS_ERROR", fault.error.to_string()),
            ("FAULTS_FILE", told.display().to_string()),
        ]
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        // It is in a folder for what is temporary anyway.
        drop(std::fs::remove_file(&self.path));
    }
}

/// What a file of a store is.
pub(super) fn kind(path: &str) -> &'static str {
    let has = |part: &str| path.contains(part);
    if has(".jnl") {
        "a journal"
    } else if has("/tables/") {
        "a table"
    } else if has("/blobs/") {
        "a file of events"
    } else if path.ends_with("/synced") {
        "the note of the last checkpoint"
    } else {
        "another file"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_kind() {
        for (path, expected) in [
            ("/d/store/data/0.jnl", "a journal"),
            ("/d/store/data/keyspaces/2/tables/4", "a table"),
            ("/d/store/data/keyspaces/2/blobs/4", "a file of events"),
            ("/d/store/synced", "the note of the last checkpoint"),
            ("/d/store/data/keyspaces/2/current", "another file"),
        ] {
            assert_eq!(kind(path), expected);
        }
    }
}
