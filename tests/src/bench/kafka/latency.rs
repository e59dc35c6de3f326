//! Measures the time from producing an event to seeing what came of it, at 1,000 events a second:
//! of each runner, and of nothing between producer and reader. A crowd of subscriptions shares the
//! rate, and shows what it takes of the machine.

use std::time::Duration;

use anyhow::Result;

use super::ledger::Ledger;
use super::runner::gristmill::Gristmill;
use super::runner::{Runner, Wiring};
use super::session::{Ended, Session};
use super::tally::Tally;
use super::work::{self, Input};
use super::writer::Writer;
use super::{BARE, Bench, wiring};
use crate::bench::Progress;
use crate::bench::latency::percentile;
use crate::bench::start::mebibytes;

/// Emissions per second.
const RATE: u64 = 1_000;
/// Seconds at the start that are not counted: caches are cold, and Java compiles.
const WARM_UP: u64 = 10;
/// Events that must be through before the clock starts: every partition is assigned then.
const PRIME: u64 = 400;
/// The same for a crowd.
const PRIME_CROWD: u64 = 50;
/// Subscriptions of a crowd.
pub const CROWD: u32 = 100;

/// Sends events through `runner`, or past all when there is none.
///
/// # Errors
///
/// When it fails, or what came out is wrong.
pub fn measure(
    bench: &Bench<'_>,
    runner: Option<&dyn Runner>,
    ledger: &mut Ledger,
    progress: Progress<'_>,
) -> Result<()> {
    let name = runner.map_or(BARE, Runner::name);
    let wiring = wiring(bench.field, Vec::new());
    let run = Run { bench, runner, wiring, times: 1 };
    let (mut latencies, _, late) = run.take(name, progress)?;
    let (p50, p99) = (percentile(&mut latencies, 50), percentile(&mut latencies, 99));
    ledger.add(name, "latency p50", "ms", p50);
    ledger.add(name, "latency p99", "ms", p99);
    ledger.add(name, "latency worst", "ms", percentile(&mut latencies, 100));
    ledger.add(name, "producer late", "ms", late.as_secs_f64() * 1e3);
    progress(&format!("{name}: p50 {p50:.1} ms, p99 {p99:.1} ms"));
    Ok(())
}

/// Sends events through a host with many subscriptions, each of which handles every event.
///
/// # Errors
///
/// When the host fails, or what came out is wrong.
pub fn measure_crowd(
    bench: &Bench<'_>,
    runner: &Gristmill,
    ledger: &mut Ledger,
    progress: Progress<'_>,
) -> Result<()> {
    let wiring = wiring(bench.field, Vec::new());
    let run = Run { bench, runner: Some(runner), wiring, times: u16::try_from(CROWD)? };
    let (mut latencies, ended, _) = run.take(runner.name(), progress)?;
    for (quantity, share) in [("latency p50", 50), ("latency p99", 99)] {
        ledger.add(runner.name(), quantity, "ms", percentile(&mut latencies, share));
    }
    if let Some(usage) = ended.usage {
        let threads = f64::from(u32::try_from(usage.threads)?);
        ledger.add(runner.name(), "threads", "", threads);
        ledger.add(runner.name(), "peak memory", "MiB", mebibytes(usage.memory_peak));
    }
    Ok(())
}

struct Run<'a> {
    bench: &'a Bench<'a>,
    runner: Option<&'a dyn Runner>,
    wiring: Wiring,
    /// Emissions about each event.
    times: u16,
}

impl Run<'_> {
    /// Latency of each emission that counts in nanoseconds, what was used, and how late the
    /// producer ever was.
    fn take(mut self, name: &str, progress: Progress<'_>) -> Result<(Vec<u64>, Ended, Duration)> {
        let (bench, times) = (self.bench, self.times);
        let rate = RATE / u64::from(times);
        let prime = if times == 1 { PRIME } else { PRIME_CROWD };
        let warm_up = rate * WARM_UP;
        let count = warm_up + rate * bench.options.seconds;
        if self.runner.is_some() {
            self.wiring.sources = bench.field.create_sources(&self.wiring.name)?;
        }
        let writer = Writer::connect(bench.field.brokers(), Duration::ZERO)?;
        let targets = self.targets();
        let tally = Tally::new((0..prime + count).map(|_| times..=times));
        let mut session =
            Session::start(bench.field, bench.clock, self.runner, self.wiring, tally)?;
        for number in 0..prime {
            targets.write(&writer, number)?;
        }
        writer.flush()?;
        let primed = prime * u64::from(times);
        session.wait(name, progress, |reader, _| reader.count() >= primed)?;
        progress(&format!("{name}: {rate} events/s for {} s", WARM_UP + bench.options.seconds));
        let (moments, late) = writer.pace(bench.clock, rate, count, |writer, number| {
            targets.write(writer, prime + number)
        })?;
        session.wait(name, progress, |reader, _| reader.missing() == 0)?;
        let ended = session.end()?;
        let counted = ended.seen.arrivals.iter().filter_map(|(number, visible)| {
            let place = number.checked_sub(prime)?;
            let sent = moments.get(usize::try_from(place).ok()?)?;
            (place >= warm_up).then(|| visible.saturating_sub(*sent))
        });
        Ok((counted.collect(), ended, late))
    }

    /// Where events are written: to the sources of a runner, or straight to what is read.
    fn targets(&self) -> Targets {
        if self.runner.is_some() {
            return Targets { topics: self.wiring.sources.clone(), is_output: false };
        }
        let topics = work::TOPICS.map(|_| self.wiring.output.clone()).to_vec();
        Targets { topics, is_output: true }
    }
}

struct Targets {
    topics: Vec<String>,
    is_output: bool,
}

impl Targets {
    fn write(&self, writer: &Writer, number: u64) -> Result<()> {
        let ticket: Input = work::ticket(number);
        let topic = self.topics.get(ticket.topic).map_or("", String::as_str);
        writer.write(topic, &ticket, self.is_output.then_some("bare"))
    }
}
