//! Measures what event-time windows cost: the same backlog is counted per key and window, and per
//! key alone, by the same plugin in turns.

use anyhow::Result;

use super::figure::{Figure, Target};
use super::throughput::{Backlog, Run, Sign, median, run};
use super::{Options, Progress, scene};
use crate::support::component;

/// Turns; the figures are of their medians.
const ROUNDS: usize = 3;
/// The plugin's subscriptions, each of which counts all events.
const PAIR: [&str; 2] = ["counts", "others"];
/// Length of the windows in milliseconds: a key's events are in one or two of them.
const WINDOW_MS: u64 = 60_000;

/// Takes all runs.
///
/// # Errors
///
/// When a host fails, or does not get on.
pub fn measure(options: &Options, progress: Progress<'_>) -> Result<Vec<Figure>> {
    let (mut plain, mut windowed) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        for (name, window_ms, runs) in
            [("plain", 0, &mut plain), ("windowed", WINDOW_MS, &mut windowed)]
        {
            let label = format!("{name} count, {round} of {ROUNDS}");
            let told = &mut |what: &str| progress(&format!("{label}: {what}"));
            runs.push(counted(options, window_ms, told)?);
        }
    }
    let (without, with) = (median(&plain, Run::rate), median(&windowed, Run::rate));
    let more = median(&windowed, Run::cpu_per_event) - median(&plain, Run::cpu_per_event);
    Ok(vec![
        Figure::new("throughput, windowed count", with, "events/s")
            .aiming(Target::AtLeast(30_000.0))
            .noting(NOTE),
        Figure::new("throughput, plain count", without, "events/s").noting(NOTE),
        Figure::new("windowed count, processor time per event", more, "µs")
            .noting("of the host, beyond that of a plain count"),
    ])
}

const NOTE: &str = "median of three turns, two subscriptions with two topics each, two workers, \
    instances reused; windows of a minute, until every event is counted and durable: results \
    follow when windows are over";

fn counted(options: &Options, window_ms: u64, progress: Progress<'_>) -> Result<Run> {
    let topics = [scene::INPUT, scene::SECOND_INPUT];
    let [first, second] = topics;
    let home = scene::home_with(&options.binary, &[first, second, scene::OUTPUT], "")?;
    home.put("windowed.wasm", &component::guest("windowed")?)?;
    let one = |name: &str| {
        let to = scene::OUTPUT;
        format!(
            "[[subscription]]\nname = \"{name}\"\ntopics = {topics:?}\n\
             limits.instances.reuse = 10000\n\
             [subscription.grants]\nemit = [\"{to}\"]\nstate = true\ntimers = true\n\
             config = {{ to = \"{to}\", window_ms = \"{window_ms}\" }}\n"
        )
    };
    home.put("windowed.toml", PAIR.map(one).concat().as_bytes())?;
    // Each event is counted twice.
    let events = options.events / 2;
    let backlog = Backlog { topics: &topics, subscriptions: &PAIR, events, sign: Sign::NoLag };
    run(&home, &backlog, progress, |_client| Ok(())).map(|(run, ())| run)
}
