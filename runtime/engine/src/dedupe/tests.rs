//! One id, one effect: twins in flight, parked, settled, marked and redriven.

use alloc::vec;

use crate::rig::{Rig, fetched, mark, policy, record, with_id};
use crate::{
    Cursor, FailureClass, Fetched, IdHash, Instant, Offset, Policy, Staged, Terminal, Verdict,
};

fn marks(rig: &Rig) -> vec::Vec<Option<IdHash>> {
    let marks = rig.staged().into_iter().filter_map(|staged| match staged {
        Staged::Settled { mark, .. } => Some(mark),
        _ => None,
    });
    marks.collect()
}

#[test]
fn a_twin_waits_for_the_owner_and_is_a_duplicate() {
    let mut rig = Rig::new(policy());
    rig.fetch(with_id(0, 1, 9)).fetch(with_id(1, 2, 9)).fetch(fetched(2, 2));
    assert!(rig.invoked().is_empty(), "a twin ran beside its owner, or was overtaken");
    rig.succeed(record(0));
    assert!(matches!(
        rig.settled()[..],
        [(_, Terminal::Succeeded { .. }), (_, Terminal::Duplicate)]
    ));
    assert_eq!(marks(&rig), vec![Some(IdHash(9)), None]);
    assert_eq!(rig.invoked(), vec![record(2)]);
}

#[test]
fn a_backing_off_owner_still_owns() {
    let mut rig = Rig::new(policy());
    rig.fetch(with_id(0, 1, 9)).fail(record(0), FailureClass::Retryable);
    rig.fetch(with_id(1, 2, 9));
    assert!(rig.invoked().is_empty() && rig.settled().is_empty());
    rig.at(1_100);
    assert_eq!(rig.invoked(), vec![record(0)]);
    rig.succeed(record(0));
    assert_eq!(rig.settled().len(), 2);
}

#[test]
fn a_parked_owner_still_owns() {
    let mut rig = Rig::new(policy());
    rig.fetch(with_id(0, 1, 9)).fail_asking(record(0), 5_000);
    rig.fetch(with_id(1, 2, 9));
    assert!(rig.invoked().is_empty() && rig.settled().is_empty());
    rig.later(6_000).succeed(record(0));
    assert_eq!(rig.settled()[1], (record(1), Terminal::Duplicate));
}

#[test]
fn an_id_is_remembered_until_the_mark_can_be_seen() {
    let mut rig = Rig::new(policy());
    rig.fetch(with_id(0, 1, 9)).succeed(record(0));
    // Committing, not committed: the mark is not seen yet.
    rig.fetch(with_id(1, 2, 9));
    assert_eq!(rig.settled(), vec![(record(1), Terminal::Duplicate)]);
    rig.commit(1);
    // Read before the commit and handed over after it would bring its mark.
    rig.fetch(Fetched { mark: Some(mark(0, 0)), ..with_id(2, 3, 9) });
    assert_eq!(rig.settled(), vec![(record(2), Terminal::Duplicate)]);
    // The engine itself has forgotten: without a mark it runs.
    rig.commit(2);
    assert_eq!(rig.fetch(with_id(3, 3, 9)).invoked(), vec![record(3)]);
}

#[test]
fn a_pending_twin_keeps_the_id_alive_over_the_commit() {
    let mut rig = Rig::new(policy());
    rig.fetch(with_id(0, 1, 9)).fetch(fetched(1, 2)).fetch(with_id(2, 2, 9));
    rig.succeed(record(0)).at(1_200);
    assert!(rig.committed().is_some());
    rig.commit(1).succeed(record(1));
    assert_eq!(rig.settled()[1], (record(2), Terminal::Duplicate));
}

#[test]
fn dead_letters_are_marked_and_filtered_events_are_not() {
    let mut rig = Rig::new(policy());
    rig.fetch(with_id(0, 1, 9)).fail(record(0), FailureClass::Rejected);
    assert_eq!(marks(&rig), vec![Some(IdHash(9))]);
    rig.fetch(Fetched { verdict: Verdict::Invalid, ..with_id(1, 1, 8) });
    assert_eq!(marks(&rig), vec![Some(IdHash(8))]);
    rig.fetch(Fetched { verdict: Verdict::Filtered, ..with_id(2, 1, 7) });
    assert_eq!(rig.settled(), vec![(record(2), Terminal::Filtered)]);
    assert_eq!(marks(&rig), vec![None]);
}

#[test]
fn a_durable_mark_makes_a_duplicate_unless_void_or_redriven() {
    let reset = || {
        let mut assignment = crate::rig::assignment(1);
        let stored = crate::StoredProgress {
            epoch: 2,
            epoch_start: Offset(10),
            ..crate::rig::stored(10, &[])
        };
        assignment.cursors = vec![Cursor { stored: Some(stored), ..crate::rig::cursor(1) }];
        Rig::assigned(policy(), assignment)
    };
    for (redriven, mark, is_duplicate) in [
        (false, mark(3, 1), true),
        (false, mark(10, 1), false),
        (false, mark(10, 2), true),
        (true, mark(3, 1), false),
    ] {
        let mut rig = reset();
        rig.fetch(Fetched { redriven, mark: Some(mark), ..with_id(11, 1, 9) });
        assert_eq!(!rig.settled().is_empty(), is_duplicate, "{mark:?} redriven {redriven}");
        assert_eq!(rig.invoked().is_empty(), is_duplicate);
    }
}

#[test]
fn a_redriven_event_bypasses_the_id_but_waits_for_its_owner() {
    let redriven = |offset| Fetched { redriven: true, ..with_id(offset, 5, 9) };
    let mut rig = Rig::new(policy());
    rig.fetch(with_id(0, 1, 9)).fetch(redriven(1));
    assert!(rig.invoked().is_empty());
    rig.succeed(record(0));
    assert_eq!(rig.invoked(), vec![record(1)]);
    rig.fetch(with_id(2, 2, 9));
    assert!(rig.invoked().is_empty() && rig.settled().is_empty());
    rig.succeed(record(1));
    assert_eq!(marks(&rig), vec![Some(IdHash(9)), None]);
}

#[test]
fn a_parked_twin_is_settled_with_its_owner() {
    // Key 1 fails and parks; behind it a twin of what then runs under key 2.
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fetch(with_id(1, 1, 9)).fetch(with_id(2, 2, 9));
    rig.fail_asking(record(0), 5_000);
    assert_eq!(rig.parked().len(), 2);
    rig.succeed(record(2));
    let staged = rig.staged();
    assert!(matches!(
        staged[1],
        Staged::Settled { event, outcome: Terminal::Duplicate, parked: Some(1), .. }
            if event == record(1)
    ));
    assert_eq!(rig.engine.figures(crate::rig::SUBSCRIPTION).parked_events, 1);
}

#[test]
fn an_event_of_a_settled_id_is_not_parked() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fetch(with_id(1, 2, 9)).succeed(record(1));
    rig.fail_asking(record(0), 5_000);
    rig.fetch(with_id(2, 1, 9));
    assert!(rig.parked().is_empty());
    assert_eq!(rig.settled(), vec![(record(2), Terminal::Duplicate)]);
}

#[test]
fn what_follows_a_settled_twin_in_a_blocked_lane_stays_blocked() {
    let blocking = Policy { on_dead: crate::OnDead::BlockKey, max_attempts: 1, ..policy() };
    let mut rig = Rig::new(blocking);
    rig.fetch(fetched(0, 1)).fetch(with_id(1, 2, 9));
    rig.fail(record(0), FailureClass::Retryable);
    rig.fetch(with_id(2, 1, 9)).fetch(fetched(3, 1));
    rig.succeed(record(1));
    assert_eq!(rig.settled()[1], (record(2), Terminal::Duplicate));
    let blocked = rig
        .staged()
        .into_iter()
        .any(|staged| matches!(staged, Staged::Retried { sequence: 1, due: Instant::NEVER, .. }));
    assert!(blocked && rig.invoked().is_empty());
    assert_eq!(rig.resume().invoked(), vec![record(3)]);
}

#[test]
fn twins_in_one_lane_are_settled_in_turn() {
    let mut rig = Rig::new(policy());
    rig.fetch(with_id(0, 1, 9)).fetch(with_id(1, 1, 9)).succeed(record(0));
    assert_eq!(rig.settled()[1], (record(1), Terminal::Duplicate));
}
