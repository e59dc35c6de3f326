//! Takes measurements from the command line, shows them as a table and leaves them in
//! `target/bench/report.json`. It never fails because something is slow.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the terminal is its output")]

use anyhow::Result;
use clap::Parser;
use gristmill_tests::bench::{self, Options, figure};
use gristmill_tests::support::component;

/// Measures a release build of the host.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Args {
    /// One measurement alone: throughput, telemetry, readers, windows, latency, commands, outbox,
    /// commerce, systems, start or idle
    #[arg(long, value_name = "NAME", value_parser = bench::ALL.map(|(name, _)| name))]
    only: Option<String>,
    /// Events per run for throughput
    #[arg(long, default_value_t = 300_000)]
    events: u64,
    /// Seconds of the runs for latency, commands, commerce and systems
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Events a second of the run for systems
    #[arg(long, default_value_t = 5_000)]
    rate: u64,
    /// Plugins of the runs for starting
    #[arg(long, default_value_t = 100)]
    plugins: u32,
}

fn main() -> Result<()> {
    let Args { only, events, seconds, rate, plugins } = Args::parse();
    let binary = component::binary("release");
    let options = Options { binary, events, seconds, rate, plugins };
    let mut figures = Vec::new();
    for (name, measure) in bench::ALL {
        if only.as_deref().is_none_or(|only| only == name) {
            figures.extend(measure(&options, &mut |line| eprintln!("{line}"))?);
        }
    }
    let path = component::root().join("target/bench/report.json");
    figure::save(&path, &figures, |name| !bench::kafka::owns(name))?;
    print!("{}", figure::table(&figures));
    println!("written to {}", path.display());
    Ok(())
}
