//! How partitions and the host are given up: revoked, lost, drained.

use alloc::vec;

use crate::rig::{PARTITION, Rig, SUBSCRIPTION, assignment, fetched, policy, record};
use crate::{
    AttemptId, Effect, EventRef, FailureClass, Fetched, Generation, Input, Instant, PartitionId,
};

const GENERATION: Generation = Generation(1);

fn released() -> Effect {
    let (subscription, partition) = (SUBSCRIPTION, PARTITION);
    Effect::Released { subscription, partition, generation: GENERATION }
}

fn release(event: EventRef) -> Effect {
    Effect::Release { subscription: SUBSCRIPTION, event }
}

fn discard() -> Effect {
    let (subscription, partition) = (SUBSCRIPTION, PARTITION);
    Effect::Discard { subscription, partition, generation: GENERATION }
}

fn lose(rig: &mut Rig) {
    rig.give(Input::Lost { subscription: SUBSCRIPTION, partition: PARTITION });
}

#[test]
fn an_idle_partition_is_given_back_at_once() {
    let mut rig = Rig::new(policy());
    assert_eq!(rig.revoke().last, vec![released()]);
    rig.give(Input::Assigned(assignment(2).into()));
    assert!(rig.try_give(Input::Assigned(assignment(3).into())).is_err());
}

#[test]
fn what_runs_may_finish_and_is_committed_before_the_release() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 1)).revoke();
    assert!(rig.last.is_empty());
    rig.succeed(record(0));
    assert!(rig.invoked().is_empty(), "dispatched while revoked");
    assert_eq!(rig.progress(), Some((1, vec![])));
    assert!(!rig.has(&released()));
    rig.commit(1);
    assert_eq!(rig.last, vec![release(record(1)), released()]);
}

#[test]
fn staged_effects_are_committed_without_waiting_for_what_runs() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 2)).succeed(record(0)).revoke();
    assert_eq!(rig.progress(), Some((1, vec![])));
    rig.commit(1);
    assert!(!rig.has(&released()));
    rig.succeed(record(1)).commit(2);
    assert!(rig.has(&released()));
}

#[test]
fn what_still_runs_is_cancelled_when_the_time_is_up() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).revoke();
    assert_eq!(rig.engine.next_deadline(), Some(Instant(6_000)));
    assert!(rig.at(5_999).last.is_empty());
    let cancel = Effect::Cancel { attempt: AttemptId(1) };
    assert_eq!(rig.at(6_000).last, vec![cancel, release(record(0)), released()]);
    assert_eq!(rig.engine.next_deadline(), None);
}

#[test]
fn a_revoked_partition_that_is_aborted_is_not_read_again_here() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).succeed(record(0)).revoke().abort(1);
    assert_eq!(rig.last, vec![discard(), released()]);
}

#[test]
fn a_partition_that_is_being_rewound_is_given_back_at_once() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).succeed(record(0)).abort(1).revoke();
    assert_eq!(rig.last, vec![released()]);
}

#[test]
fn records_of_a_revoked_partition_are_let_go() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).revoke().fetch(fetched(1, 2));
    assert_eq!(rig.last, vec![release(record(1))]);
}

#[test]
fn a_lost_partition_is_dropped_at_once() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 2)).fetch(fetched(2, 3));
    rig.succeed(record(0)).fail(record(1), FailureClass::Retryable);
    lose(&mut rig);
    let cancel = Effect::Cancel { attempt: AttemptId(3) };
    let expected = vec![cancel, discard(), release(record(1)), release(record(2))];
    assert_eq!(rig.last, expected);
    assert!(rig.engine.is_idle(), "what was discarded is committed");
    assert_eq!(rig.engine.next_deadline(), None);
    lose(&mut rig);
    assert!(rig.last.is_empty());
}

#[test]
fn losing_one_partition_keeps_what_others_staged() {
    let mut rig = Rig::new(policy());
    let other = crate::Assignment { partition: PartitionId(1), ..assignment(1) };
    rig.give(Input::Assigned(other.into()));
    let mut theirs = fetched(0, 1);
    theirs.position.partition = PartitionId(1);
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 2)).fetch(theirs.clone());
    rig.succeed(EventRef::Record(theirs.position)).succeed(record(0));
    lose(&mut rig);
    let (_, progress) = rig.committed().unwrap();
    assert_eq!((progress.len(), progress[0].partition), (1, PartitionId(1)));
}

#[test]
fn a_drained_host_has_everything_committed() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 1)).fetch(fetched(2, 2)).give(Input::Drain);
    assert!(rig.last.is_empty());
    rig.succeed(record(0));
    assert!(rig.invoked().is_empty());
    assert_eq!(rig.progress(), Some((1, vec![])));
    // This fills while the other commits.
    rig.succeed(record(2));
    assert_eq!(rig.committed(), None);
    rig.commit(1);
    assert_eq!(rig.progress(), Some((1, vec![crate::rig::range(2, 3)])));
    assert!(!rig.has(&Effect::Drained));
    assert_eq!(rig.commit(2).last, vec![Effect::Drained]);
    assert!(rig.give(Input::Drain).last.is_empty(), "drained twice");
}

#[test]
fn draining_interrupts_when_the_time_is_up() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).give(Input::Drain);
    assert!(rig.at(5_999).last.is_empty());
    let cancel = Effect::Cancel { attempt: AttemptId(1) };
    assert_eq!(rig.at(6_000).last, vec![cancel, Effect::Drained]);
}

#[test]
fn an_idle_host_is_drained_at_once_and_takes_nothing_more() {
    let mut rig = Rig::new(policy());
    assert_eq!(rig.give(Input::Drain).last, vec![Effect::Drained]);
    assert_eq!(rig.fetch(fetched(0, 1)).last, vec![release(record(0))]);
}

#[test]
fn an_abort_while_draining_ends_the_drain() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).succeed(record(0)).give(Input::Drain).abort(1);
    assert!(rig.has(&Effect::Drained));
    let again = crate::Assignment { cursors: vec![crate::rig::cursor(1)], ..assignment(2) };
    rig.give(Input::Assigned(again.into()));
    rig.fetch(Fetched { generation: Generation(2), ..fetched(0, 1) });
    assert_eq!(rig.last, vec![release(record(0))]);
    assert_eq!(rig.committed(), None);
}
