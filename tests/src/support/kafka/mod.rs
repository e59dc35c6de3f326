//! Owns a real Apache Kafka for the tests: one broker or several on this machine, each with a
//! folder and a process of its own, which a test may kill, freeze and start again.

mod broker;
mod guarded;
pub mod meddler;
mod operate;
mod records;
mod relay;
mod tools;
pub mod witness;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

pub use self::broker::Broker;
use self::broker::{Doors, Place, Purpose};
pub use self::guarded::{Guarded, Right};
use self::meddler::Meddler;
pub use self::operate::Lag;
pub use self::records::{Producer, Writer, Written};
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
        Self::start_with(count, &[])
    }

    /// The same, with `settings` of brokers beside the usual ones, or instead of them.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start`].
    pub fn start_with(count: u32, settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_for((Purpose::Tests, settings), count)
    }

    /// Starts one broker for measurements: its JVM has what an operator's has, and takes longer to
    /// start. A request and its answer together take `delay` longer, as on a network.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start`].
    pub fn steady(delay: Duration) -> Result<Self> {
        if delay.is_zero() {
            return Self::start_for((Purpose::Measurements { relay: None }, &[]), 1);
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
        let port = listener.local_addr()?.port();
        let cluster = Self::start_for((Purpose::Measurements { relay: Some(port) }, &[]), 1)?;
        let broker = cluster.brokers.first().context("a broker was started")?;
        relay::start(listener, broker.port(), delay / 2)?;
        Ok(cluster)
    }

    /// Starts one broker behind a relay that meddles once it is told to; `seed` decides with what.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start`].
    pub fn meddled(seed: u64) -> Result<(Self, Meddler)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
        let relay = listener.local_addr()?.port();
        let cluster = Self::start_for((Purpose::Meddled { relay }, &[]), 1)?;
        let broker = cluster.brokers.first().context("a broker was started")?;
        let meddler = Meddler::start(listener, broker.port(), seed)?;
        Ok((cluster, meddler))
    }

    fn start_for(kind: (Purpose, &[(&str, &str)]), count: u32) -> Result<Self> {
        if !(1..=9).contains(&count) {
            bail!("a cluster of {count} brokers: 1 to 9 are possible");
        }
        let folder = tempfile::Builder::new().prefix("gristmill-kafka-").tempdir()?;
        let places = places(count, kind.0)?;
        let mut brokers = Vec::new();
        for place in &places {
            brokers.push(Broker::format(folder.path(), *place, &places, kind)?);
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

    /// Numbers of the brokers' processes that run.
    pub fn processes(&self) -> impl Iterator<Item = u32> {
        self.brokers.iter().filter_map(Broker::process)
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

    /// Where its broker asks who is there.
    fn doors(&self) -> Option<Doors> {
        self.brokers.first().and_then(Broker::doors)
    }

    /// Kills all brokers and leaves their folder where it is.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
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

/// Where the brokers will listen: free ports, held until all are chosen.
fn places(count: u32, purpose: Purpose) -> Result<Vec<Place>> {
    let mut held = Vec::new();
    let mut port = || -> Result<u16> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
        let port = listener.local_addr()?.port();
        held.push(listener);
        Ok(port)
    };
    let mut places = Vec::new();
    for id in 1..=count {
        let doors = match purpose {
            Purpose::Guarded => Some(Doors { passwords: port()?, certificates: port()? }),
            Purpose::Tests | Purpose::Meddled { .. } | Purpose::Measurements { .. } => None,
        };
        let (clients, brokers, controllers) = (port()?, port()?, port()?);
        places.push(Place { id, clients, brokers, controllers, doors });
    }
    Ok(places)
}
