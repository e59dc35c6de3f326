//! Owns how a run of chaos is told: a line for people, an object for machines. It judges nothing.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::check::{Kind, Violation};
use super::input::Event;
use super::kill::{Kills, STEPS};
use super::producer::Count;

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

/// What one scenario did and found.
#[derive(Debug)]
pub struct Report {
    /// Its name: `kills` or `swaps`.
    pub scenario: &'static str,
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
    /// What was done to the host.
    pub kills: Kills,
    /// Versions that came into use while events flowed.
    pub swaps: u64,
    /// Wall time.
    pub took: Duration,
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// The host's folder, kept when anything is wrong.
    pub kept: Option<PathBuf>,
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
            "seed": self.seed,
            "events": self.events.published,
            "resent": self.events.resent,
            "asked": self.asked,
            "effects": self.effects,
            "dead_letters": self.letters,
            "kills": {
                "counted": self.kills.counted(),
                "failpoints": shown(&self.kills.failpoints),
                "sigkill": shown(&self.kills.signals),
                "between_commits": self.kills.missed,
                "before_ready": self.kills.early,
            },
            "swaps": self.swaps + self.kills.upgrades,
            "seconds": self.took.as_secs_f64(),
            "found": found,
            "violations": self.violations.iter().take(SHOWN).collect::<Vec<_>>(),
            "kept": self.kept,
        })
    }
}

fn shown<K: AsRef<str>>(counts: &std::collections::BTreeMap<K, u64>) -> impl Serialize + use<K> {
    let in_order = STEPS.iter().filter_map(|step| {
        let count = counts.iter().find(|(name, _)| name.as_ref() == *step)?.1;
        Some(((*step).to_owned(), json!(count)))
    });
    in_order.collect::<Map<String, Value>>()
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { published, resent } = self.events;
        writeln!(out, "{}: seed {}, {:.1} s", self.scenario, self.seed, self.took.as_secs_f64())?;
        writeln!(
            out,
            "  {published} events published, {resent} of them more than once for want of an answer"
        )?;
        let Asked { failing, rejected, timers } = self.asked;
        writeln!(out, "  {failing} fail first, {rejected} are rejected, {timers} set a timer")?;
        writeln!(out, "  {} effects, {} dead letters", self.effects, self.letters)?;
        if self.scenario == "kills" {
            self.kills_line(out)?;
        } else {
            writeln!(out, "  {} versions came into use while events flowed", self.swaps)?;
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
        if let Some(kept) = &self.kept {
            writeln!(out, "  the host's folder is kept: {}", kept.display())?;
        }
        Ok(())
    }
}

impl Report {
    fn kills_line(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: Vec<(&str, u64)>| {
            let words: Vec<_> =
                counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            words.join(", ")
        };
        let kills = &self.kills;
        let (at, by) = (
            kills.failpoints.iter().map(|(name, count)| (*name, *count)).collect(),
            kills.signals.iter().map(|(name, count)| (name.as_str(), *count)).collect(),
        );
        writeln!(out, "  {} kills hit a checkpoint on its way", kills.counted())?;
        writeln!(out, "    by failpoint: {}", list(at))?;
        writeln!(out, "    by SIGKILL after the step: {}", list(by))?;
        writeln!(out, "  {} kills more hit none and do not count", kills.missed)?;
        let (early, upgrades) = (kills.early, kills.upgrades);
        writeln!(out, "  {early} kills came before readiness, {upgrades} upgrades lay between")
    }
}
