//! Starts the plain loop: what somebody writes who has this work to do and a Kafka client.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{End, Prepared, Repeats, Runner, Wiring, folder};

/// The plain loop under one guarantee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// With transactions.
    ExactlyOnce,
    /// With an idempotent producer, and offsets committed after delivery.
    AtLeastOnce,
}

impl Runner for Plain {
    fn name(&self) -> &'static str {
        match self {
            Self::ExactlyOnce => "loop, exactly-once",
            Self::AtLeastOnce => "loop, at-least-once",
        }
    }

    fn repeats(&self) -> Repeats {
        Repeats::Kept
    }

    fn prepare(&self, wiring: &Wiring) -> Result<Prepared> {
        let this = env::current_exe().context("find this program")?;
        let program = this.with_file_name("peer_loop");
        if !program.is_file() {
            bail!("{} is not built; `make bench-kafka` builds it", program.display());
        }
        let guarantee = match self {
            Self::ExactlyOnce => "exactly-once",
            Self::AtLeastOnce => "at-least-once",
        };
        let mut command = Command::new(program);
        command
            .args([
                "--brokers",
                &wiring.brokers,
                "--group",
                &wiring.name,
                "--output",
                &wiring.output,
            ])
            .args(["--guarantee", guarantee])
            .args(&wiring.sources);
        Ok(Prepared { folder: folder()?, command, end: End::Input })
    }
}
