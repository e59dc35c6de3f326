//! Kills a host again and again while checkpoints are on their way, and counts the kills that hit
//! one. A kill between two checkpoints proves little, so it does not count.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::producer::Pace;
use super::world::World;
use crate::support::home::{self, Process};
use crate::support::random::Random;

/// Steps of a commit that a host can be made to end at, in order.
pub const STEPS: [&str; 5] = ["built", "synced", "noted", "published", "told"];
/// A commit that is on its way has come to one of these, and not further.
const ON_ITS_WAY: [&str; 4] = ["built", "synced", "noted", "published"];
/// A failpoint is reached the first time, or up to so many times later.
const TIMES_MAX: u64 = 30;
/// A failpoint that is not reached within this time is not worth waiting for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest life of a host between readiness and SIGKILL, in microseconds.
const LIFE_MAX: u64 = 150_000;
/// Every so many lives the plugin is replaced while the host runs.
const UPGRADE_EVERY: u64 = 8;

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// How a host is to end.
#[derive(Debug, Clone, Copy)]
enum Plan {
    /// By itself, when it reaches this step for this time.
    Failpoint(&'static str, u64),
    /// By SIGKILL, so many microseconds after it was ready.
    Signal(u64),
}

/// What was done to the host.
#[derive(Debug, Default, Clone)]
pub struct Kills {
    /// Counted, by failpoint.
    pub failpoints: BTreeMap<&'static str, u64>,
    /// Counted, by SIGKILL, by the step the commit had come to.
    pub signals: BTreeMap<String, u64>,
    /// Not counted: no commit was on its way.
    pub missed: u64,
    /// Hosts that were killed before they were ready.
    pub early: u64,
    /// Times the plugin was replaced.
    pub upgrades: u64,
}

impl Kills {
    /// Kills that count.
    pub fn counted(&self) -> u64 {
        self.failpoints.values().sum::<u64>() + self.signals.values().sum::<u64>()
    }
}

/// Kills hosts of `world` until `wanted` kills count; calls `progress` after each life.
///
/// # Errors
///
/// When a host does not start, or ends in a way nobody asked for.
pub fn kill(
    world: &World,
    wanted: u64,
    (mut random, pace): (Random, &Pace),
    mut progress: impl FnMut(&Kills),
) -> Result<Kills> {
    let mut kills = Kills::default();
    let mut lives = 0;
    while kills.counted() < wanted {
        lives += 1;
        let plan = if random.per_mille(500) {
            let step = usize::try_from(random.within(0..=4)).unwrap_or(0);
            Plan::Failpoint(STEPS[step], random.within(1..=TIMES_MAX))
        } else {
            Plan::Signal(random.within(0..=LIFE_MAX))
        };
        let upgrade = (lives % UPGRADE_EVERY == 0).then_some(lives / UPGRADE_EVERY);
        let mut life = Life { world, pace, kills: &mut kills };
        life.live(plan, upgrade)?;
        progress(&kills);
    }
    Ok(kills)
}

struct Life<'a> {
    world: &'a World,
    pace: &'a Pace,
    kills: &'a mut Kills,
}

impl Life<'_> {
    fn live(&mut self, plan: Plan, upgrade: Option<u64>) -> Result<()> {
        let path = self.step_file();
        drop(home::empty(&path)?);
        let mut variables = vec![("GRISTMILL_STEP_FILE", path.display().to_string())];
        if let Plan::Failpoint(step, count) = plan {
            variables.push(("GRISTMILL_FAILPOINT", format!("{step}:{count}")));
        }
        let mut process = self.world.home.start(&variables)?;
        let client = process.ready()?;
        if client.is_none() {
            self.kills.early += 1;
        }
        if let (Some(number), true) = (upgrade, client.is_some()) {
            self.world.deploy(number)?;
            self.kills.upgrades += 1;
        }
        self.pace.connect(client);
        let status = match plan {
            Plan::Failpoint(..) => match process.ended(PATIENCE)? {
                Some(status) => status,
                None => process.kill()?,
            },
            Plan::Signal(after) => {
                thread::sleep(Duration::from_micros(after));
                process.kill()?
            }
        };
        self.pace.connect(None);
        self.count(plan, status, &process)
    }

    fn count(&mut self, plan: Plan, status: ExitStatus, process: &Process) -> Result<()> {
        let step = self.last_step()?;
        match (plan, status.signal()) {
            (Plan::Failpoint(wanted, _), Some(SIGABRT)) if step == Some(wanted) => {
                *self.kills.failpoints.entry(wanted).or_default() += 1;
            }
            (_, Some(SIGKILL)) => match step.filter(|step| ON_ITS_WAY.contains(step)) {
                Some(step) => *self.kills.signals.entry(step.to_owned()).or_default() += 1,
                None => self.kills.missed += 1,
            },
            _ => bail!("the host ended by itself with {status}:\n{}", process.tail()),
        }
        Ok(())
    }

    /// The step the last commit came to; none if there was no commit.
    fn last_step(&self) -> Result<Option<&'static str>> {
        let path = self.step_file();
        let told = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let step = |byte: &u8| STEPS.into_iter().find(|step| step.as_bytes().first() == Some(byte));
        Ok(told.first().and_then(step))
    }

    fn step_file(&self) -> PathBuf {
        self.world.home.path().join("step")
    }
}
