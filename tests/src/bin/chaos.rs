//! Runs chaos from the command line and tells what it found. The exit code is 0 when nothing is
//! wrong, 1 when something is, 2 for a bad call.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the terminal is its output")]

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use gristmill_tests::chaos::report::Report;
use gristmill_tests::chaos::{self, Options, Progress};
use gristmill_tests::support::component;
use gristmill_tests::support::random::Random;

/// Kills and disturbs running hosts while events flow, and counts every event.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Args {
    /// Events to publish at least, per scenario
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// Kills that must hit a checkpoint on its way; 0 for none
    #[arg(long, default_value_t = 200)]
    kills: u64,
    /// Versions of the plugin that must come into use while events flow; 0 for none
    #[arg(long, default_value_t = 100)]
    swaps: u64,
    /// Two hosts on Kafka instead of one on the embedded store: kills only
    #[arg(long)]
    kafka: bool,
    /// Two hosts on Kafka behind a network that loses answers: so many commits of which nobody
    /// knows what became of them; nothing else is run then
    #[arg(long, default_value_t = 0, value_name = "COMMITS")]
    wire: u64,
    /// Two hosts on Kafka, of which one comes, leaves, dies or stands still every few seconds: so
    /// many changes; nothing else is run then
    #[arg(long, default_value_t = 0, value_name = "CHANGES")]
    storm: u64,
    /// Two hosts on three brokers, one of which is killed every half minute: so many deaths;
    /// nothing else is run then
    #[arg(long, default_value_t = 0, value_name = "DEATHS")]
    brokers: u64,
    /// Calls of the host that write or sync its store and fail, as on a broken or full disk;
    /// nothing else is run then
    #[arg(long, default_value_t = 0, value_name = "CALLS")]
    disk: u64,
    /// Seed of the input and of the plan; the moment of a signal still varies
    #[arg(long)]
    seed: Option<u64>,
    /// Report as JSON on standard output
    #[arg(long)]
    json: bool,
}

/// A scenario that is run alone.
type Scenario = fn(&Options, Progress<'_>) -> anyhow::Result<Report>;

fn main() -> ExitCode {
    let args = Args::parse();
    let options = Options {
        binary: component::binary("debug"),
        events: args.events,
        kills: args.kills,
        swaps: args.swaps,
        wire: args.wire,
        storm: args.storm,
        brokers: args.brokers,
        disk: args.disk,
        seed: args.seed.unwrap_or_else(|| Random::seed() % 1_000_000),
    };
    match run(&options, &args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: seed {}: {error:#}", options.seed);
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, &Args { json, kafka, .. }: &Args) -> anyhow::Result<bool> {
    let mut reports: Vec<Report> = Vec::new();
    let alone: [(u64, Scenario); 4] = [
        (options.wire, chaos::kafka::wire),
        (options.storm, chaos::kafka::storm),
        (options.brokers, chaos::kafka::brokers),
        (options.disk, chaos::disk::disk),
    ];
    let asked: Vec<_> = alone.into_iter().filter(|(count, _)| *count > 0).collect();
    for (_, scenario) in &asked {
        reports.push(tell(scenario(options, &mut progress)?, json));
    }
    if asked.is_empty() {
        disturb(options, kafka, json, &mut reports)?;
    }
    if json {
        println!("{:#}", reports.iter().map(Report::json).collect::<serde_json::Value>());
    }
    Ok(reports.iter().all(Report::is_clean))
}

fn disturb(
    options: &Options,
    kafka: bool,
    json: bool,
    reports: &mut Vec<Report>,
) -> anyhow::Result<()> {
    if options.kills > 0 {
        let kills = if kafka { chaos::kafka::kills } else { chaos::kills };
        reports.push(tell(kills(options, &mut progress)?, json));
    }
    if options.swaps > 0 && !kafka {
        reports.push(tell(chaos::swaps(options, &mut progress)?, json));
    }
    Ok(())
}

fn tell(report: Report, json: bool) -> Report {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    if !json {
        print!("{report}");
    }
    report
}

/// One line that is written over; in a log, a line every tenth part.
fn progress(scenario: &str, reached: u64, wanted: u64, events: u64) {
    let mut out = std::io::stderr();
    let line = format!("{scenario}: {reached} of {wanted}, {events} events");
    if out.is_terminal() {
        eprint!("\r\x1b[K{line}");
        // Whoever closed the terminal does not miss it.
        drop(out.flush());
    } else if reached > 0 && reached.is_multiple_of((wanted / 10).max(1)) {
        eprintln!("{line}");
    }
}
