//! Proves each checker by planted bugs: alone on the panel, it objects within few seeds.

use std::collections::BTreeSet;

use gristmill_sim::checkers::Panel;
use gristmill_sim::planted::{BUGS, Bug};

#[test]
fn each_planted_bug_is_caught_by_its_checker() {
    let mut missed = Vec::new();
    for bug in BUGS {
        let Bug { planted, checker, seeds } = *bug;
        match bug.caught(0..seeds) {
            Some(seed) => println!("{planted:?}: caught by \"{checker}\" with seed {seed}"),
            None => missed.push(format!("{planted:?}: missed by \"{checker}\" in {seeds} seeds")),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn every_checker_is_proved_by_a_bug() {
    let proved: BTreeSet<&str> = BUGS.iter().map(|bug| bug.checker).collect();
    // What breaks the protocol is found by the engine itself, whose tests prove it.
    let all = Panel::names().into_iter().filter(|name| *name != "protocol");
    let unproved: Vec<&str> = all.filter(|name| !proved.contains(name)).collect();
    assert!(unproved.is_empty(), "no bug proves {unproved:?}");
}
