//! Measures a workload that waits: 10,000 events of 1,000 keys on one partition, each 0 to 5 ms,
//! so many at once, each key in its order. From the first event produced to the last emission
//! visible, with a runner that already runs.

use std::time::Duration;

use anyhow::{Context, Result};

use super::clock::seconds;
use super::ledger::Ledger;
use super::runner::java::Parallel;
use super::runner::{Processor, Runner};
use super::session::Session;
use super::tally::Tally;
use super::writer::Writer;
use super::{Bench, Options, Wiring, wiring, work};
use crate::bench::Progress;
use crate::bench::start::mebibytes;

/// Events that must be handled before the clock starts.
pub const PRIME: u64 = 400;
/// Attempts at once, for which figures of others are known.
pub const IN_FLIGHT: [u32; 2] = [16, 100];
/// How long the producer waits for a batch: all events are there before the first is handled.
const LINGER: Duration = Duration::from_millis(1);
/// The line that a silent peer tells about its events: how many, and when it had handled them.
const HANDLED: &str = "handled";

/// The peer that emits nothing and is so given every advantage.
pub fn silent(options: &Options, in_flight: u32) -> Parallel {
    Parallel::silent(in_flight, &[PRIME, PRIME + options.waits])
}

/// Lets `runner` handle all events once.
///
/// # Errors
///
/// When it fails, or what came out is wrong.
pub fn measure(
    bench: &Bench<'_>,
    runner: &dyn Runner,
    is_silent: bool,
    ledger: &mut Ledger,
    progress: Progress<'_>,
) -> Result<()> {
    let (waits, name) = (bench.options.waits, runner.name());
    let source = bench.field.name() + "-waits";
    bench.field.create(&source, 1)?;
    let all = PRIME + waits;
    let expected = if is_silent { 0 } else { all };
    let tally = Tally::new((0..expected).map(|_| 1..=1));
    let wiring: Wiring = wiring(bench.field, vec![source.clone()]);
    let mut session = Session::start(bench.field, bench.clock, Some(runner), wiring, tally)?;
    let writer = Writer::connect(bench.field.brokers(), LINGER)?;
    let write = |numbers| -> Result<()> {
        for number in numbers {
            writer.write(&source, &work::wait(number), None)?;
        }
        writer.flush()
    };
    write(0..PRIME)?;
    session.wait(name, progress, |reader, processor| match processor {
        Some(processor) if is_silent => handled(processor, PRIME).is_some(),
        _ => reader.count() >= PRIME,
    })?;
    let before = session.processor().map(|it| super::usage::Usage::of(it.id())).transpose()?;
    let began = bench.clock.now();
    write(PRIME..all)?;
    session.wait(name, progress, |reader, processor| match processor {
        Some(processor) if is_silent => handled(processor, all).is_some(),
        _ => reader.missing() == 0,
    })?;
    let told = session.processor().and_then(|processor| handled(processor, all));
    let ended = session.end()?;
    bench.field.clear(source.trim_end_matches("-waits"))?;
    let last =
        if is_silent { told.context("it told when it was done")? } else { ended.seen.last() };
    let took = seconds(began, last);
    ledger.add(name, "waits handled in", "s", took);
    if let (Some(usage), Some(before)) = (ended.usage, before) {
        ledger.add(name, "processor time", "s", usage.cpu - before.cpu);
        ledger.add(name, "peak memory", "MiB", mebibytes(usage.memory_peak));
        ledger.add(name, "threads", "", f64::from(u32::try_from(usage.threads)?));
    }
    progress(&format!("{name}: {took:.2} s"));
    Ok(())
}

/// When a silent peer had handled `count` events, once it says so.
fn handled(processor: &Processor, count: u64) -> Option<u64> {
    let said = processor.said();
    let lines = said.lines().filter_map(|line| line.strip_prefix(HANDLED)?.split_once(" at "));
    let mut found = lines.filter(|(of, _)| of.trim().parse() == Ok(count));
    found.next_back().and_then(|(_, moment)| moment.trim().parse().ok())
}
