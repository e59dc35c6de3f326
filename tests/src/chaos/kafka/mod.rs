//! Kills two hosts that share their work on a real broker, again and again, while events flow. What
//! is right is decided by the same checker, on what Kafka's own client reads.

mod hosts;
mod lives;
mod wire;

use std::time::Instant;

use anyhow::Result;

use self::hosts::Hosts;
pub use self::wire::wire;
use super::check::History;
use super::producer::Pace;
use super::report::{Done, Report};
use super::{Options, Progress, conclude, with_producers};
use crate::support::kafka::witness::Ground;
use crate::support::random::Random;

const SCENARIO: &str = "kafka-kills";

/// Kills hosts while events flow, then has both deal with what is left, and reads it.
///
/// An odd seed makes them static members of their groups, an even one does not.
///
/// # Errors
///
/// When a host fails in a way that nobody asked for. What is wrong with events is in the report.
pub fn kills(options: &Options, progress: Progress<'_>) -> Result<Report> {
    let began = Instant::now();
    let is_static = options.seed % 2 == 1;
    let variant = if is_static { " (static members)" } else { " (dynamic members)" };
    let hosts = Hosts::new(&options.binary, is_static, Ground::start()?)?;
    let pace = Pace::new();
    match disturb(options, &hosts, &pace, progress) {
        Ok((done, history)) => {
            let names = (SCENARIO, variant, options.seed);
            Ok(conclude(names, &history, (&pace, began), done, || hosts.keep()))
        }
        Err(error) => {
            Err(error.context(format!("{SCENARIO}: folders are kept: {:?}", hosts.keep())))
        }
    }
}

fn disturb(
    options: &Options,
    hosts: &Hosts,
    pace: &Pace,
    progress: Progress<'_>,
) -> Result<(Done, History)> {
    let Options { events, kills: wanted, .. } = *options;
    let random = Random::new(options.seed);
    pace.allow(events / (wanted + 1));
    let (sent, (kills, left)) = with_producers(pace, &random, || {
        let kills = lives::kill(hosts, wanted, (random.fork(100), pace), |kills| {
            let counted = kills.counted();
            pace.allow(events.saturating_mul(counted + 1) / (wanted + 1));
            progress(SCENARIO, counted, wanted, pace.count().published);
        })?;
        pace.allow(events);
        Ok((kills, hosts.finish(pace)?))
    })?;
    Ok((Done { kills, ..Done::default() }, hosts.history(sent, &left, &[])?))
}
