//! Owns how a measured figure is told: the value, what was aimed at, what a peer reaches.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

/// One measured figure.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// What was aimed at, where something was.
    pub target: Option<Target>,
    /// What somebody else reaches, where that is known.
    pub peer: Option<Peer>,
    /// `value` divided by the peer's.
    pub ratio: Option<f64>,
    /// How it was measured, and what it leaves open.
    pub note: String,
}

/// What a figure is to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// A figure of somebody else.
#[derive(Debug, Clone, Serialize)]
pub struct Peer {
    /// Who, and under which conditions.
    pub name: String,
    /// How much, in the figure's unit.
    pub value: f64,
}

impl Figure {
    /// A figure alone.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let (name, note) = (name.into(), String::new());
        Self { name, value, unit, target: None, peer: None, ratio: None, note }
    }

    /// With what it is to reach.
    #[must_use]
    pub fn aiming(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    /// Beside somebody else's.
    #[must_use]
    pub fn beside(self, name: impl Into<String>, value: f64) -> Self {
        let peer = Peer { name: name.into(), value };
        Self { peer: Some(peer), ratio: Some(self.value / value), ..self }
    }

    /// With how it was measured.
    #[must_use]
    pub fn noting(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    fn reaches(&self) -> &'static str {
        match self.target {
            None => "",
            Some(Target::AtLeast(least)) if self.value >= least => "reached",
            Some(Target::AtMost(most)) if self.value <= most => "reached",
            Some(_) => "missed",
        }
    }
}

/// All figures, a line each.
pub fn table(figures: &[Figure]) -> String {
    let mut text = String::new();
    for figure in figures {
        let target = match figure.target {
            None => String::new(),
            Some(Target::AtLeast(least)) => format!("≥ {}", amount(least)),
            Some(Target::AtMost(most)) => format!("≤ {}", amount(most)),
        };
        let peer =
            figure.peer.as_ref().map(|peer| format!("{}: {}", peer.name, amount(peer.value)));
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "{:<44} {:>12} {:<10} {:>10} {:<8} {}",
            figure.name,
            amount(figure.value),
            figure.unit,
            target,
            figure.reaches(),
            peer.unwrap_or_default()
        );
    }
    text
}

/// Writes figures into a report, in place of those there that the same program `owns` by their
/// names. The other program's stay.
///
/// # Errors
///
/// When the report cannot be read or written.
pub fn save(path: &Path, figures: &[Figure], owns: fn(&str) -> bool) -> Result<()> {
    let written = fs::read_to_string(path).unwrap_or_else(|_absent| "[]".to_owned());
    let mut report: Vec<Value> =
        serde_json::from_str(&written).with_context(|| format!("read {}", path.display()))?;
    report.retain(|figure| figure["name"].as_str().is_some_and(|name| !owns(name)));
    for figure in figures {
        report.push(serde_json::to_value(figure)?);
    }
    let folder = path.parent().context("a report is in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let text = serde_json::to_string_pretty(&report)?;
    fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))
}

/// Three digits or all before the point.
pub(super) fn amount(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_reached_at_its_bound_and_missed_beyond() {
        for (value, target, holds) in [
            (40.0, Target::AtLeast(40.0), "reached"),
            (39.9, Target::AtLeast(40.0), "missed"),
            (8.0, Target::AtMost(8.0), "reached"),
            (8.1, Target::AtMost(8.0), "missed"),
        ] {
            assert_eq!(Figure::new("f", value, "u").aiming(target).reaches(), holds, "{value}");
        }
    }

    #[test]
    fn a_table_names_value_target_and_peer() {
        let figure = Figure::new("speed", 45_000.0, "events/s")
            .aiming(Target::AtLeast(40_000.0))
            .beside("other", 30_000.0);
        assert_eq!(figure.ratio, Some(1.5));
        let table = table(&[figure]);
        for word in ["speed", "45000", "≥ 40000", "reached", "other: 30000"] {
            assert!(table.contains(word), "{table}");
        }
    }

    #[test]
    fn a_report_keeps_what_another_program_measured() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bench/report.json");
        let of_a = |name: &str| name.starts_with('a');
        let of_b = |name: &str| name.starts_with('b');
        save(&path, &[Figure::new("a1", 1.0, "u"), Figure::new("a2", 2.0, "u")], of_a).unwrap();
        save(&path, &[Figure::new("b", 3.0, "u")], of_b).unwrap();
        save(&path, &[Figure::new("a2", 4.0, "u")], of_a).unwrap();
        let report: Vec<Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let names: Vec<_> = report.iter().map(|it| (&it["name"], &it["value"])).collect();
        assert_eq!(names, [(&"b".into(), &3.0.into()), (&"a2".into(), &4.0.into())]);
    }
}
