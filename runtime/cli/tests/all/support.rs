//! Runs the binary in a folder of its own, without what the machine's environment may say.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for anything. The machine may be busy compiling.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The answer of a command that did what it was asked.
    pub(crate) fn done(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.out
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A folder to run commands in.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: TempDir,
    url: Option<String>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), url: None }
    }

    /// With a host's configuration that takes any free port.
    pub(crate) fn with_host(rest: &str) -> Self {
        let folder = Self::new();
        let config = format!("listen = \"127.0.0.1:0\"\nworkers = 1\n{rest}");
        folder.write("gristmill.toml", config);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.fed(line, "")
    }

    /// Runs a command to its end, with `input`.
    pub(crate) fn fed(&self, line: &str, input: &str) -> Ran {
        let mut child = self.command(line).stdin(Stdio::piped()).spawn().unwrap();
        let sent = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        // A command that ends before it has read everything says so by its code.
        drop(sent);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Starts a command that goes on.
    pub(crate) fn start(&self, line: &str) -> Child {
        self.command(line).stdin(Stdio::null()).spawn().unwrap()
    }

    /// Starts a host; commands of this folder speak to it from then on.
    pub(crate) fn host(&mut self, variables: &[(&str, &str)]) -> Host {
        let mut command = self.command("run");
        command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut told = String::new();
        let url = loop {
            let mut line = String::new();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the host ended: {told}");
            told.push_str(&line);
            if let Some((_, rest)) = line.split_once("listens at ") {
                break rest.split_whitespace().next().unwrap().to_owned();
            }
        };
        self.url = Some(url.clone());
        let rest = std::thread::spawn(move || {
            lines.read_to_string(&mut told).unwrap();
            told
        });
        Host { child, url, told: Some(rest) }
    }

    /// Runs a command until its answer is as wished.
    pub(crate) fn until(&self, line: &str, holds: impl Fn(&Ran) -> bool) -> Ran {
        let begin = Instant::now();
        loop {
            let ran = self.run(line);
            if holds(&ran) {
                return ran;
            }
            assert!(begin.elapsed() < PATIENCE, "{line}: {ran:?}");
        }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill"));
        command.args(line.split_whitespace()).current_dir(self.dir.path()).env_clear();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(url) = &self.url {
            command.env("GRISTMILL_URL", url);
        }
        command
    }
}

/// A running host; ended when dropped.
#[derive(Debug)]
pub(crate) struct Host {
    child: Child,
    pub(crate) url: String,
    told: Option<JoinHandle<String>>,
}

impl Host {
    /// Asks it to end, and waits until it has. Answers with its code and what it logged.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        signal(&self.child, "TERM");
        self.wait()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        (status.code(), self.told.take().unwrap().join().unwrap())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal to a process this test started.
pub(crate) fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}
