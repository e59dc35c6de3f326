//! Runs seeded histories under all checkers. `SIM_SEEDS` sets how many, 1,000 without it.

use std::time::Instant;

use gristmill_sim::history;
use gristmill_sim::world::{Options, Tally};

#[test]
fn every_promise_holds_in_every_history() {
    let seeds: u64 = std::env::var("SIM_SEEDS").map_or(1_000, |n| n.parse().unwrap());
    let begun = Instant::now();
    let mut sum = Tally::default();
    for seed in 0..seeds {
        match history::run(seed, Options::default()) {
            Ok(tally) => sum += tally,
            Err(broken) => panic!("{broken}"),
        }
    }
    let rate = u128::from(seeds) * 1_000 / begun.elapsed().as_millis().max(1);
    println!("{seeds} seeds, {rate} seeds/s: {sum:?}");
    // A world in which nothing happens keeps every promise.
    assert!(sum.effects > seeds * 50, "histories are too quiet: {sum:?}");
    assert!(sum.crashes > seeds / 2, "histories are too peaceful: {sum:?}");
    assert!(sum.checkpoints > seeds * 5, "hardly anything becomes durable: {sum:?}");
}
