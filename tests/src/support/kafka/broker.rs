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
/// What a cluster's id begins with, before the port of its first broker, which no other has: 16
/// bytes in URL-safe base64, as the storage tool wants it.
const CLUSTER: &str = "Gristmill-tests-";
/// What a broker logs when it serves.
const STARTED: &str = "Kafka Server started";

/// What a cluster is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Tests: small, and quick to start, since it lives for seconds.
    Tests,
    /// Measurements: as an operator runs one.
    Measurements {
        /// Port of a relay that clients are to use.
        relay: Option<u16>,
    },
    /// Tests of who is let in: as for other tests, with [`Doors`].
    Guarded,
    /// Tests of what a network can do: as for other tests, behind a relay.
    Meddled {
        /// Port of the relay.
        relay: u16,
    },
}

impl Purpose {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Tests | Self::Guarded | Self::Meddled { .. } => {
                &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
            }
            Self::Measurements { .. } => &["-Xmx1g"],
        }
    }

    /// How long a new group waits for more members. Who measures wants all from the first event.
    fn rebalance_delay(self) -> &'static str {
        match self {
            Self::Tests | Self::Guarded | Self::Meddled { .. } => "0",
            Self::Measurements { .. } => "1000",
        }
    }

    /// The port that clients are told.
    fn advertised(self, place: Place) -> u16 {
        match self {
            Self::Meddled { relay: port } | Self::Measurements { relay: Some(port) } => port,
            Self::Tests | Self::Guarded | Self::Measurements { relay: None } => place.clients,
        }
    }
}

/// Where a broker listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) id: u32,
    pub(super) clients: u16,
    pub(super) brokers: u16,
    pub(super) controllers: u16,
    pub(super) doors: Option<Doors>,
}

/// Where it listens besides, and asks who is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doors {
    /// SASL over TLS.
    pub(super) passwords: u16,
    /// TLS with a certificate of the client's.
    pub(super) certificates: u16,
}

impl Place {
    /// Its listeners as `NAME://ADDRESS`, each after a comma.
    fn doors(self) -> String {
        let Some(Doors { passwords, certificates }) = self.doors else { return String::new() };
        format!(",PASSWORDS://127.0.0.1:{passwords},CERTIFICATES://127.0.0.1:{certificates}")
    }
}

/// A broker, which is a controller as well.
#[derive(Debug)]
pub struct Broker {
    place: Place,
    purpose: Purpose,
    folder: PathBuf,
    process: Option<Child>,
    /// Length of its log when it was last launched.
    before: usize,
}

impl Broker {
    /// Writes a broker's configuration, which `settings` end, and formats its storage.
    pub(super) fn format(
        cluster: &Path,
        place: Place,
        all: &[Place],
        (purpose, settings): (Purpose, &[(&str, &str)]),
    ) -> Result<Self> {
        let folder = cluster.join(format!("broker-{}", place.id));
        fs::create_dir(&folder)?;
        let broker = Self { place, purpose, folder, process: None, before: 0 };
        let mut properties = broker.configuration(all);
        for (name, value) in settings {
            // The last of a name counts.
            writeln!(properties, "{name}={value}")?;
        }
        fs::write(broker.properties(), properties)?;
        let properties = broker.properties().display().to_string();
        let first = all.first().map_or(0, |first| first.clients);
        let id = format!("{CLUSTER}{first:05}Q");
        let arguments = ["format", "-t", &id, "-c", &properties];
        tools::run("kafka.tools.StorageTool", &arguments)?;
        Ok(broker)
    }

    /// Its `node.id`.
    pub fn id(&self) -> u32 {
        self.place.id
    }

    /// Number of its process, while it runs.
    pub fn process(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Where clients reach it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.purpose.advertised(self.place))
    }

    /// Where it asks who is there, if it does.
    pub(super) fn doors(&self) -> Option<Doors> {
        self.place.doors
    }

    /// The port it listens on itself.
    pub(super) fn port(&self) -> u16 {
        self.place.clients
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
            .args(self.purpose.options())
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

    fn configuration(&self, all: &[Place]) -> String {
        let (folder, place) = (&self.folder, self.place);
        let voters: Vec<_> =
            all.iter().map(|it| format!("{}@127.0.0.1:{}", it.id, it.controllers)).collect();
        let replicas = all.len().min(3);
        let mut text = String::new();
        for (name, value) in [
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", place.id.to_string()),
            ("controller.quorum.voters", voters.join(",")),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            // Their own, so that what delays clients delays no marker of a transaction's end.
            ("inter.broker.listener.name", "BROKERS".to_owned()),
            (
                "listeners",
                format!(
                    "CLIENTS://127.0.0.1:{},BROKERS://127.0.0.1:{},CONTROLLER://127.0.0.1:{}{}",
                    place.clients,
                    place.brokers,
                    place.controllers,
                    place.doors()
                ),
            ),
            (
                "advertised.listeners",
                format!(
                    "CLIENTS://127.0.0.1:{},BROKERS://127.0.0.1:{}{}",
                    self.purpose.advertised(place),
                    place.brokers,
                    place.doors()
                ),
            ),
            (
                "listener.security.protocol.map",
                "CLIENTS:PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT,PASSWORDS:SASL_SSL,\
                 CERTIFICATES:SSL"
                    .to_owned(),
            ),
            ("log.dirs", folder.join("data").display().to_string()),
            ("auto.create.topics.enable", "false".to_owned()),
            ("default.replication.factor", replicas.to_string()),
            ("min.insync.replicas", replicas.min(2).to_string()),
            ("offsets.topic.replication.factor", replicas.to_string()),
            ("offsets.topic.num.partitions", "8".to_owned()),
            ("transaction.state.log.replication.factor", replicas.to_string()),
            ("transaction.state.log.min.isr", replicas.min(2).to_string()),
            ("transaction.state.log.num.partitions", "8".to_owned()),
            ("group.initial.rebalance.delay.ms", self.purpose.rebalance_delay().to_owned()),
            // How late the broker notices that a transaction is open for too long; 10 s by default.
            ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500".to_owned()),
        ] {
            // Writing to a string cannot fail.
            let _written = writeln!(text, "{name}={value}");
        }
        text
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
