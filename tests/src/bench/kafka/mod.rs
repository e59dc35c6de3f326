//! Measures Gristmill on Kafka beside what else does the same work there, in one run, on one
//! broker, in turns. What is slow is told and fails nothing; what is wrong ends the run.

pub mod clock;
pub mod field;
pub mod latency;
pub mod ledger;
pub mod orders;
pub mod reader;
pub mod runner;
pub mod session;
pub mod tally;
pub mod throughput;
pub mod usage;
pub mod verdict;
pub mod waits;
pub mod work;
pub mod writer;

use std::cell::OnceCell;
use std::time::Duration;

use anyhow::{Result, bail};

use self::clock::Clock;
use self::field::Field;
use self::ledger::Ledger;
use self::runner::gristmill::Gristmill;
use self::runner::java::{Parallel, Streams};
use self::runner::plain::Plain;
use self::runner::{Runner, Wiring};
use super::Progress;

/// What is measured, in this order within a round.
pub const MEASUREMENTS: [&str; 5] = ["throughput", "latency", "waits", "crowd", "commerce"];
/// The name of no runner at all: what is produced is consumed.
pub const BARE: &str = "bare";

/// What to measure, and how much of it.
#[derive(Debug, Clone)]
pub struct Options {
    /// `bootstrap.servers` of a broker that is there; none to start one.
    pub brokers: Option<String>,
    /// By how much a request to the broker that is started takes longer, as on a network.
    pub delay: Duration,
    /// Events of the backlog, of which one in a thousand comes twice.
    pub events: u64,
    /// Seconds of a run for latency.
    pub seconds: u64,
    /// Events that are waited for.
    pub waits: u64,
    /// Rounds, of which the middle one counts.
    pub rounds: u32,
    /// Measurements and beginnings of runners' names; all of the kind that is not mentioned.
    pub only: Vec<String>,
}

/// What all measurements of a run share.
#[derive(Debug)]
pub struct Bench<'a> {
    /// What to measure.
    pub options: &'a Options,
    /// Where.
    pub field: &'a Field,
    /// The clock of all moments.
    pub clock: Clock,
    backlog: OnceCell<Vec<String>>,
}

impl Bench<'_> {
    /// The filled source topics, which all rounds read.
    ///
    /// # Errors
    ///
    /// When they cannot be filled.
    pub fn backlog(&self, progress: Progress<'_>) -> Result<Vec<String>> {
        if let Some(topics) = self.backlog.get() {
            return Ok(topics.clone());
        }
        let topics = throughput::fill(self, progress)?;
        Ok(self.backlog.get_or_init(|| topics).clone())
    }
}

/// Whether a figure of that name is measured here.
pub fn owns(name: &str) -> bool {
    name.starts_with("kafka, ")
}

/// What a run found.
#[derive(Debug)]
pub struct Outcome {
    /// Everything measured, by measurement.
    pub ledgers: Vec<(&'static str, Ledger)>,
    /// Who failed at what, and why. Nothing that was measured of them there counts.
    pub failures: Vec<String>,
}

/// Takes all rounds. A runner that fails, or emits what it should not, is measured no more.
///
/// # Errors
///
/// When there is no broker, or nothing is called as `only` says.
pub fn run(options: &Options, progress: Progress<'_>) -> Result<Outcome> {
    let mut plans = plans(options)?;
    progress("starting the broker");
    let field = Field::open(options.brokers.as_deref(), options.delay)?;
    let bench = Bench { options, field: &field, clock: Clock::start(), backlog: OnceCell::new() };
    let mut ledgers: Vec<_> = plans.iter().map(|plan| (plan.name, Ledger::default())).collect();
    warm_up(&bench, &plans, progress)?;
    let mut failures = Vec::new();
    for round in 1..=options.rounds {
        for (plan, (name, ledger)) in plans.iter_mut().zip(&mut ledgers) {
            progress(&format!("round {round} of {}: {name}", options.rounds));
            if round > 1 && !plan.entries.is_empty() {
                // Nobody comes first, or after the same neighbour, every time.
                plan.entries.rotate_left(1);
            }
            plan.entries.retain(|entry| {
                let Err(error) = entry.measure(&bench, ledger, progress) else { return true };
                ledger.forget(entry.name());
                let failure = format!("{name} of {}: {error:#}", entry.name());
                progress(&format!("FAILED {failure}"));
                failures.push(failure);
                false
            });
        }
    }
    if let Some(topics) = bench.backlog.get() {
        let name = topics.first().and_then(|topic| topic.strip_suffix(work::TOPICS[0]));
        field.clear(name.map_or("", |name| name.trim_end_matches('-')))?;
    }
    Ok(Outcome { ledgers, failures })
}

/// Lets the broker do what will be measured once before anything is: whoever came first would pay
/// for what its JVM compiles as it works.
fn warm_up(bench: &Bench<'_>, plans: &[Plan], progress: Progress<'_>) -> Result<()> {
    let mut ignored = Ledger::default();
    let planned = |names: &[&str]| plans.iter().any(|plan| names.contains(&plan.name));
    if planned(&["throughput"]) {
        progress("warming the broker up: a backlog");
        throughput::measure(bench, &Plain::ExactlyOnce, &mut ignored, progress)?;
    }
    if planned(&["latency", "crowd"]) {
        progress("warming the broker up: many transactions");
        latency::measure(bench, Some(&Plain::ExactlyOnce), &mut ignored, progress)?;
        latency::measure(bench, Some(&Gristmill::reused()), &mut ignored, progress)?;
    }
    Ok(())
}

/// Where a runner of a new name reads and writes.
fn wiring(field: &Field, sources: Vec<String>) -> Wiring {
    let name = field.name();
    let output = format!("{name}-{}", work::OUTPUT);
    Wiring { name, brokers: field.brokers().to_owned(), sources, output }
}

/// What is measured of whom.
struct Plan {
    name: &'static str,
    entries: Vec<Entry>,
}

/// One measurement of one runner.
enum Entry {
    Throughput(Box<dyn Runner>),
    Latency(Box<dyn Runner>),
    Bare,
    Waits(Box<dyn Runner>),
    SilentWaits(Parallel),
    Crowd(Gristmill),
    Commerce,
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::Throughput(runner) | Self::Latency(runner) | Self::Waits(runner) => runner.name(),
            Self::Bare => BARE,
            Self::SilentWaits(runner) => runner.name(),
            Self::Crowd(runner) => runner.name(),
            Self::Commerce => orders::NAME,
        }
    }

    fn measure(
        &self,
        bench: &Bench<'_>,
        ledger: &mut Ledger,
        progress: Progress<'_>,
    ) -> Result<()> {
        match self {
            Self::Throughput(runner) => throughput::measure(bench, &**runner, ledger, progress),
            Self::Latency(runner) => latency::measure(bench, Some(&**runner), ledger, progress),
            Self::Bare => latency::measure(bench, None, ledger, progress),
            Self::Waits(runner) => waits::measure(bench, &**runner, false, ledger, progress),
            Self::SilentWaits(runner) => waits::measure(bench, runner, true, ledger, progress),
            Self::Crowd(runner) => latency::measure_crowd(bench, runner, ledger, progress),
            Self::Commerce => orders::measure(bench, ledger, progress),
        }
    }
}

/// Everything, less what `only` leaves out.
fn plans(options: &Options) -> Result<Vec<Plan>> {
    let mut plans: Vec<_> =
        MEASUREMENTS.iter().map(|name| Plan { name, entries: entries(name, options) }).collect();
    let (measurements, runners): (Vec<_>, Vec<_>) =
        options.only.iter().partition(|word| MEASUREMENTS.contains(&word.as_str()));
    for word in &runners {
        let known = |entry: &Entry| entry.name().starts_with(word.as_str());
        if !plans.iter().any(|plan| plan.entries.iter().any(known)) {
            let of = MEASUREMENTS.join(", ");
            bail!("neither a measurement ({of}) nor a runner's name begins with {word:?}");
        }
    }
    plans.retain(|plan| measurements.is_empty() || measurements.iter().any(|it| *it == plan.name));
    for plan in &mut plans {
        plan.entries.retain(|entry| {
            runners.is_empty() || runners.iter().any(|word| entry.name().starts_with(*word))
        });
    }
    plans.retain(|plan| !plan.entries.is_empty());
    Ok(plans)
}

fn entries(measurement: &str, options: &Options) -> Vec<Entry> {
    match measurement {
        "throughput" => ticketing().into_iter().map(Entry::Throughput).collect(),
        "latency" => {
            let all = ticketing().into_iter().map(Entry::Latency);
            std::iter::once(Entry::Bare).chain(all).collect()
        }
        "waits" => {
            let of = |in_flight| {
                [
                    Entry::Waits(Box::new(Gristmill::waits(in_flight))),
                    Entry::Waits(Box::new(Parallel::emitting(in_flight))),
                    Entry::SilentWaits(waits::silent(options, in_flight)),
                ]
            };
            waits::IN_FLIGHT.into_iter().flat_map(of).collect()
        }
        "crowd" => vec![Entry::Crowd(Gristmill::crowd(latency::CROWD))],
        _ => vec![Entry::Commerce],
    }
}

/// Who does the ticketing work.
fn ticketing() -> Vec<Box<dyn Runner>> {
    vec![
        Box::new(Gristmill::reused()),
        Box::new(Gristmill::fresh()),
        Box::new(Gristmill::at_least_once()),
        Box::new(Plain::ExactlyOnce),
        Box::new(Plain::AtLeastOnce),
        Box::new(Streams::new(true, 100)),
        Box::new(Streams::new(false, 100)),
        Box::new(Streams::new(true, 10)),
        Box::new(Streams::new(false, 10)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(only: &[&str]) -> Result<Vec<String>> {
        let only = only.iter().map(|word| (*word).to_owned()).collect();
        let options = Options {
            brokers: None,
            delay: Duration::ZERO,
            events: 1,
            seconds: 1,
            waits: 1,
            rounds: 1,
            only,
        };
        let name = |plan: &Plan| format!("{} of {}", plan.name, plan.entries.len());
        Ok(plans(&options)?.iter().map(name).collect())
    }

    #[test]
    fn only_names_measurements_and_runners() {
        for (only, expected) in [
            (
                &[][..],
                &["throughput of 9", "latency of 10", "waits of 6", "crowd of 1", "commerce of 1"]
                    [..],
            ),
            (&["latency"], &["latency of 10"]),
            (&["streams"], &["throughput of 4", "latency of 4"]),
            (&["throughput", "streams, dedupe", "loop"], &["throughput of 4"]),
            (&["bare"], &["latency of 1"]),
        ] {
            assert_eq!(planned(only).unwrap(), expected, "{only:?}");
        }
        assert!(planned(&["stream", "flink"]).is_err());
    }
}
