//! Kills two hosts that share their work on a real broker, again and again, while events flow. What
//! is right is decided by the same checker, on what Kafka's own client reads.

mod brokers;
mod hosts;
mod lives;
mod storm;
mod wire;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub use self::brokers::brokers;
use self::hosts::{Hosts, Left};
pub use self::storm::storm;
pub use self::wire::wire;
use super::complaints::Expected;
use super::input::Event;
use super::producer::Pace;
use super::report::{Done, Report};
use super::{Options, Progress, conclude, with_producers};
use crate::support::client::Client;
use crate::support::home::Process;
use crate::support::kafka::witness::Ground;
use crate::support::random::Random;

/// What producers had acknowledged, by topic.
type Sent = BTreeMap<String, Vec<Event>>;

const SCENARIO: &str = "kafka-kills";
/// What a host says when it takes a partition over from a broker that died, or after it stood still
/// itself.
const RESTORING: Expected = Expected {
    parts: &["WARN", "cannot be restored yet; trying again", "E0603"],
    why: "what it asked for had no answer in time; it asks again",
};

/// Kills hosts while events flow, then has both deal with what is left, and reads it.
///
/// An odd seed makes them static members of their groups, an even one does not.
///
/// # Errors
///
/// When a host fails in a way that nobody asked for. What is wrong with events is in the report.
pub fn kills(options: &Options, progress: Progress<'_>) -> Result<Report> {
    run(SCENARIO, options, (Ground::start()?, &[]), |hosts, pace| {
        disturb(options, hosts, pace, progress)
    })
}

/// Runs one scenario on two hosts of this ground, and judges what all came to; `expected` is what
/// the hosts may log. An odd seed makes them static members of their groups, an even one does not.
fn run(
    scenario: &'static str,
    options: &Options,
    (ground, expected): (Ground, &[Expected]),
    disturb: impl FnOnce(&mut Hosts, &Pace) -> Result<(Sent, (Done, Left))>,
) -> Result<Report> {
    let began = Instant::now();
    let is_static = options.seed % 2 == 1;
    let variant = if is_static { " (static members)" } else { " (dynamic members)" };
    let mut hosts = Hosts::new(&options.binary, is_static, ground)?;
    let pace = Pace::new();
    let read = disturb(&mut hosts, &pace)
        .and_then(|(sent, (done, left))| Ok((done, hosts.history(sent, &left, expected)?)));
    match read {
        Ok((done, history)) => {
            let names = (scenario, variant, options.seed);
            Ok(conclude(names, &history, (&pace, began), done, || hosts.keep()))
        }
        Err(error) => {
            Err(error.context(format!("{scenario}: folders are kept: {:?}", hosts.keep())))
        }
    }
}

/// Nothing that is around a host ends it.
fn must_run(running: &mut [(Process, Client)]) -> Result<()> {
    for (process, _) in running {
        if let Some(status) = process.ended(Duration::ZERO)? {
            bail!("a host ended by itself with {status}:\n{}", process.tail());
        }
    }
    Ok(())
}

fn disturb(
    options: &Options,
    hosts: &Hosts,
    pace: &Pace,
    progress: Progress<'_>,
) -> Result<(Sent, (Done, Left))> {
    let Options { events, kills: wanted, .. } = *options;
    let random = Random::new(options.seed);
    pace.allow(events / (wanted + 1));
    with_producers(pace, &random, || {
        let kills = lives::kill(hosts, wanted, (random.fork(100), pace), |kills| {
            let counted = kills.counted();
            pace.allow(events.saturating_mul(counted + 1) / (wanted + 1));
            progress(SCENARIO, counted, wanted, pace.count().published);
        })?;
        pace.allow(events);
        Ok((Done { kills, ..Done::default() }, hosts.finish(pace)?))
    })
}
