//! Measures Gristmill on Kafka beside its peers from the command line, shows tables and adds the
//! figures to `target/bench/report.json`. It fails when something is wrong, never because it is
//! slow.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the terminal is its output")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use gristmill_tests::bench::figure;
use gristmill_tests::bench::kafka::{self, Options, verdict};
use gristmill_tests::support::component;

/// Measures Gristmill, a plain loop, Kafka Streams and the parallel consumer on one broker.
#[derive(Debug, Parser)]
#[command(name = "bench-kafka")]
struct Args {
    /// Events of the backlog
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Seconds of a run for latency
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Events that are waited for, by key
    #[arg(long, default_value_t = 10_000)]
    waits: u64,
    /// Rounds, of which the middle one counts
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// A measurement (throughput, latency, waits, crowd, commerce) or the beginning of a runner's
    /// name (gristmill, loop, streams, parallel-consumer, bare); may be given more than once
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Brokers that are there, on a clock shared with this machine; else one is started
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
    /// Milliseconds by which a request to the started broker takes longer, as on a network
    #[arg(long, value_name = "MS", default_value_t = 0, conflicts_with = "brokers")]
    delay: u64,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-kafka: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing failed.
fn run(args: Args) -> Result<bool> {
    let Args { events, seconds, waits, rounds, only, brokers, delay } = args;
    let delay = Duration::from_millis(delay);
    let options = Options { brokers, events, seconds, waits, rounds, only, delay };
    let began = Instant::now();
    let outcome = kafka::run(&options, &mut |line| {
        eprintln!("{:>5} s  {line}", began.elapsed().as_secs());
    })?;
    let mut figures = Vec::new();
    for (name, ledger) in &outcome.ledgers {
        println!("{name}, median of {rounds}:\n{}", ledger.table());
        figures.extend(ledger.figures());
    }
    let verdicts = verdict::figures(&outcome.ledgers);
    print!("{}", figure::table(&verdicts));
    figures.extend(verdicts);
    let path = component::root().join("target/bench/report.json");
    figure::save(&path, &figures, kafka::owns)?;
    println!("written to {}", path.display());
    for failure in &outcome.failures {
        println!("FAILED {failure}");
    }
    Ok(outcome.failures.is_empty())
}
