//! Runs histories twice: the same seed gives the same effects, another seed gives others.

use gristmill_sim::history;
use gristmill_sim::world::Options;

#[test]
fn the_same_seed_gives_the_same_effects() {
    let mut digests = Vec::new();
    for seed in 0..100 {
        match history::run_twice(seed, Options::default()) {
            Ok(tally) => digests.push(tally.digest),
            Err(broken) => panic!("{broken}"),
        }
    }
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 100, "two seeds gave the same effects");
}
