//! Owns a real Apache Kafka for the tests: one broker or several on this machine, each with a
//! folder and a process of its own, which a test may kill, freeze and start again.

mod broker;
mod tools;

use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

pub use self::broker::Broker;
use self::broker::Place;
use super::component;

/// A cluster. Its brokers are killed and its folder is removed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    brokers: Vec<Broker>,
    folder: TempDir,
}

impl Cluster {
    /// Starts `count` brokers, 1 to 9, and waits until all have started.
    ///
    /// Internal topics have as many replicas as there are brokers, three at most; nothing is
    /// created by reading or writing.
    ///
    /// # Errors
    ///
    /// When Kafka was not fetched (`make kafka` does), or a broker does not start.
    pub fn start(count: u32) -> Result<Self> {
        if !(1..=9).contains(&count) {
            bail!("a cluster of {count} brokers: 1 to 9 are possible");
        }
        let folder = tempfile::Builder::new().prefix("gristmill-kafka-").tempdir()?;
        let places = places(count)?;
        let mut brokers = Vec::new();
        for place in &places {
            brokers.push(Broker::format(folder.path(), *place, &places)?);
        }
        for broker in &mut brokers {
            broker.launch()?;
        }
        for broker in &mut brokers {
            broker.await_started()?;
        }
        Ok(Self { brokers, folder })
    }

    /// `bootstrap.servers` of a client.
    pub fn bootstrap(&self) -> String {
        self.brokers.iter().map(Broker::address).collect::<Vec<_>>().join(",")
    }

    /// The broker of that `node.id`, from 1.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn broker(&mut self, id: u32) -> Result<&mut Broker> {
        let found = self.brokers.iter_mut().find(|broker| broker.id() == id);
        found.with_context(|| format!("no broker {id}"))
    }

    /// The folder of all brokers: logs, data, configuration.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

/// The jars that `make kafka` fetched: `$KAFKA_LIBS`, else `target/kafka`.
///
/// # Errors
///
/// When they are not there.
fn libs() -> Result<PathBuf> {
    let default = || component::root().join("target/kafka");
    let libs = std::env::var_os("KAFKA_LIBS").map_or_else(default, PathBuf::from);
    if !libs.join("pom.xml").is_file() {
        bail!("no Apache Kafka in {}; `make kafka` fetches it", libs.display());
    }
    Ok(libs)
}

/// Where the brokers will listen: two free ports each, held until all are chosen.
fn places(count: u32) -> Result<Vec<Place>> {
    let mut held = Vec::new();
    let mut port = || -> Result<u16> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
        let port = listener.local_addr()?.port();
        held.push(listener);
        Ok(port)
    };
    (1..=count).map(|id| Ok(Place { id, clients: port()?, controllers: port()? })).collect()
}
