//! Holds what was measured against what was asked for (source: issue 4, "Figures to reach"). Each
//! figure is a quotient of two runners of one run, since the machine's mood divides out, or a time.

use super::BARE;
use super::ledger::Ledger;
use super::orders;
use crate::bench::figure::{Figure, Target, amount};

const REUSED: &str = "gristmill, exactly-once, reused";
const FRESH: &str = "gristmill, exactly-once, fresh";
const LEAST: &str = "gristmill, at-least-once, reused";
const LOOP: &str = "loop, exactly-once";
const STREAMS: &str = "streams, dedupe, 100 ms";
const RATE: &str = "throughput";
const PRICE: &str = "processor time per million events";

/// A runner's quantity over that of another, and what it is to reach.
type Quotient = (&'static str, &'static str, &'static str, Target);

const QUOTIENTS: [Quotient; 5] = [
    (REUSED, RATE, STREAMS, Target::AtLeast(1.0)),
    (REUSED, PRICE, STREAMS, Target::AtMost(0.8)),
    (REUSED, RATE, LOOP, Target::AtLeast(0.5)),
    (FRESH, RATE, STREAMS, Target::AtLeast(0.65)),
    (REUSED, RATE, LEAST, Target::AtLeast(0.95)),
];

/// Everything that was asked for, as far as both sides were measured.
pub fn figures(ledgers: &[(&'static str, Ledger)]) -> Vec<Figure> {
    let of = |runner: &str, quantity: &str| {
        ledgers.iter().find_map(|(_, ledger)| ledger.median(runner, quantity))
    };
    let mut figures = Vec::new();
    for (runner, quantity, other, target) in QUOTIENTS {
        if let (Some(value), Some(others)) = (of(runner, quantity), of(other, quantity)) {
            let name = format!("kafka, {quantity}: {runner} / {other}");
            let note = format!("{} / {}, medians", amount(value), amount(others));
            figures.push(Figure::new(name, value / others, "×").aiming(target).noting(note));
        }
    }
    if let Some(p50) = of(REUSED, "latency p50") {
        let figure = Figure::new("kafka, p50 at 1,000/s", p50, "ms").aiming(Target::AtMost(15.0));
        let streams = of(STREAMS, "latency p50");
        figures.push(match streams {
            Some(value) => figure.beside(STREAMS, value),
            None => figure,
        });
    }
    if let (Some(p99), Some(bare)) = (of(REUSED, "latency p99"), of(BARE, "latency p99")) {
        let most = 3.0 * bare + 20.0;
        let figure = Figure::new("kafka, p99 at 1,000/s", p99, "ms").aiming(Target::AtMost(most));
        figures.push(figure.beside(BARE, bare).noting("three times the bare one's, and 20 ms"));
    }
    for (in_flight, most) in [(16, 1.70), (100, 0.45)] {
        let handled = |name: &str| of(name, "waits handled in");
        let Some(value) = handled(&format!("gristmill, {in_flight} in flight")) else { continue };
        let name = format!("kafka, 10,000 waits by key, {in_flight} in flight");
        let figure = Figure::new(name, value, "s").aiming(Target::AtMost(most));
        let peer = format!("parallel-consumer, {in_flight} in flight, no output");
        figures.push(match handled(&peer) {
            Some(others) => figure.beside(peer, others),
            None => figure,
        });
    }
    if let Some(p99) = of(orders::NAME, orders::P99) {
        let note = "six events of the platform, eight transactions here, one after the other";
        let figure = Figure::new("kafka, order to shipped, p99", p99, "ms").noting(note);
        figures.push(figure.aiming(Target::AtMost(orders::ASKED)));
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_needs_both_sides() {
        let mut ledger = Ledger::default();
        ledger.add(REUSED, RATE, "events/s", 60_000.0);
        ledger.add(STREAMS, RATE, "events/s", 50_000.0);
        ledger.add(REUSED, PRICE, "s", 20.0);
        let figures = figures(&[("throughput", ledger)]);
        assert_eq!(figures.len(), 1);
        assert!((figures[0].value - 1.2).abs() < 1e-9);
        assert_eq!(figures[0].note, "60000 / 50000, medians");
    }

    #[test]
    fn the_bound_of_p99_follows_the_bare_one() {
        let mut ledger = Ledger::default();
        ledger.add(REUSED, "latency p99", "ms", 24.0);
        ledger.add(BARE, "latency p99", "ms", 2.0);
        let figures = figures(&[("latency", ledger)]);
        assert_eq!(figures[0].target, Some(Target::AtMost(26.0)));
    }
}
