//! Owns how a run of chaos is told: a line for people, an object for machines. It judges nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::check::{Kind, Violation};
use super::input::Event;
use super::kill::{Kills, Shared};
use super::producer::Count;
use super::steps;

/// Violations shown in full; the rest is counted.
const SHOWN: usize = 20;

/// What the events that went out asked of their handlers, repeats included.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Asked {
    /// To fail first.
    pub failing: u64,
    /// To be rejected.
    pub rejected: u64,
    /// To set a timer.
    pub timers: u64,
}

impl Asked {
    /// With one event more.
    #[must_use]
    pub fn and(self, event: &Event) -> Self {
        Self {
            failing: self.failing + u64::from(event.fails > 0),
            rejected: self.rejected + u64::from(event.poison),
            timers: self.timers + u64::from(event.timer_ms.is_some()),
        }
    }
}

/// What was done to hosts, and what is around them.
#[derive(Debug, Default)]
pub struct Done {
    /// Deaths.
    pub kills: Kills,
    /// Versions that came into use while events flowed.
    pub swaps: u64,
    /// Everything else, by a few words.
    pub faults: BTreeMap<String, u64>,
    /// From the end of the disturbance until every partition moved, where that is measured.
    pub moving: Option<Duration>,
    /// From the end of the disturbance until nothing was left to do, where that is measured.
    pub recovered: Option<Duration>,
}

/// What one scenario did and found.
#[derive(Debug)]
pub struct Report {
    /// Its name, such as `kills` or `kafka-wire`.
    pub scenario: &'static str,
    /// How hosts were configured, where a seed decides it.
    pub variant: &'static str,
    /// Seed of its input and of its plan.
    pub seed: u64,
    /// Events that went out.
    pub events: Count,
    /// What they asked for.
    pub asked: Asked,
    /// Effects found in output topics.
    pub effects: u64,
    /// Dead letters found.
    pub letters: u64,
    /// What was done to hosts.
    pub done: Done,
    /// Wall time.
    pub took: Duration,
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// Folders of hosts and brokers, kept when anything is wrong.
    pub kept: Vec<PathBuf>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    fn count(&self, kind: Kind) -> usize {
        self.violations.iter().filter(|it| it.kind == kind).count()
    }

    /// The report as an object.
    pub fn json(&self) -> Value {
        let found: Map<String, Value> = Kind::ALL
            .iter()
            .map(|kind| (kind.word().to_owned(), json!(self.count(*kind))))
            .collect();
        json!({
            "scenario": self.scenario,
            "variant": self.variant,
            "seed": self.seed,
            "events": self.events.published,
            "resent": self.events.resent,
            "asked": self.asked,
            "effects": self.effects,
            "dead_letters": self.letters,
            "kills": {
                "counted": self.done.kills.counted(),
                "failpoints": shown(&self.done.kills.failpoints),
                "sigkill": shown(&self.done.kills.signals),
                "between_commits": self.done.kills.missed,
                "before_ready": self.done.kills.early,
                "shared": self.done.kills.shared,
            },
            "swaps": self.done.swaps + self.done.kills.upgrades,
            "faults": self.done.faults,
            "moving_seconds": self.done.moving.map(|took| took.as_secs_f64()),
            "recovered_seconds": self.done.recovered.map(|took| took.as_secs_f64()),
            "seconds": self.took.as_secs_f64(),
            "found": found,
            "violations": self.violations.iter().take(SHOWN).collect::<Vec<_>>(),
            "kept": self.kept,
        })
    }
}

fn shown(counts: &BTreeMap<&'static str, u64>) -> Map<String, Value> {
    in_order(counts).map(|(step, count)| (step.to_owned(), json!(count))).collect()
}

/// Counts by step, in the order of a checkpoint.
fn in_order(counts: &BTreeMap<&'static str, u64>) -> impl Iterator<Item = (&'static str, u64)> {
    steps::all().filter_map(|step| Some((step, *counts.get(step)?)))
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { published, resent } = self.events;
        let Self { scenario, variant, seed, took, .. } = self;
        writeln!(out, "{scenario}: seed {seed}{variant}, {:.1} s", took.as_secs_f64())?;
        writeln!(
            out,
            "  {published} events published, {resent} of them more than once for want of an answer"
        )?;
        let Asked { failing, rejected, timers } = self.asked;
        writeln!(out, "  {failing} fail first, {rejected} are rejected, {timers} set a timer")?;
        writeln!(out, "  {} effects, {} dead letters", self.effects, self.letters)?;
        if self.done.kills.counted() > 0 {
            self.kills_line(out)?;
        } else if self.done.faults.is_empty() {
            writeln!(out, "  {} versions came into use while events flowed", self.done.swaps)?;
        }
        for (words, count) in &self.done.faults {
            writeln!(out, "  {count} {words}")?;
        }
        if let Some(moving) = self.done.moving {
            let seconds = moving.as_secs_f64();
            writeln!(out, "  {seconds:.1} s after the last of it every partition moved")?;
        }
        if let Some(recovered) = self.done.recovered {
            let seconds = recovered.as_secs_f64();
            writeln!(out, "  {seconds:.1} s after the last of it nothing was left to do")?;
        }
        let words: Vec<_> =
            Kind::ALL.iter().map(|kind| format!("{} {}", kind.word(), self.count(*kind))).collect();
        writeln!(out, "  {}", words.join(", "))?;
        for Violation { kind, at, what } in self.violations.iter().take(SHOWN) {
            writeln!(out, "  {}: {at}: {what}", kind.word())?;
        }
        if let Some(left) = self.violations.len().checked_sub(SHOWN + 1) {
            writeln!(out, "  and {} more", left + 1)?;
        }
        for kept in &self.kept {
            writeln!(out, "  a folder is kept: {}", kept.display())?;
        }
        Ok(())
    }
}

impl Report {
    fn kills_line(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts| {
            let words: Vec<_> =
                in_order(counts).map(|(name, count)| format!("{name} {count}")).collect();
            words.join(", ")
        };
        let kills = &self.done.kills;
        writeln!(out, "  {} kills hit a checkpoint on its way", kills.counted())?;
        writeln!(out, "    by failpoint: {}", list(&kills.failpoints))?;
        writeln!(out, "    by SIGKILL after the step: {}", list(&kills.signals))?;
        writeln!(out, "  {} kills more hit none and do not count", kills.missed)?;
        let (early, upgrades) = (kills.early, kills.upgrades);
        writeln!(out, "  {early} kills came before readiness, {upgrades} upgrades lay between")?;
        let Shared { with_the_other, deleted, away } = kills.shared;
        if with_the_other + deleted + away == 0 {
            return Ok(());
        }
        writeln!(
            out,
            "  {with_the_other} kills hit both hosts at once, {away} hosts stayed away until the \
             other took over, {deleted} came back without their data"
        )
    }
}
