//! Owns one broker: its configuration, its process, its log. It decides nothing about when it dies.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::{libs, tools};
use crate::support::{component, process, wait};

/// A broker that has not started by then does not do so at all.
const PATIENCE: Duration = Duration::from_mins(2);
/// Name of every cluster: 16 bytes in URL-safe base64, as the storage tool wants it.
const CLUSTER: &str = "Gristmill-tests-aaaaaQ";
/// What a broker logs when it serves.
const STARTED: &str = "Kafka Server started";

/// Where a broker listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) id: u32,
    pub(super) clients: u16,
    pub(super) controllers: u16,
}

/// A broker, which is a controller as well.
#[derive(Debug)]
pub struct Broker {
    place: Place,
    folder: PathBuf,
    process: Option<Child>,
    /// Length of its log when it was last launched.
    before: usize,
}

impl Broker {
    /// Writes a broker's configuration and formats its storage.
    pub(super) fn format(cluster: &Path, place: Place, all: &[Place]) -> Result<Self> {
        let folder = cluster.join(format!("broker-{}", place.id));
        fs::create_dir(&folder)?;
        let broker = Self { place, folder, process: None, before: 0 };
        fs::write(broker.properties(), configuration(&broker.folder, place, all))?;
        let properties = broker.properties().display().to_string();
        let arguments = ["format", "-t", CLUSTER, "-c", &properties];
        tools::run("kafka.tools.StorageTool", &arguments)?;
        Ok(broker)
    }

    /// Its `node.id`.
    pub fn id(&self) -> u32 {
        self.place.id
    }

    /// Where clients reach it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.place.clients)
    }

    /// Starts it, for the first time or again, and waits until it serves.
    ///
    /// # Errors
    ///
    /// When it runs, or does not start.
    pub fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.await_started()
    }

    /// Kills its process (SIGKILL).
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the broker does not run")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Stops its process where it is (SIGSTOP); connections stay open and nothing answers.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets a frozen process go on.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// The last lines it logged.
    pub fn tail(&self) -> String {
        process::tail(&self.log(), 30)
    }

    pub(super) fn launch(&mut self) -> Result<()> {
        if self.process.is_some() {
            bail!("broker {} runs already", self.id());
        }
        self.before = self.logged().len();
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let settings = component::root().join("tests/kafka/log4j2.properties");
        let child = Command::new("java")
            // Small, and quick to start: a test's cluster lives for seconds.
            .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Dlog4j2.configurationFile={}", settings.display()))
            .arg("-cp")
            .arg(libs()?.join("*"))
            .arg("kafka.Kafka")
            .arg(self.properties())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start java")?;
        self.process = Some(child);
        Ok(())
    }

    pub(super) fn await_started(&mut self) -> Result<()> {
        let started = wait::until(PATIENCE, || {
            if let Some(process) = &mut self.process
                && let Some(status) = process.try_wait()?
            {
                bail!("broker {} ended with {status}:\n{}", self.place.id, self.tail());
            }
            let logged = self.logged();
            let since = logged.get(self.before..).unwrap_or_default();
            Ok(since.contains(STARTED).then_some(()))
        })?;
        let late = || anyhow!("broker {} has not started:\n{}", self.id(), self.tail());
        started.ok_or_else(late)
    }

    fn signal(&self, name: &str) -> Result<()> {
        let process = self.process.as_ref().context("the broker does not run")?;
        process::signal(process.id(), name)
    }

    fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    fn properties(&self) -> PathBuf {
        self.folder.join("server.properties")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended already.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

fn configuration(folder: &Path, place: Place, all: &[Place]) -> String {
    let voters: Vec<_> =
        all.iter().map(|it| format!("{}@127.0.0.1:{}", it.id, it.controllers)).collect();
    let replicas = all.len().min(3);
    let mut text = String::new();
    for (name, value) in [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", place.id.to_string()),
        ("controller.quorum.voters", voters.join(",")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("inter.broker.listener.name", "CLIENTS".to_owned()),
        (
            "listeners",
            format!(
                "CLIENTS://127.0.0.1:{},CONTROLLER://127.0.0.1:{}",
                place.clients, place.controllers
            ),
        ),
        ("advertised.listeners", format!("CLIENTS://127.0.0.1:{}", place.clients)),
        ("listener.security.protocol.map", "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned()),
        ("log.dirs", folder.join("data").display().to_string()),
        ("auto.create.topics.enable", "false".to_owned()),
        ("default.replication.factor", replicas.to_string()),
        ("min.insync.replicas", replicas.min(2).to_string()),
        ("offsets.topic.replication.factor", replicas.to_string()),
        ("offsets.topic.num.partitions", "8".to_owned()),
        ("transaction.state.log.replication.factor", replicas.to_string()),
        ("transaction.state.log.min.isr", replicas.min(2).to_string()),
        ("transaction.state.log.num.partitions", "8".to_owned()),
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
    ] {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{name}={value}");
    }
    text
}
