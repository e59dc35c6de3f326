//! Explores every interleaving of two hosts, and proves that a bug would be found so.

use gristmill_sim::explore::{Budget, explore};

#[test]
fn no_interleaving_of_two_hosts_breaks_atomicity_or_order() {
    for (deaths, silences, moves) in [(1, 0, 0), (0, 1, 0), (0, 0, 1)] {
        let budget = Budget { deaths, silences, moves, hasty: false };
        match explore(budget) {
            Ok(explored) => println!("{budget:?}: {explored:?}"),
            Err(what) => panic!("{budget:?}: {what}"),
        }
    }
}

#[test]
fn a_takeover_that_does_not_wait_is_found() {
    let budget = Budget { deaths: 1, silences: 0, moves: 1, hasty: true };
    assert!(explore(budget).unwrap_err().contains("restored"));
}
