//! Kills two hosts that share their work, each on a plan of its own, until enough kills hit a
//! checkpoint on its way. Each comes back at once, or late, or without its data.

use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::hosts::Hosts;
use crate::chaos::kill::Kills;
use crate::chaos::producer::Pace;
use crate::chaos::steps;
use crate::support::home::{self, Process};
use crate::support::random::Random;

/// A failpoint is reached the first time, or up to so many times later.
const TIMES_MAX: u64 = 30;
/// A host that works by then has its partitions back; one that does not is not waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest life between the first step of a checkpoint and SIGKILL, in microseconds.
const LIFE_MAX: u64 = 1_500_000;
/// A checkpoint begins within this time, or the host has nothing to do.
const AIM_MAX: Duration = Duration::from_secs(1);
/// Longest time between the sight of a checkpoint on its way and SIGKILL, in microseconds: what
/// is met is then any of its steps.
const SHOT_MAX: u64 = 1_500;
/// Time between two looks at the step a host is at.
const GLANCE: Duration = Duration::from_micros(200);
/// Time between two looks at a host that is about to end.
const LOOK: Duration = Duration::from_millis(5);
/// A host that stays away for so long is missed by its group.
const AWAY: Duration = Duration::from_secs(8);
/// Every so many lives the plugin is replaced while the host runs.
const UPGRADE_EVERY: u64 = 8;
/// Shares in a thousand: of lives that end at a failpoint, of those at one of the store's steps,
/// of deaths that take the other host along, of hosts that stay away, and of those that come back
/// without their data.
const FAILPOINTS: u64 = 500;
const STORE: u64 = 200;
const TOGETHER: u64 = 120;
const STAYING_AWAY: u64 = 120;
const DELETED: u64 = 120;

/// How one life of a host is to go.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// The step at which the host ends by itself, and for which time it comes to it.
    failpoint: Option<(&'static str, u64)>,
    /// Otherwise it is killed so long after its first step, and then so long after the next sight
    /// of a checkpoint on its way.
    signal: (Duration, Duration),
    /// Whether the other is killed with it.
    together: bool,
    /// Whether it stays away afterwards until the group misses it.
    away: bool,
    /// Whether its data is gone before it comes back.
    deleted: bool,
}

impl Plan {
    fn draw(random: &mut Random) -> Self {
        let mut share = |share| random.per_mille(share);
        let (is_failpoint, is_store) = (share(FAILPOINTS), share(STORE));
        let (together, away, deleted) = (share(TOGETHER), share(STAYING_AWAY), share(DELETED));
        let steps: &[_] = if is_store { &steps::STORE } else { &steps::TRANSACTION };
        let last = u64::try_from(steps.len()).unwrap_or(1) - 1;
        let step = steps[usize::try_from(random.within(0..=last)).unwrap_or(0)];
        let failpoint = is_failpoint.then(|| (step, random.within(1..=TIMES_MAX)));
        let mut micros = |most| Duration::from_micros(random.within(0..=most));
        let signal = (micros(LIFE_MAX), micros(SHOT_MAX));
        Self { failpoint, signal, together, away, deleted }
    }
}

/// Kills hosts until `wanted` kills count; calls `progress` after each life.
pub(super) fn kill(
    hosts: &Hosts,
    wanted: u64,
    (random, pace): (Random, &Pace),
    mut progress: impl FnMut(&Kills),
) -> Result<Kills> {
    let lives = Lives {
        hosts,
        pace,
        wanted,
        kills: Mutex::default(),
        doomed: [const { AtomicBool::new(false) }; 2],
        has_failed: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let (sender, ended) = channel();
        let lives = &lives;
        let hosts = [0_usize, 1].map(|at| {
            let random = random.fork(u64::try_from(at).unwrap_or(0));
            let sender = sender.clone();
            scope.spawn(move || lives.host(at, random, &sender))
        });
        drop(sender);
        while let Ok(kills) = ended.recv() {
            progress(&kills);
        }
        for host in hosts {
            host.join().map_err(|_panic| anyhow!("a thread of a host panicked"))??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    Ok(lives.kills.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What the threads of both hosts share.
struct Lives<'a> {
    hosts: &'a Hosts,
    pace: &'a Pace,
    wanted: u64,
    kills: Mutex<Kills>,
    /// Hosts that are to be killed because the other was.
    doomed: [AtomicBool; 2],
    has_failed: AtomicBool,
}

impl Lives<'_> {
    /// All lives of one host.
    fn host(&self, at: usize, mut random: Random, ended: &Sender<Kills>) -> Result<()> {
        let mut lives = 0;
        while !self.is_over() {
            lives += 1;
            let plan = Plan::draw(&mut random);
            let upgrade = (lives % UPGRADE_EVERY == 0).then_some(lives / UPGRADE_EVERY);
            let outcome = self.live(at, plan, upgrade).and_then(|()| {
                // Whoever does not listen any more has failed, and will tell why.
                drop(ended.send(self.kills().clone()));
                self.prepare(at, plan)
            });
            if outcome.is_err() {
                self.has_failed.store(true, Ordering::Relaxed);
                return outcome;
            }
        }
        Ok(())
    }

    fn live(&self, at: usize, plan: Plan, upgrade: Option<u64>) -> Result<()> {
        let path = self.step_file(at);
        drop(home::empty(&path)?);
        let mut variables = vec![("GRISTMILL_STEP_FILE", path.display().to_string())];
        if let Some((step, count)) = plan.failpoint {
            variables.push(("GRISTMILL_FAILPOINT", format!("{step}:{count}")));
        }
        let mut process = self.hosts.homes[at].start(&variables)?;
        let client = process.ready()?;
        if client.is_none() {
            self.kills().early += 1;
        }
        if let (Some(number), true) = (upgrade, client.is_some()) {
            self.hosts.deploy(at, number)?;
            self.kills().upgrades += 1;
        }
        self.doomed[at].store(false, Ordering::Relaxed);
        self.pace.connect(at, client);
        let ended = match plan.failpoint {
            Some(_) => self.ended(at, &mut process, PATIENCE, || Ok(false))?,
            None => self.aim(at, &mut process, plan.signal)?,
        };
        let status = match ended {
            Some(status) => status,
            None => process.kill()?,
        };
        self.pace.connect(at, None);
        if plan.together {
            self.doomed[1 - at].store(true, Ordering::Relaxed);
        }
        self.note(at, plan, status, &process)
    }

    /// Waits for the moment at which the host is to be killed.
    fn aim(
        &self,
        at: usize,
        process: &mut Process,
        (life, shot): (Duration, Duration),
    ) -> Result<Option<ExitStatus>> {
        let path = self.step_file(at);
        let is_at_work = || Ok(steps::last(&path)?.is_some());
        if let Some(status) = self.ended(at, process, PATIENCE, is_at_work)? {
            return Ok(Some(status));
        }
        if let Some(status) = self.ended(at, process, life, || Ok(false))? {
            return Ok(Some(status));
        }
        let began = Instant::now();
        while began.elapsed() < AIM_MAX && !steps::last(&path)?.is_some_and(steps::is_on_its_way) {
            thread::sleep(GLANCE);
        }
        thread::sleep(shot);
        Ok(None)
    }

    /// How the host ended by itself, if it did before anything else: before the time is up, it is
    /// `enough`, the other has been killed and it is to be, or all is over.
    fn ended(
        &self,
        at: usize,
        process: &mut Process,
        within: Duration,
        enough: impl Fn() -> Result<bool>,
    ) -> Result<Option<ExitStatus>> {
        let began = Instant::now();
        while began.elapsed() < within && !enough()? && !self.is_over() {
            if self.doomed[at].load(Ordering::Relaxed) {
                self.kills().shared.with_the_other += 1;
                return Ok(None);
            }
            if let Some(status) = process.ended(LOOK)? {
                return Ok(Some(status));
            }
        }
        Ok(None)
    }

    fn note(&self, at: usize, plan: Plan, status: ExitStatus, process: &Process) -> Result<()> {
        let step = steps::last(&self.step_file(at))?;
        // Another worker may have told a step since: the host's own word decides.
        let tail = process.tail();
        let reached = plan.failpoint.filter(|_| tail.contains("failpoint: "));
        if !self.kills().note(status, reached.map(|(step, _)| step), step) {
            bail!("host {at} ended by itself with {status}:\n{tail}");
        }
        Ok(())
    }

    /// What happens between two lives of a host.
    fn prepare(&self, at: usize, plan: Plan) -> Result<()> {
        if plan.deleted {
            let data = self.hosts.homes[at].path().join("data");
            fs::remove_dir_all(&data).with_context(|| format!("delete {}", data.display()))?;
            self.kills().shared.deleted += 1;
        }
        let began = Instant::now();
        while plan.away && began.elapsed() < AWAY {
            if self.is_over() {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        self.kills().shared.away += u64::from(plan.away);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed) || self.kills().counted() >= self.wanted
    }

    fn kills(&self) -> MutexGuard<'_, Kills> {
        self.kills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step_file(&self, at: usize) -> PathBuf {
        self.hosts.homes[at].path().join("step")
    }
}
