//! Owns what all rounds measured, and tells the middle of it. It knows no target.

use std::fmt::Write as _;

use crate::bench::figure::{Figure, amount};

/// Values by runner and quantity, in the order they first came.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    runner: String,
    quantity: &'static str,
    unit: &'static str,
    values: Vec<f64>,
}

impl Entry {
    /// The middle one, or of an even number the lower of the middle ones.
    fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
    }

    fn note(&self) -> String {
        let values: Vec<_> = self.values.iter().map(|value| amount(*value)).collect();
        format!("median of {} rounds: {}", values.len(), values.join(", "))
    }
}

impl Ledger {
    /// Adds a value of one round.
    pub fn add(&mut self, runner: &str, quantity: &'static str, unit: &'static str, value: f64) {
        let known = |it: &&mut Entry| it.runner == runner && it.quantity == quantity;
        if let Some(entry) = self.entries.iter_mut().find(known) {
            entry.values.push(value);
            return;
        }
        let values = vec![value];
        self.entries.push(Entry { runner: runner.to_owned(), quantity, unit, values });
    }

    /// Forgets everything about a runner that failed.
    pub fn forget(&mut self, runner: &str) {
        self.entries.retain(|entry| entry.runner != runner);
    }

    /// The middle of what was measured, if it was.
    pub fn median(&self, runner: &str, quantity: &str) -> Option<f64> {
        let of = |entry: &&Entry| entry.runner == runner && entry.quantity == quantity;
        self.entries.iter().find(of).map(Entry::median)
    }

    /// A figure for everything that was measured.
    pub fn figures(&self) -> Vec<Figure> {
        let figure = |entry: &Entry| {
            let name = format!("kafka, {}, {}", entry.runner, entry.quantity);
            Figure::new(name, entry.median(), entry.unit).noting(entry.note())
        };
        self.entries.iter().map(figure).collect()
    }

    /// A line per runner, a column per quantity.
    pub fn table(&self) -> String {
        let mut quantities: Vec<(&str, &str)> = Vec::new();
        let mut runners: Vec<&str> = Vec::new();
        for entry in &self.entries {
            if !quantities.contains(&(entry.quantity, entry.unit)) {
                quantities.push((entry.quantity, entry.unit));
            }
            if !runners.contains(&entry.runner.as_str()) {
                runners.push(&entry.runner);
            }
        }
        let mut text = String::new();
        for (number, (quantity, unit)) in quantities.iter().enumerate() {
            // Writing to a string cannot fail.
            let _written = writeln!(text, "[{}] {quantity} {unit}", number + 1);
        }
        let _written = write!(text, "{:<46}", "");
        for number in 1..=quantities.len() {
            let _written = write!(text, "{:>9}", format!("[{number}]"));
        }
        text.push('\n');
        for runner in runners {
            let _written = write!(text, "{runner:<46}");
            for (quantity, _) in &quantities {
                let value = self.median(runner, quantity).map(amount);
                let _written = write!(text, "{:>9}", value.unwrap_or_default());
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for value in [3.0, 1.0, 2.0] {
            ledger.add("a", "speed", "u", value);
        }
        ledger.add("b", "size", "v", 7.0);
        ledger
    }

    #[test]
    fn the_middle_counts_and_all_are_told() {
        let figures = ledger().figures();
        assert!((figures[0].value - 2.0).abs() < 1e-9);
        assert_eq!(figures[0].name, "kafka, a, speed");
        assert_eq!(figures[0].note, "median of 3 rounds: 3.00, 1.00, 2.00");
        assert_eq!(ledger().median("b", "speed"), None);
    }

    #[test]
    fn a_table_has_a_line_per_runner() {
        let table = ledger().table();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "[1] speed u");
        assert!(lines[3].starts_with('a') && lines[3].ends_with("2.00         "), "{table}");
        assert!(lines[4].starts_with('b') && lines[4].ends_with("7.00"), "{table}");
    }
}
