//! Owns a host's folder and its process: starts it, waits for it, ends it kindly or not. It knows
//! no protocol.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;

use super::client::{Client, Subscription};
use super::{process, wait};

/// A host that starts, or ends by request, later than this does not do so at all.
const PATIENCE: Duration = Duration::from_mins(2);

/// Folder of a host: configuration, plugins, data and log. Gone when dropped, unless kept.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    binary: PathBuf,
}

impl Home {
    /// A folder with `config` as its `gristmill.toml`, for hosts of `binary`.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made, or there is no such binary.
    pub fn new(binary: &Path, config: &str) -> Result<Self> {
        if !binary.exists() {
            bail!("{} is not built; `make build` builds it", binary.display());
        }
        let folder = tempfile::Builder::new().prefix("gristmill-").tempdir()?;
        let home = Self { folder, binary: binary.to_owned() };
        fs::write(home.path().join("gristmill.toml"), config)?;
        fs::create_dir(home.plugins())?;
        Ok(home)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Folder of plugins.
    pub fn plugins(&self) -> PathBuf {
        self.path().join("plugins")
    }

    /// What all hosts of this folder logged.
    pub fn log(&self) -> PathBuf {
        self.path().join("host.log")
    }

    /// Leaves the folder where it is.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// Puts a plugin's file in place, whole.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (partial, path) = (self.plugins().join(format!(".{name}")), self.plugins().join(name));
        fs::write(&partial, bytes)?;
        fs::rename(&partial, &path).with_context(|| format!("put {}", path.display()))
    }

    /// Starts a host with these variables in its environment.
    ///
    /// # Errors
    ///
    /// When the process cannot be started.
    pub fn start(&self, variables: &[(&str, String)]) -> Result<Process> {
        let address = self.path().join("data/address");
        // One left by a host that was killed would be taken for the new one's.
        drop(fs::remove_file(&address));
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let child = Command::new(&self.binary)
            .args(["run", "--config"])
            .arg(self.path().join("gristmill.toml"))
            .envs(variables.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", self.binary.display()))?;
        Ok(Process { child, address, log: self.log() })
    }
}

/// A host's process. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    address: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the host is ready; `None` when its process ended before.
    ///
    /// # Errors
    ///
    /// When it neither gets ready nor ends.
    pub fn ready(&mut self) -> Result<Option<Client>> {
        let mut client = None;
        let seen = wait::until(PATIENCE, || {
            if self.child.try_wait()?.is_some() {
                return Ok(Some(None));
            }
            if client.is_none() {
                client = self.client();
            }
            let is_ready = client.as_ref().is_some_and(Client::is_ready);
            Ok(is_ready.then(|| client.clone()))
        })?;
        seen.ok_or_else(|| anyhow!("the host is not ready after {PATIENCE:?}:\n{}", self.tail()))
    }

    /// A client of the host, once it listens, ready or not.
    pub fn client(&self) -> Option<Client> {
        fs::read_to_string(&self.address).ok().map(|it| Client::new(it.trim()))
    }

    /// Waits until the host listens, ready or not.
    ///
    /// # Errors
    ///
    /// When it does not, or ends instead.
    pub fn listens(&mut self) -> Result<Client> {
        let heard = wait::until(PATIENCE, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("the host ended with {status}:\n{}", self.tail());
            }
            Ok(self.client())
        })?;
        heard.ok_or_else(|| anyhow!("the host does not listen:\n{}", self.tail()))
    }

    /// Waits until the host is ready.
    ///
    /// # Errors
    ///
    /// When it does not get ready, or ends instead.
    pub fn must_be_ready(&mut self) -> Result<Client> {
        let ready = self.ready()?;
        ready.ok_or_else(|| anyhow!("the host ended while it started:\n{}", self.tail()))
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    ///
    /// When the system cannot tell.
    pub fn ended(&mut self, within: Duration) -> Result<Option<ExitStatus>> {
        wait::until(within, || Ok(self.child.try_wait()?))
    }

    /// Kills the process (SIGKILL). The status tells if something else ended it first.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Asks the process to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    ///
    /// When it does not end, or not well.
    pub fn stop(mut self) -> Result<()> {
        let told = process::signal(self.id(), "TERM");
        let status = self.ended(PATIENCE)?;
        match status {
            Some(status) if told.is_ok() && status.success() => Ok(()),
            Some(status) => Err(anyhow!("the host ended with {status}:\n{}", self.tail())),
            None => Err(anyhow!("the host does not stop:\n{}", self.tail())),
        }
    }

    /// The last lines of the log.
    pub fn tail(&self) -> String {
        process::tail(&self.log, 20)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An empty file.
///
/// # Errors
///
/// When it cannot be made.
pub fn empty(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("empty {}", path.display()))
}

/// Waits until a host has nothing left to do.
///
/// # Errors
///
/// When it does not come to rest.
pub fn settle(client: &Client, host: &Process) -> Result<()> {
    let settled = wait::until(PATIENCE, || {
        let open: u64 = client.subscriptions()?.iter().map(Subscription::unsettled).sum();
        Ok((open == 0).then_some(()))
    })?;
    settled.with_context(|| format!("no rest: {:?}\n{}", client.subscriptions(), host.tail()))
}
