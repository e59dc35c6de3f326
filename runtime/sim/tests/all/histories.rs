//! Runs seeded histories under all checkers. `SIM_SEEDS` sets how many, 5,000 without it.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use gristmill_sim::history;
use gristmill_sim::world::{Options, Tally};

#[test]
fn every_promise_holds_in_every_history() {
    let seeds: u64 = std::env::var("SIM_SEEDS").map_or(5_000, |n| n.parse().unwrap());
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut sum = Tally::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&next, seeds))).collect();
        for worker in workers {
            sum += worker.join().unwrap();
        }
    });
    let rate = u128::from(seeds) * 1_000 / begun.elapsed().as_millis().max(1);
    println!("{seeds} seeds, {rate} seeds/s: {sum:?}");
    // A world in which nothing happens keeps every promise.
    assert!(sum.effects > seeds * 50, "histories are too quiet: {sum:?}");
    assert!(sum.crashes > seeds / 2, "histories are too peaceful: {sum:?}");
    assert!(sum.checkpoints > seeds * 5, "hardly anything becomes durable: {sum:?}");
    let in_clusters = sum.net;
    assert!(
        in_clusters.clusters > seeds / 4,
        "hardly any history is in a cluster: {in_clusters:?}"
    );
    assert!(
        in_clusters.ambiguous_committed > seeds / 20,
        "everybody knows how it ended: {in_clusters:?}"
    );
    assert!(
        in_clusters.doubted > seeds,
        "hardly anything is sent again because its connection broke: {in_clusters:?}"
    );
    assert!(
        in_clusters.fenced + in_clusters.stale > seeds / 4,
        "nobody is too late: {in_clusters:?}"
    );
    assert!(in_clusters.restored > seeds, "hardly anything changes hands: {in_clusters:?}");
}

fn work(next: &AtomicU64, seeds: u64) -> Tally {
    let mut sum = Tally::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds {
            return sum;
        }
        match history::run(seed, Options::default()) {
            Ok(tally) => sum += tally,
            Err(broken) => panic!("{broken}"),
        }
    }
}
