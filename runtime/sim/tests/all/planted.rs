//! Proves each checker by planted bugs: alone on the panel, it objects within few seeds.

use std::collections::BTreeSet;

use gristmill_sim::checkers::{DETERMINISM, Panel};
use gristmill_sim::history;
use gristmill_sim::planted::Planted;
use gristmill_sim::world::Options;

/// Bug, checker that must object, seeds within which it must.
const BUGS: &[(Planted, &str, u64)] = &[
    (Planted::RecordSwallowed, "loss", 50),
    (Planted::SuccessSwallowed, "loss", 50),
    (Planted::ResetSwallowed, "loss", 100),
    (Planted::RangesDropped, "once", 100),
    (Planted::CheckpointTorn, "once", 100),
    (Planted::ProgressAhead, "progress", 20),
    (Planted::ProgressBack, "progress", 50),
    (Planted::RewindSkipped, "progress", 100),
    (Planted::LaneSplit, "order", 20),
    (Planted::ParkedReversed, "parking", 100),
    (Planted::AttemptTooMany, "attempts", 20),
    (Planted::CounterReset, "attempts", 20),
    (Planted::AttemptsForgotten, "attempts", 20),
    (Planted::ConcurrencyRaised, "concurrency", 20),
    (Planted::BreakerMissing, "breaker", 50),
    (Planted::FallbackEarly, "breaker", 50),
    (Planted::GuardMissing, "guard", 50),
    (Planted::PaceMissing, "pace", 50),
    (Planted::PauseIgnored, "pause", 50),
    (Planted::SuccessDead, "dead letters", 20),
    (Planted::DeadLetterInflated, "dead letters", 20),
    (Planted::MarkUnseen, "dedupe", 50),
    (Planted::MarkEarly, "dedupe", 50),
    (Planted::ForwardedTwice, "forwarding", 20),
    (Planted::TimerEarly, "timers", 20),
    (Planted::CancelIgnored, "timers", 50),
    (Planted::TimerKept, "timers", 20),
    (Planted::HoldIgnored, "backlog", 300),
    (Planted::LateEndsBare, "backlog", 300),
    (Planted::UpgradeEarly, "upgrade", 100),
    (Planted::StaleAccepted, "generations", 100),
    (Planted::AbortKept, "state", 50),
    (Planted::StateTwice, "state", 20),
    (Planted::ReleaseEarly, "bytes", 20),
    (Planted::ReleaseForgotten, "bytes", 20),
    (Planted::ResumeForgotten, "drains", 20),
    (Planted::EndSwallowed, "drains", 20),
    (Planted::Unseeded, DETERMINISM, 50),
];

#[test]
fn each_planted_bug_is_caught_by_its_checker() {
    let mut missed = Vec::new();
    for (bug, checker, bound) in BUGS {
        let objects = |seed: &u64| catches(Some(*bug), checker, *seed);
        // A checker that objects anyway proves nothing.
        match (0..*bound).find(|seed| objects(seed) && !catches(None, checker, *seed)) {
            Some(seed) => println!("{bug:?}: caught by \"{checker}\" with seed {seed}"),
            None => missed.push(format!("{bug:?}: missed by \"{checker}\" in {bound} seeds")),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn every_checker_is_proved_by_a_bug() {
    let proved: BTreeSet<&str> = BUGS.iter().map(|(_, checker, _)| *checker).collect();
    // What breaks the protocol is found by the engine itself, whose tests prove it.
    let all = Panel::names().into_iter().filter(|name| *name != "protocol");
    let unproved: Vec<&str> = all.filter(|name| !proved.contains(name)).collect();
    assert!(unproved.is_empty(), "no bug proves {unproved:?}");
}

fn catches(bug: Option<Planted>, checker: &'static str, seed: u64) -> bool {
    let options = Options { planted: bug, only: Some(checker), ..Options::default() };
    if checker == DETERMINISM {
        let options = Options { only: None, ..options };
        return history::run_twice(seed, options).is_err_and(|b| b.failure.checker == checker);
    }
    history::probe(seed, options).is_err_and(|failure| failure.checker == checker)
}
