//! Owns what a runner is: something that reads the source topics and writes the output topic, in
//! a process of its own. What it does there, each runner decides in its own file.

pub mod gristmill;
pub mod java;
pub mod plain;

use std::fmt::Debug;
use std::fs::OpenOptions;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::usage::Usage;
use crate::support::{process, wait};

/// A process that does not end by request in this time is killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where one process reads and writes.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// Name of the consumer group, the application or the host, and the begin of the name of
    /// every topic a runner makes for itself.
    pub name: String,
    /// `bootstrap.servers`.
    pub brokers: String,
    /// Topics to read, from their beginnings.
    pub sources: Vec<String>,
    /// Topic to write.
    pub output: String,
}

/// What becomes of an event that comes twice, while nothing fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// The second changes nothing.
    Dropped,
    /// Both are handled.
    Kept,
}

impl Repeats {
    /// How often there may be an emission about an event that is in the input `copies` times.
    pub fn emissions(self, copies: u16) -> RangeInclusive<u16> {
        match self {
            Self::Dropped => 1..=1,
            Self::Kept => copies..=copies,
        }
    }
}

/// Something that can do the work.
pub trait Runner: Debug {
    /// Its name in the report.
    fn name(&self) -> &str;

    /// What it does with an event that comes twice.
    fn repeats(&self) -> Repeats;

    /// Writes what its process needs. Nothing is started.
    ///
    /// # Errors
    ///
    /// When something was not built.
    fn prepare(&self, wiring: &Wiring) -> Result<Prepared>;
}

/// How a process is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By the end of its standard input: the peers, which so end with the benchmark as well.
    Input,
    /// By SIGTERM.
    Signal,
}

/// A process about to be started, and its folder.
#[derive(Debug)]
pub struct Prepared {
    /// Everything it writes is in here.
    pub folder: TempDir,
    /// What is run.
    pub command: Command,
    /// How it is asked to end.
    pub end: End,
}

impl Prepared {
    /// Starts the process. It is not waited for: what it emits tells when it works.
    ///
    /// # Errors
    ///
    /// When there is no such program.
    pub fn start(mut self) -> Result<Processor> {
        let log = self.folder.path().join("log");
        let file = OpenOptions::new().create(true).append(true).open(&log)?;
        let input = if self.end == End::Input { Stdio::piped() } else { Stdio::null() };
        self.command.stdin(input).stdout(file.try_clone()?).stderr(file);
        let program = self.command.get_program().to_owned();
        let child = self.command.spawn().with_context(|| format!("start {}", program.display()))?;
        Ok(Processor { child, log, end: self.end, _folder: self.folder })
    }
}

/// A process that works. Killed when dropped.
#[derive(Debug)]
pub struct Processor {
    child: Child,
    log: PathBuf,
    end: End,
    _folder: TempDir,
}

impl Processor {
    /// Number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it used until now.
    ///
    /// # Errors
    ///
    /// When it ended, with the end of its log.
    pub fn usage(&mut self) -> Result<Usage> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended with {status}:\n{}", self.tail());
        }
        Usage::of(self.id())
    }

    /// Everything it said.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of that.
    pub fn tail(&self) -> String {
        process::tail(&self.log, 30)
    }

    /// Asks it to end and waits for it.
    ///
    /// # Errors
    ///
    /// When it does not end, or not well.
    pub fn stop(mut self) -> Result<()> {
        match self.end {
            End::Input => drop(self.child.stdin.take()),
            End::Signal => process::signal(self.id(), "TERM")?,
        }
        match wait::until(PATIENCE, || Ok(self.child.try_wait()?))? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("it ended with {status}:\n{}", self.tail()),
            None => bail!("it does not end:\n{}", self.tail()),
        }
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A folder for a process.
///
/// # Errors
///
/// When it cannot be made.
pub fn folder() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("gristmill-bench-").tempdir()?)
}
