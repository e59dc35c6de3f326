//! Explores every interleaving of two hosts, and proves that a bug would be found so.

use gristmill_sim::explore::{Budget, explore};

#[test]
fn no_interleaving_of_two_hosts_breaks_atomicity_or_order() {
    let rows = [
        Budget { deaths: 1, ..Budget::default() },
        Budget { silences: 1, ..Budget::default() },
        Budget { breaks: 1, ..Budget::default() },
        Budget { moves: 1, ..Budget::default() },
    ];
    for budget in rows {
        match explore(budget) {
            Ok(explored) => println!("{budget:?}: {explored:?}"),
            Err(what) => panic!("{budget:?}: {what}"),
        }
    }
}

#[test]
fn a_takeover_that_does_not_wait_is_found() {
    let budget = Budget { deaths: 1, moves: 1, hasty: true, ..Budget::default() };
    assert!(explore(budget).unwrap_err().contains("restored"));
}

#[test]
fn a_producer_that_goes_on_after_a_connection_broke_is_found() {
    let budget = Budget { breaks: 1, reused: true, ..Budget::default() };
    assert!(explore(budget).unwrap_err().contains("made"));
}
