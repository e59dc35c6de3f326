//! What becomes of a record that was read: accepted, filtered, stale, already finished.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::rig::{
    PARTITION, Rig, SUBSCRIPTION, assignment, fetched, mark, policy, position, record, timer,
    timer_entry, with_id,
};
use crate::{
    Bytes, Effect, FailureClass, Fetched, Generation, Input, Instant, KeyHash, Observation, Offset,
    Order, ParkedEvent, ParkedLane, PartitionId, Policy, Position, Staged, SubscriptionId,
    Terminal, TopicId, Verdict, WorkerPolicy,
};

#[test]
fn an_offset_that_is_finished_is_dropped() {
    let mut assignment = assignment(1);
    assignment.cursors[0].stored = Some(crate::rig::stored(3, &[(5, 6)]));
    let mut rig = Rig::assigned(policy(), assignment);
    for (offset, is_finished) in [(2, true), (3, false), (5, true), (6, false)] {
        rig.fetch(fetched(offset, u128::from(offset)));
        let finished = Observation::AlreadyFinished { subscription: SUBSCRIPTION };
        assert_eq!(rig.observed() == [finished], is_finished, "offset {offset}");
        assert_eq!(rig.invoked().is_empty(), is_finished, "offset {offset}");
        assert_eq!(rig.released().is_empty(), !is_finished, "offset {offset}");
    }
}

/// Offset 5 is parked and finished, 3 and 4 are not.
fn parked_behind_unfinished() -> Rig {
    let mut assignment = assignment(1);
    assignment.cursors[0].stored = Some(crate::rig::stored(3, &[(5, 6)]));
    let parked = ParkedEvent {
        sequence: 0,
        event: record(5),
        attempts: 3,
        first_failure: Some(Instant(500)),
        due: Instant(900),
        size: Bytes(100),
        id: None,
        redriven: false,
    };
    assignment.parked = vec![ParkedLane { key: KeyHash(5), events: vec![parked] }];
    Rig::assigned(policy(), assignment)
}

#[test]
fn a_parked_event_that_is_read_again_while_it_runs_keeps_its_bytes() {
    let mut rig = parked_behind_unfinished();
    assert_eq!(rig.invoked(), vec![record(5)]);
    rig.fetch(fetched(3, 3)).fetch(fetched(5, 5));
    assert_eq!(rig.released(), vec![]);
    rig.succeed(record(5));
    assert_eq!(rig.released(), vec![record(5)], "once its outcome is staged");
    rig.fetch(fetched(6, 6)).give(Input::Drain).fetch(fetched(7, 5));
    assert_eq!(rig.released(), vec![record(7)]);
}

#[test]
fn a_parked_event_that_is_read_again_between_attempts_has_no_bytes_to_keep() {
    let mut rig = parked_behind_unfinished();
    rig.fail(record(5), FailureClass::Retryable);
    assert_eq!(rig.released(), vec![record(5)]);
    rig.fetch(fetched(3, 3)).fetch(fetched(5, 5));
    assert_eq!(rig.released(), vec![record(5)]);
}

#[test]
fn a_parked_event_that_is_read_again_while_its_partition_drains_keeps_its_bytes() {
    let mut rig = parked_behind_unfinished();
    rig.fetch(fetched(3, 3)).give(Input::Drain).fetch(fetched(5, 5));
    assert_eq!(rig.released(), vec![]);
    rig.succeed(record(5));
    assert_eq!(rig.released(), vec![record(5)]);
}

#[test]
fn what_an_older_assignment_read_is_stale() {
    let stale = Effect::Observe(Observation::Stale { subscription: SUBSCRIPTION });
    let release = Effect::Release { subscription: SUBSCRIPTION, event: record(0) };
    let mut rig = Rig::assigned(policy(), assignment(2));
    rig.fetch(fetched(0, 1));
    assert_eq!(rig.last, vec![stale.clone(), release.clone()]);
    rig.give(Input::Lost { subscription: SUBSCRIPTION, partition: PARTITION });
    rig.fetch(Fetched { generation: Generation(2), ..fetched(0, 1) });
    assert_eq!(rig.last, vec![stale, release]);
}

#[test]
fn a_driver_that_breaks_the_protocol_is_told() {
    let at = |change: fn(&mut Fetched)| {
        let mut fetched = fetched(1, 1);
        change(&mut fetched);
        fetched
    };
    for broken in [
        at(|it| it.subscription = SubscriptionId(9)),
        at(|it| it.generation = Generation(2)),
        at(|it| it.position.partition = PartitionId(5)),
        at(|it| it.position.topic = TopicId(9)),
        at(|it| it.position = Position { offset: Offset(0), ..it.position }),
    ] {
        let mut rig = Rig::new(policy());
        rig.fetch(fetched(0, 1));
        assert!(rig.try_give(Input::Fetched(broken.clone())).is_err(), "{broken:?}");
    }
}

#[test]
fn filtered_events_are_settled_at_once_unless_nothing_may_be() {
    let filtered = Fetched { verdict: Verdict::Filtered, ..fetched(1, 1) };
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fetch(filtered.clone());
    assert_eq!(rig.settled(), vec![(record(1), Terminal::Filtered)]);
    let mut rig = Rig::new(policy());
    rig.give(Input::StorageLow(true)).fetch(filtered);
    assert!(rig.settled().is_empty());
    rig.give(Input::StorageLow(false));
    assert_eq!(rig.settled(), vec![(record(1), Terminal::Filtered)]);
}

/// Read again after a crash it may be none any more, as when the topic its mark speaks of was made
/// anew: nothing after it in its lane may have been finished or parked (found by seed 15516).
#[test]
fn a_duplicate_that_cannot_be_settled_keeps_its_place() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fail_asking(record(0), 5_000);
    rig.give(Input::StorageLow(true));
    rig.fetch(Fetched { mark: Some(mark(0, 0)), ..with_id(1, 2, 9) }).fetch(fetched(2, 2));
    assert!(rig.settled().is_empty() && rig.parked().is_empty());
    rig.give(Input::StorageLow(false));
    assert_eq!(rig.settled(), vec![(record(1), Terminal::Duplicate)]);
    assert_eq!(rig.invoked(), vec![record(2)]);
    let settled = |effect: &Effect| matches!(effect, Effect::Stage { .. });
    let invoked = |effect: &Effect| matches!(effect, Effect::Invoke { .. });
    assert!(rig.last.iter().position(settled) < rig.last.iter().position(invoked));
}

#[test]
fn order_decides_which_events_wait_for_each_other() {
    let keys = [Some(1), Some(1), Some(2), None, None];
    for (order, running) in [
        (Order::Key, vec![0, 2, 3, 4]),
        (Order::Partition, vec![0]),
        (Order::None, vec![0, 1, 2, 3, 4]),
    ] {
        let mut rig = Rig::new(Policy { order, ..policy() });
        for (offset, key) in (0..).zip(keys) {
            rig.fetch(Fetched { key: key.map(KeyHash), ..fetched(offset, 0) });
        }
        let running: Vec<_> = running.into_iter().map(record).collect();
        assert_eq!(crate::rig::invoked(&rig.all), running, "{order:?}");
    }
}

#[test]
fn topics_of_a_subscription_share_their_lanes() {
    let mut assignment = assignment(1);
    assignment.cursors.push(crate::rig::cursor(2));
    let mut rig = Rig::assigned(policy(), assignment);
    let mut other = fetched(0, 1);
    other.position.topic = TopicId(2);
    rig.fetch(fetched(0, 1)).fetch(other.clone());
    assert!(rig.invoked().is_empty());
    rig.succeed(record(0));
    assert_eq!(rig.invoked(), vec![crate::EventRef::Record(other.position)]);
}

#[test]
fn an_end_that_is_reached_is_committed_and_frees_overdue_timers() {
    let mut assignment = assignment(1);
    assignment.cursors[0].end = Offset(3);
    assignment.timers = vec![timer_entry(9, 4, 500, 0)];
    let mut rig = Rig::assigned(policy(), assignment);
    assert_eq!(rig.invoked(), vec![], "the timer waits for what may lie before the end");
    let end = |generation, offset| Input::Reached {
        subscription: SUBSCRIPTION,
        generation: Generation(generation),
        end: position(offset),
    };
    rig.give(end(2, 3));
    assert_eq!(rig.invoked(), vec![], "of another assignment");
    rig.give(end(1, 3));
    assert_eq!(rig.invoked(), vec![timer(9, 0)]);
    let progress = rig.all.iter().rev().find_map(|effect| match effect {
        Effect::Commit { progress, .. } => progress.first().map(|it| it.next),
        _ => None,
    });
    rig.succeed(timer(9, 0));
    let settled = rig.all.iter().rev().find_map(|effect| match effect {
        Effect::Commit { progress, .. } => progress.first().map(|it| it.next),
        _ => None,
    });
    assert_eq!(progress.or(settled), Some(Offset(3)));
}

fn forwarded(offset: u64, key: u128) -> Fetched {
    Fetched { verdict: Verdict::Forwarded, ..fetched(offset, key) }
}

#[test]
fn what_belongs_elsewhere_is_forwarded_in_order_without_an_attempt() {
    let mut rig = Rig::new(policy());
    // The key is busy here, and no twin holds up what is looked at elsewhere.
    rig.fetch(with_id(0, 1, 7));
    assert_eq!(rig.invoked(), vec![record(0)]);
    for offset in [1, 2] {
        rig.fetch(Fetched { id: with_id(0, 1, 7).id, ..forwarded(offset, 1) });
        assert_eq!(rig.settled(), vec![(record(offset), Terminal::Forwarded)]);
        assert!(matches!(rig.staged()[..], [Staged::Settled { mark: None, parked: None, .. }]));
        assert_eq!(rig.released(), vec![record(offset)]);
        assert!(rig.invoked().is_empty());
    }
}

#[test]
fn what_cannot_be_forwarded_at_once_is_not_overtaken() {
    let worker = WorkerPolicy { checkpoint_bytes_max: Bytes(100), ..WorkerPolicy::default() };
    let mut rig = Rig::bare(worker, policy());
    rig.give(Input::Assigned(Box::new(assignment(1))));
    // The first fills a checkpoint, which begins to commit; two more fill the next beyond measure.
    for offset in 0..3 {
        rig.fetch(forwarded(offset, u128::from(offset)));
        assert_eq!(rig.settled(), vec![(record(offset), Terminal::Forwarded)], "{offset}");
    }
    for offset in [3, 4] {
        assert!(rig.fetch(forwarded(offset, 9)).settled().is_empty(), "{offset}");
    }
    rig.commit(1);
    let order = vec![(record(3), Terminal::Forwarded), (record(4), Terminal::Forwarded)];
    assert_eq!(rig.settled(), order);
}

#[test]
fn a_key_that_is_parked_holds_up_nothing_that_is_forwarded() {
    let mut rig = parked_behind_unfinished();
    assert_eq!(rig.invoked(), vec![record(5)]);
    rig.fetch(forwarded(3, 5));
    assert_eq!(rig.settled(), vec![(record(3), Terminal::Forwarded)]);
}

#[test]
fn without_a_key_there_is_nowhere_to_forward_state_to() {
    for (stateful, is_forwarded) in [(false, true), (true, false)] {
        let mut rig = Rig::new(Policy { stateful, ..policy() });
        rig.fetch(Fetched { key: None, ..forwarded(0, 1) });
        let [(_, outcome)] = &rig.settled()[..] else { panic!("{:?}", rig.last) };
        assert_eq!(*outcome == Terminal::Forwarded, is_forwarded, "{outcome:?}");
        let is_dead =
            matches!(outcome, Terminal::DeadLettered { class: FailureClass::Invalid, .. });
        assert_eq!(is_dead, !is_forwarded, "{outcome:?}");
    }
}
