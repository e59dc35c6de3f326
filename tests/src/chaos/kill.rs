//! Kills a host again and again while checkpoints are on their way, and counts the kills that hit
//! one. A kill between two checkpoints proves little, so it does not count.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;

use super::producer::Pace;
use super::steps;
use super::world::World;
use crate::support::home::{self, Process};
use crate::support::random::Random;

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
    pub signals: BTreeMap<&'static str, u64>,
    /// Not counted: no commit was on its way.
    pub missed: u64,
    /// Hosts that were killed before they were ready.
    pub early: u64,
    /// Times the plugin was replaced.
    pub upgrades: u64,
    /// What else was done where hosts share their work.
    pub shared: Shared,
}

/// What was done to hosts that share their work, beside killing them. All zero for one host.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub struct Shared {
    /// Hosts killed because the other was, at the same moment.
    pub with_the_other: u64,
    /// Data directories that were deleted before a host came back.
    pub deleted: u64,
    /// Hosts that stayed away until the other had to take their work over.
    pub away: u64,
}

impl Kills {
    /// Kills that count.
    pub fn counted(&self) -> u64 {
        self.failpoints.values().sum::<u64>() + self.signals.values().sum::<u64>()
    }

    /// Notes how a host ended, whose last step was `step`; `reached` is the failpoint that it says
    /// it ended at. False when it ended in a way nobody asked for.
    #[must_use]
    pub fn note(
        &mut self,
        status: ExitStatus,
        reached: Option<&'static str>,
        step: Option<&'static str>,
    ) -> bool {
        match (status.signal(), reached) {
            (Some(SIGABRT), Some(reached)) => *self.failpoints.entry(reached).or_default() += 1,
            (Some(SIGKILL), _) => match step.filter(|step| steps::is_on_its_way(step)) {
                Some(step) => *self.signals.entry(step).or_default() += 1,
                None => self.missed += 1,
            },
            _ => return false,
        }
        true
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
            Plan::Failpoint(steps::STORE[step], random.within(1..=TIMES_MAX))
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
        self.pace.connect(0, client);
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
        self.pace.connect(0, None);
        self.count(plan, status, &process)
    }

    fn count(&mut self, plan: Plan, status: ExitStatus, process: &Process) -> Result<()> {
        let step = steps::last(&self.step_file())?;
        let reached = match plan {
            Plan::Failpoint(wanted, _) => step.filter(|step| *step == wanted),
            Plan::Signal(_) => None,
        };
        if !self.kills.note(status, reached, step) {
            bail!("the host ended by itself with {status}:\n{}", process.tail());
        }
        Ok(())
    }

    fn step_file(&self) -> PathBuf {
        self.world.home.path().join("step")
    }
}
