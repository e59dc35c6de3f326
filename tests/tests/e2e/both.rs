//! Runs one story twice: on the embedded store, and on a Kafka of its own.

use anyhow::{Context, Result};
use gristmill_tests::support::client::Client;
pub(super) use gristmill_tests::support::home::settle;
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::kafka::Cluster;

/// Where the host of a story runs, and the cluster if it runs on one.
pub(super) struct Ground {
    /// Its configuration.
    pub(super) config: String,
    /// Where its topics are, if not in its store.
    pub(super) cluster: Option<Cluster>,
}

/// The embedded store of a host of this name; `tables` are the tables of its configuration.
pub(super) fn embedded(name: &str, tables: &str) -> Ground {
    let config = format!(
        "name = \"{name}\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\nworkers = 2\n\
         [storage]\nreserve = \"64MiB\"\n{tables}"
    );
    Ground { config, cluster: None }
}

/// Runs a story on the embedded store, and then on Kafka.
pub(super) fn on_both(
    name: &str,
    tables: &str,
    story: impl Fn(&Ground) -> Result<()>,
) -> Result<()> {
    story(&embedded(name, tables)).context("on the embedded store")?;
    on_kafka(name, tables, story)
}

/// Runs a story on Kafka alone.
pub(super) fn on_kafka(
    name: &str,
    tables: &str,
    story: impl Fn(&Ground) -> Result<()>,
) -> Result<()> {
    let cluster = Cluster::start(1)?;
    let broker = format!(
        "[broker]\nkind = \"kafka\"\nbrokers = [\"{}\"]\nsession_timeout = \"6s\"\n",
        cluster.bootstrap()
    );
    let config = format!("{}{broker}", embedded(name, tables).config);
    story(&Ground { config, cluster: Some(cluster) }).context("on Kafka")
}

/// Starts a host, and waits until it is ready.
pub(super) fn start(home: &Home) -> Result<(Process, Client)> {
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    Ok((host, client))
}
