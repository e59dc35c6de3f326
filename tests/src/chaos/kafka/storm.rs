//! Two hosts whose groups never come to rest: every few seconds one of them leaves, comes, dies,
//! or stands still for longer than its group waits, and goes on as if nothing had been.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::hosts::{Committed, Hosts, Left};
use super::{RESTORING, run};
use crate::chaos::complaints::Expected;
use crate::chaos::producer::Pace;
use crate::chaos::report::{Done, Report};
use crate::chaos::{Options, Progress, with_producers};
use crate::support::client::Client;
use crate::support::home::Process;
use crate::support::kafka::witness::Ground;
use crate::support::random::Random;
use crate::support::{process, wait};

const SCENARIO: &str = "kafka-storm";
/// Milliseconds between two changes.
const BETWEEN: [u64; 2] = [1_000, 3_000];
/// Milliseconds for which a host stands still: a session ends after 6 s, a transaction after 5 s.
const STILL: [u64; 2] = [7_000, 10_000];
/// Shares in a thousand of hosts that leave and that die; the others stand still.
const LEAVING: u64 = 350;
const DYING: u64 = 250;
/// Share in a thousand of changes that may take the last host away.
const LAST: u64 = 200;
/// A host that does not leave within this time does not.
const PATIENCE: Duration = Duration::from_secs(30);
/// Partitions that do not move within this time stand still.
const STUCK: Duration = Duration::from_mins(2);
/// What hosts rightly say of such groups.
const EXPECTED: [Expected; 1] = [RESTORING];

/// Changes who is there until it was done so often, then has both deal with what is left.
///
/// # Errors
///
/// When a host ends by itself, or partitions stand still. What is wrong with events is in the
/// report.
pub fn storm(options: &Options, progress: Progress<'_>) -> Result<Report> {
    run(SCENARIO, options, (Ground::start()?, &EXPECTED), |hosts, pace| {
        let random = Random::new(options.seed);
        with_producers(pace, &random, || {
            let mut storm =
                Storm { hosts, pace, states: Default::default(), done: BTreeMap::new() };
            storm.rage(options, random.fork(100), progress)?;
            storm.end(options.events)
        })
    })
}

/// What a host is doing.
#[derive(Debug, Default)]
enum State {
    #[default]
    Gone,
    /// It runs; producers know it once it listens.
    There(Process),
    /// It was asked to end.
    Leaving(Process, Instant),
    /// It stands still until then.
    Still(Process, Instant),
}

struct Storm<'a> {
    hosts: &'a Hosts,
    pace: &'a Pace,
    states: [State; 2],
    /// Changes, by what they were.
    done: BTreeMap<String, u64>,
}

impl Storm<'_> {
    fn rage(
        &mut self,
        options: &Options,
        mut random: Random,
        progress: Progress<'_>,
    ) -> Result<()> {
        while self.changes() < options.storm {
            let changes = self.changes();
            self.pace.allow(options.events.saturating_mul(changes + 1) / (options.storm + 1));
            progress(SCENARIO, changes, options.storm, self.pace.count().published);
            for at in 0..self.states.len() {
                self.look(at)?;
            }
            let at = usize::try_from(random.within(0..=1))?;
            self.change(at, &mut random)?;
            thread::sleep(Duration::from_millis(random.within(BETWEEN[0]..=BETWEEN[1])));
        }
        Ok(())
    }

    fn changes(&self) -> u64 {
        self.done.values().sum()
    }

    fn note(&mut self, words: &str) {
        *self.done.entry(format!("times a host {words}")).or_default() += 1;
    }

    /// Sees what became of a host: who stood still long enough goes on, who ended is gone, who
    /// listens is told to producers.
    fn look(&mut self, at: usize) -> Result<()> {
        self.states[at] = match std::mem::take(&mut self.states[at]) {
            State::Gone => State::Gone,
            State::There(mut process) => {
                if let Some(status) = process.ended(Duration::ZERO)? {
                    bail!("a host ended by itself with {status}:\n{}", process.tail());
                }
                self.pace.connect(at, process.client());
                State::There(process)
            }
            State::Leaving(mut process, since) => match process.ended(Duration::ZERO)? {
                Some(status) if status.success() => State::Gone,
                Some(status) => bail!("a host left with {status}:\n{}", process.tail()),
                None if since.elapsed() > PATIENCE => {
                    bail!("a host does not leave:\n{}", process.tail())
                }
                None => State::Leaving(process, since),
            },
            State::Still(process, until) if until <= Instant::now() => {
                process::signal(process.id(), "CONT")?;
                self.note("went on after it had stood still");
                State::There(process)
            }
            still @ State::Still(..) => still,
        };
        Ok(())
    }

    /// Starts a host that is gone, or has one that is there do something else.
    fn change(&mut self, at: usize, random: &mut Random) -> Result<()> {
        let is_last = !matches!(self.states[1 - at], State::There(_));
        let may_go = !is_last || random.per_mille(LAST);
        self.states[at] = match std::mem::take(&mut self.states[at]) {
            State::Gone => {
                self.note("came");
                State::There(self.hosts.homes[at].start(&[])?)
            }
            State::There(process) if may_go => {
                self.pace.connect(at, None);
                self.go(process, random)?
            }
            as_it_is @ (State::There(_) | State::Leaving(..) | State::Still(..)) => as_it_is,
        };
        Ok(())
    }

    fn go(&mut self, mut process: Process, random: &mut Random) -> Result<State> {
        if random.per_mille(LEAVING) {
            process::signal(process.id(), "TERM")?;
            self.note("left");
            return Ok(State::Leaving(process, Instant::now()));
        }
        if random.per_mille(1_000 * DYING / (1_000 - LEAVING)) {
            process.kill()?;
            self.note("was killed");
            return Ok(State::Gone);
        }
        process::signal(process.id(), "STOP")?;
        self.note("stood still");
        let until = Duration::from_millis(random.within(STILL[0]..=STILL[1]));
        Ok(State::Still(process, Instant::now() + until))
    }

    /// Has both hosts there again; sees when all partitions move, and when nothing is left.
    fn end(mut self, events: u64) -> Result<(Done, Left)> {
        let running = [self.back(0)?, self.back(1)?];
        let calm = Instant::now();
        self.pace.allow(events);
        let moving = self.moving(calm, &self.hosts.committed()?)?;
        let left = self.hosts.end(running.into(), self.pace)?;
        let (faults, recovered) = (self.done, Some(calm.elapsed()));
        Ok((Done { faults, moving: Some(moving), recovered, ..Done::default() }, left))
    }

    fn back(&mut self, at: usize) -> Result<(Process, Client)> {
        let mut process = match std::mem::take(&mut self.states[at]) {
            State::Gone => self.hosts.homes[at].start(&[])?,
            State::There(process) => process,
            State::Leaving(process, _) => {
                let mut process = process;
                process.ended(PATIENCE)?.context("a host does not leave")?;
                self.hosts.homes[at].start(&[])?
            }
            State::Still(process, _) => {
                process::signal(process.id(), "CONT")?;
                process
            }
        };
        let client = process.must_be_ready()?;
        self.pace.connect(at, Some(client.clone()));
        Ok((process, client))
    }

    /// Waits until every subscription has finished events of every partition since `before`, or
    /// all there are; events come as long as this waits.
    fn moving(&self, since: Instant, before: &Committed) -> Result<Duration> {
        let moved = wait::until(STUCK, || {
            let (now, ends) = (self.hosts.committed()?, self.hosts.ends()?);
            let has_moved = |(at, committed): (&_, &u64)| {
                let (_, topic, partition): &(String, String, u32) = at;
                let is_done =
                    ends.get(&(topic.clone(), *partition)).is_some_and(|end| end == committed);
                is_done || before.get(at).is_none_or(|earlier| committed > earlier)
            };
            Ok((now.len() >= before.len() && now.iter().all(has_moved)).then(|| since.elapsed()))
        })?;
        moved.with_context(|| format!("not every partition moves, {STUCK:?} after the storm"))
    }
}
