//! Measures how fast a backlog is handled and at which price: events per second, processor time,
//! memory. From the first record appended to the output until the last one is visible to a reader
//! of committed records; a runner's own start is told beside it.

use std::time::Duration;

use anyhow::Result;

use super::clock::seconds;
use super::ledger::Ledger;
use super::runner::Runner;
use super::session::Session;
use super::tally::Tally;
use super::writer::Writer;
use super::{Bench, wiring, work};
use crate::bench::Progress;
use crate::bench::process::Others;
use crate::bench::start::mebibytes;

/// Time between two lines while the topics are filled, in events.
const TELL: u64 = 250_000;
/// A record waits so long for others of its batch while the topics are filled.
const LINGER: Duration = Duration::from_millis(20);

/// Fills the source topics, once for all rounds; returns what they are called.
///
/// # Errors
///
/// When the broker does not take the events.
pub fn fill(bench: &Bench<'_>, progress: Progress<'_>) -> Result<Vec<String>> {
    let (events, topics) = (bench.options.events, bench.field.create_sources(&bench.field.name())?);
    let writer = Writer::connect(bench.field.brokers(), LINGER)?;
    let write = |number| {
        let ticket = work::ticket(number);
        let topic = topics.get(ticket.topic).map_or("", String::as_str);
        writer.write(topic, &ticket, None)
    };
    for number in 0..events {
        write(number)?;
        if let Some(before) = work::repeated_after(number) {
            write(before)?;
        }
        if number % TELL == 0 {
            progress(&format!("filling the source topics: {number} of {events} events"));
        }
    }
    writer.flush()?;
    Ok(topics)
}

/// Lets `runner` handle the backlog once.
///
/// # Errors
///
/// When it fails, or what came out is wrong.
pub fn measure(
    bench: &Bench<'_>,
    runner: &dyn Runner,
    ledger: &mut Ledger,
    progress: Progress<'_>,
) -> Result<()> {
    let (options, field) = (bench.options, bench.field);
    let copies = |number| work::copies(number, options.events);
    let expected = (0..options.events).map(|number| runner.repeats().emissions(copies(number)));
    let records: u64 = (0..options.events).map(|number| u64::from(copies(number))).sum();
    let wiring = wiring(field, bench.backlog(progress)?);
    let began = bench.clock.now();
    let tally = Tally::new(expected);
    let mut session = Session::start(field, bench.clock, Some(runner), wiring, tally)?;
    let processes = session.processor().map(super::runner::Processor::id).into_iter();
    let others = Others::beside(&processes.chain(field.process()).collect::<Vec<_>>())?;
    session.wait(runner.name(), progress, |reader, _| reader.missing() == 0)?;
    let others = others.processors()?;
    let ended = session.end()?;
    let (first, last) = (ended.seen.first_append, ended.seen.last());
    let took = seconds(first, last);
    let millions = float(records) / 1e6;
    let cpu = ended.cpu_at(last) - ended.cpu_at(first);
    let memory = ended.usage.map_or(0.0, |usage| mebibytes(usage.memory_peak));
    ledger.add(runner.name(), "throughput", "events/s", float(records) / took);
    ledger.add(runner.name(), "processor time per million events", "s", cpu / millions);
    ledger.add(runner.name(), "peak memory", "MiB", memory);
    ledger.add(runner.name(), "start to first output", "s", seconds(began, first));
    ledger.add(runner.name(), "processor time in all", "s", ended.cpu_at(last));
    ledger.add(runner.name(), "others meanwhile", "processors", others);
    progress(&format!(
        "{}: {:.0} events/s, {:.1} CPU s per million, {memory:.0} MiB",
        runner.name(),
        float(records) / took,
        cpu / millions
    ));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures have three digits")]
fn float(number: u64) -> f64 {
    number as f64
}
