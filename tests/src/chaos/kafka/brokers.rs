//! Two hosts on three brokers, one of which dies every half minute: leaders, coordinators of groups
//! and of transactions among them. Nobody kills a host.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::hosts::{Hosts, Left};
use super::{RESTORING, must_run, run};
use crate::chaos::complaints::Expected;
use crate::chaos::producer::Pace;
use crate::chaos::report::{Done, Report};
use crate::chaos::{Options, Progress, with_producers};
use crate::support::client::Client;
use crate::support::home::Process;
use crate::support::kafka::Cluster;
use crate::support::kafka::witness::Ground;
use crate::support::random::Random;

const SCENARIO: &str = "kafka-brokers";
const BROKERS: u32 = 3;
/// Time between two deaths.
const BETWEEN: Duration = Duration::from_secs(30);
/// A dead broker stays away for so many milliseconds.
const AWAY: [u64; 2] = [0, 12_000];
/// Time between two looks at hosts.
const LOOK: Duration = Duration::from_millis(200);
/// What hosts rightly say of such brokers.
const EXPECTED: [Expected; 1] = [RESTORING];

/// Kills brokers, then has hosts deal with what is left.
///
/// # Errors
///
/// When a host ends by itself. What is wrong with events is in the report.
pub fn brokers(options: &Options, progress: Progress<'_>) -> Result<Report> {
    let ground = Ground::of(Cluster::start(BROKERS)?)?;
    run(SCENARIO, options, (ground, &EXPECTED), |hosts, pace| {
        let random = Random::new(options.seed);
        with_producers(pace, &random, || {
            disturb(options, hosts, (random.fork(100), pace), progress)
        })
    })
}

fn disturb(
    options: &Options,
    hosts: &mut Hosts,
    (mut random, pace): (Random, &Pace),
    progress: Progress<'_>,
) -> Result<(Done, Left)> {
    let mut running = hosts.start(pace)?;
    let mut deaths = BTreeMap::new();
    for number in 0..options.brokers {
        pace.allow(options.events.saturating_mul(number + 1) / (options.brokers + 1));
        let began = Instant::now();
        let id = u32::try_from(random.within(1..=u64::from(BROKERS)))?;
        hosts.cluster().broker(id)?.kill()?;
        watch(&mut running, Duration::from_millis(random.within(AWAY[0]..=AWAY[1])))?;
        hosts.cluster().broker(id)?.start()?;
        *deaths.entry(format!("deaths of broker {id}")).or_default() += 1;
        progress(SCENARIO, number + 1, options.brokers, pace.count().published);
        watch(&mut running, BETWEEN.saturating_sub(began.elapsed()))?;
    }
    let calm = Instant::now();
    pace.allow(options.events);
    let left = hosts.end(running, pace)?;
    Ok((Done { faults: deaths, recovered: Some(calm.elapsed()), ..Done::default() }, left))
}

/// Lets time pass in which hosts must run.
fn watch(running: &mut [(Process, Client)], time: Duration) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < time {
        must_run(running)?;
        thread::sleep(LOOK);
    }
    must_run(running)
}
