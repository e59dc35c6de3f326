//! Starts the peers that run on a JVM: Kafka Streams and Confluent's parallel consumer.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use super::{End, Prepared, Repeats, Runner, Wiring, folder};
use crate::support::component;

/// Largest heap of a peer. Enough that no peer is held back, and no more, so that its memory is
/// its own and not what the machine happens to have.
const HEAP: &str = "-Xmx1g";

/// Kafka Streams, `exactly_once_v2`, two threads.
#[derive(Debug)]
pub struct Streams {
    name: String,
    dedupe: bool,
    commit_ms: u32,
}

impl Streams {
    /// With a store that drops repeated events or without one, committing every `commit_ms`.
    pub fn new(dedupe: bool, commit_ms: u32) -> Self {
        let how = if dedupe { "dedupe, " } else { "" };
        Self { name: format!("streams, {how}{commit_ms} ms"), dedupe, commit_ms }
    }
}

impl Runner for Streams {
    fn name(&self) -> &str {
        &self.name
    }

    fn repeats(&self) -> Repeats {
        if self.dedupe { Repeats::Dropped } else { Repeats::Kept }
    }

    fn prepare(&self, wiring: &Wiring) -> Result<Prepared> {
        let folder = folder()?;
        let state = folder.path().join("state").display().to_string();
        let command = java(
            "streams",
            "SeatChanges",
            &[
                ("brokers", &wiring.brokers),
                ("application", &wiring.name),
                ("sources", &wiring.sources.join(",")),
                ("output", &wiring.output),
                ("state", &state),
                ("dedupe", &self.dedupe.to_string()),
                ("commit.ms", &self.commit_ms.to_string()),
            ],
        )?;
        Ok(Prepared { folder, command, end: End::Input })
    }
}

/// The parallel consumer, ordered by key.
#[derive(Debug)]
pub struct Parallel {
    name: String,
    concurrency: u32,
    /// After so many events it tells the moment, and then it emits nothing. Empty: it emits.
    tells_after: Vec<u64>,
}

impl Parallel {
    /// Emits an event for each, by its own means.
    pub fn emitting(concurrency: u32) -> Self {
        let name = format!("parallel-consumer, {concurrency} in flight");
        Self { name, concurrency, tells_after: Vec::new() }
    }

    /// Emits nothing and tells when so many events are handled: the least that can be asked of it.
    pub fn silent(concurrency: u32, tells_after: &[u64]) -> Self {
        let name = format!("parallel-consumer, {concurrency} in flight, no output");
        Self { name, concurrency, tells_after: tells_after.to_vec() }
    }
}

impl Runner for Parallel {
    fn name(&self) -> &str {
        &self.name
    }

    fn repeats(&self) -> Repeats {
        Repeats::Kept
    }

    fn prepare(&self, wiring: &Wiring) -> Result<Prepared> {
        let tells_after: Vec<_> = self.tells_after.iter().map(u64::to_string).collect();
        let command = java(
            "parallel",
            "Waits",
            &[
                ("brokers", &wiring.brokers),
                ("group", &wiring.name),
                ("source", &wiring.sources.join(",")),
                ("output", &wiring.output),
                ("concurrency", &self.concurrency.to_string()),
                ("tells.after", &tells_after.join(",")),
            ],
        )?;
        Ok(Prepared { folder: folder()?, command, end: End::Input })
    }
}

/// The command that runs a peer's class with these settings.
fn java(peer: &str, class: &str, settings: &[(&str, &str)]) -> Result<Command> {
    let folder = peers().join(peer);
    if !folder.join("lib").is_dir() {
        bail!("{} is not built; `make peers` builds it", folder.display());
    }
    let mut command = Command::new("java");
    command.arg(HEAP).arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    for (name, value) in settings {
        command.arg(format!("-D{name}={value}"));
    }
    command.arg("-cp").arg(folder.join("lib/*")).arg(format!("gristmill.peers.{class}"));
    Ok(command)
}

/// The peers that `make peers` built: `$PEERS`, else `target/peers`.
fn peers() -> PathBuf {
    let default = || component::root().join("target/peers");
    env::var_os("PEERS").map_or_else(default, PathBuf::from)
}
