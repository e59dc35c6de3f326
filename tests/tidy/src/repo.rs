//! Lists and reads the files of the repository. Knows no rule.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// A place that breaks a rule, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path from the root of the repository.
    pub path: String,
    /// Line, from 1; 0 speaks of the whole file.
    pub line: usize,
    /// What is wrong and what to do, in a sentence.
    pub what: String,
}

impl Finding {
    /// A finding at `line` (from 1, or 0 for the whole file) of `path`.
    pub fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.path, self.what)
        } else {
            write!(f, "{}:{}: {}", self.path, self.line, self.what)
        }
    }
}

/// The files of the repository: what git tracks and what it would track, not what it ignores.
#[derive(Debug)]
pub struct Repo {
    root: PathBuf,
    files: Vec<String>,
}

impl Repo {
    /// Opens the repository this crate stands in.
    ///
    /// # Errors
    ///
    /// When git cannot list its files.
    pub fn open() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().context("find the root of the repository")?;
        // The checkout may belong to another user, as in a container; reading names is harmless.
        let listing = Command::new("git")
            .args(["-c", "safe.directory=*", "ls-files", "-z"])
            .args(["--cached", "--others", "--exclude-standard"])
            .current_dir(&root)
            .output()
            .context("list files by git")?;
        ensure!(
            listing.status.success(),
            "list files by git: {}",
            String::from_utf8_lossy(&listing.stderr)
        );
        let names = String::from_utf8(listing.stdout).context("read file names as UTF-8")?;
        let mut files: Vec<_> = names
            .split('\0')
            .filter(|name| !name.is_empty() && root.join(name).is_file())
            .map(str::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(Self { root, files })
    }

    /// The root of the repository.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All files, as paths from the root with `/` between, in order.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Files whose name ends in one of `endings`, with their text.
    pub fn texts<'a>(
        &'a self,
        endings: &'a [&str],
    ) -> impl Iterator<Item = (&'a str, String)> + 'a {
        self.files
            .iter()
            .filter(|path| endings.iter().any(|ending| path.ends_with(ending)))
            .filter_map(|path| Some((path.as_str(), self.text(path)?)))
    }

    /// Text of one file; nothing when it is missing or not UTF-8.
    pub fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(path)).ok()
    }

    /// Whether a file or folder of this path exists.
    pub fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }
}
