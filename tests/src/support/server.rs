//! A server that a test starts beside the host, in a folder of its own with its log in it. What it
//! serves is for whoever starts it to know.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::process;

/// A running server; ended when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: TempDir,
}

impl Server {
    /// Starts `command` in `folder`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(command: &mut Command, folder: TempDir) -> Result<Self> {
        let log = File::create(folder.path().join("log"))?;
        let child = command
            .current_dir(folder.path())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        Ok(Self { child, folder })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    ///
    /// When the system cannot tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends it: its port answers nobody any more.
    ///
    /// # Errors
    ///
    /// When it cannot be ended, or had ended by itself.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        let status = self.child.wait()?;
        ensure!(!status.success(), "it had ended by itself:\n{}", self.tail());
        Ok(())
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        process::tail(&self.folder.path().join("log"), 30)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already cannot be ended again.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
