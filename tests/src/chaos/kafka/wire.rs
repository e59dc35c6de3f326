//! Two hosts that share their work, behind a network that loses answers, falls silent and has
//! requests come late: most of all those by which transactions are committed. Nobody is killed.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::hosts::{Hosts, Left};
use super::{must_run, run};
use crate::chaos::complaints::Expected;
use crate::chaos::producer::Pace;
use crate::chaos::report::{Done, Report};
use crate::chaos::{Options, Progress, with_producers};
use crate::support::kafka::Cluster;
use crate::support::kafka::meddler::{self, Fault, Meddler, Rates};
use crate::support::kafka::witness::Ground;
use crate::support::random::Random;

const SCENARIO: &str = "kafka-wire";
/// One commit in four ends so that nobody knows of it; one request in a thousand is disturbed.
const RATES: Rates = Rates { ends: 250, others: 1 };
/// Time between two looks at how many there were.
const LOOK: Duration = Duration::from_millis(100);
/// A network on which no commit is disturbed for so long has none: hosts stand still.
const STUCK: Duration = Duration::from_mins(2);
/// What hosts rightly say of such a network.
const EXPECTED: [Expected; 0] = [];

/// Disturbs commits until so many were, then lets hosts deal with what is left.
///
/// # Errors
///
/// When a host ends by itself or stands still. What is wrong with events is in the report.
pub fn wire(options: &Options, progress: Progress<'_>) -> Result<Report> {
    let (cluster, meddler) = Cluster::meddled(options.seed)?;
    let ground = Ground::of(cluster)?;
    run(SCENARIO, options, (ground, &EXPECTED), |hosts, pace| {
        with_producers(pace, &Random::new(options.seed), || {
            disturb(options, (hosts, &meddler), pace, progress)
        })
    })
}

fn disturb(
    options: &Options,
    (hosts, meddler): (&Hosts, &Meddler),
    pace: &Pace,
    progress: Progress<'_>,
) -> Result<(Done, Left)> {
    let mut running = hosts.start(pace)?;
    meddler.meddle(Some(RATES));
    let (mut reached, mut since) = (0, Instant::now());
    while reached < options.wire {
        thread::sleep(LOOK);
        must_run(&mut running)?;
        let now = meddler.done().commits.values().sum();
        if now > reached {
            (reached, since) = (now, Instant::now());
            progress(SCENARIO, reached.min(options.wire), options.wire, pace.count().published);
        }
        if since.elapsed() > STUCK {
            bail!("no commit was disturbed for {STUCK:?}, after {reached}");
        }
        pace.allow(options.events.saturating_mul(reached + 1) / (options.wire + 1));
    }
    meddler.meddle(None);
    let healed = Instant::now();
    pace.allow(options.events);
    let left = hosts.end(running, pace)?;
    let faults = told(&meddler.done());
    Ok((Done { faults, recovered: Some(healed.elapsed()), ..Done::default() }, left))
}

fn told(done: &meddler::Done) -> BTreeMap<String, u64> {
    let of = |what: &str, faults: &BTreeMap<Fault, u64>| {
        let told =
            faults.iter().map(|(fault, count)| (format!("{what}: {}", fault.word()), *count));
        told.collect::<Vec<_>>()
    };
    let mut told = of("commits of which nobody knew", &done.commits);
    told.extend(of("other requests", &done.others));
    told.into_iter().collect()
}
