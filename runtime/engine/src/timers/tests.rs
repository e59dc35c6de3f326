//! Timers in their lanes: never early, held, overwritten, cancelled, once.

use alloc::vec;

use crate::rig::{
    Rig, SUBSCRIPTION, assignment, fetched, policy, position, record, set, timer, timer_entry,
};
use crate::{
    Assignment, Bytes, Effect, Input, Instant, KeyHash, Offset, Outcome, Policy, Position, Staged,
    Terminal, TimerChange, TimerHash,
};

fn with_timers(timers: vec::Vec<crate::TimerEntry>, end: u64) -> Assignment {
    let mut assignment = Assignment { timers, ..assignment(1) };
    assignment.cursors[0].end = Offset(end);
    assignment
}

#[test]
fn a_timer_fires_when_due_and_never_early() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).succeed_with(record(0), vec![set(7, 2_000)]);
    assert!(matches!(rig.settled()[0].1, Terminal::Succeeded { timer_sequence: 0, .. }));
    rig.commit(1);
    assert_eq!(rig.engine.next_deadline(), Some(Instant(2_000)));
    assert!(rig.at(1_999).invoked().is_empty());
    rig.at(2_000);
    assert!(matches!(
        rig.last[0],
        Effect::Invoke { event, key: Some(KeyHash(1)), number: 1, .. } if event == timer(7, 0)
    ));
    rig.succeed(timer(7, 0));
    assert_eq!(rig.engine.timer_count(SUBSCRIPTION), 0);
    assert!(matches!(rig.staged()[0], Staged::Settled { mark: None, parked: None, .. }));
}

#[test]
fn settings_overwrite_cancel_and_count_up() {
    let cancel = TimerChange::Cancel { timer: TimerHash(7) };
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 1)).fetch(fetched(2, 1));
    rig.succeed_with(record(0), vec![set(7, 2_000), set(8, 2_000), set(7, 3_000)]);
    assert_eq!(rig.engine.timer_count(SUBSCRIPTION), 2);
    rig.succeed_with(record(1), vec![cancel, set(9, 2_500)]);
    assert!(matches!(rig.settled()[0].1, Terminal::Succeeded { timer_sequence: 3, .. }));
    assert_eq!(rig.engine.timer_count(SUBSCRIPTION), 2);
    assert_eq!(rig.engine.figures(SUBSCRIPTION).timers_pending, 2);
    rig.succeed(record(2));
    assert_eq!(rig.at(5_000).invoked(), vec![timer(8, 1)]);
    assert_eq!(rig.succeed(timer(8, 1)).invoked(), vec![timer(9, 3)]);
}

#[test]
fn a_queued_timer_that_was_cancelled_or_overwritten_is_skipped() {
    let cancel = TimerChange::Cancel { timer: TimerHash(7) };
    for (change, fires) in [(cancel, vec![]), (set(7, 9_000), vec![timer(7, 1)])] {
        let mut rig = Rig::new(policy());
        rig.fetch(fetched(0, 1)).succeed_with(record(0), vec![set(7, 2_000)]);
        rig.fetch(fetched(1, 1)).at(2_000);
        assert!(rig.invoked().is_empty(), "it queues behind its lane");
        rig.succeed_with(record(1), vec![change]);
        assert!(rig.invoked().is_empty());
        assert_eq!(rig.at(9_000).invoked(), fires);
        assert!(rig.all.iter().all(|it| !matches!(it, Effect::Release { event, .. }
            if *event == timer(7, 0))));
    }
}

#[test]
fn a_timer_set_anew_by_its_own_run_stays() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).succeed_with(record(0), vec![set(7, 2_000)]);
    rig.at(2_000).succeed_with(timer(7, 0), vec![set(7, 3_000)]);
    assert_eq!(rig.engine.timer_count(SUBSCRIPTION), 1);
    assert_eq!(rig.at(3_000).invoked(), vec![timer(7, 1)]);
}

#[test]
fn overdue_timers_fire_in_order_of_due_time_and_setting() {
    let timers = vec![
        timer_entry(1, 1, 900, 5),
        timer_entry(2, 1, 800, 9),
        timer_entry(3, 1, 900, 4),
        timer_entry(4, 1, 1_001, 1),
    ];
    let mut rig = Rig::assigned(policy(), with_timers(timers, 0));
    assert_eq!(rig.invoked(), vec![timer(2, 9)]);
    assert_eq!(rig.succeed(timer(2, 9)).invoked(), vec![timer(3, 4)]);
    assert_eq!(rig.succeed(timer(3, 4)).invoked(), vec![timer(1, 5)]);
    assert!(rig.succeed_with(timer(1, 5), vec![set(9, 5_000)]).invoked().is_empty());
    // Numbers go on after the greatest restored.
    assert!(matches!(rig.settled()[0].1, Terminal::Succeeded { timer_sequence: 10, .. }));
}

#[test]
fn overdue_timers_wait_for_the_backlog_read_at_assignment() {
    let mut rig = Rig::assigned(policy(), with_timers(vec![timer_entry(7, 1, 500, 0)], 2));
    assert!(rig.invoked().is_empty());
    assert_eq!(rig.engine.next_deadline(), None);
    rig.fetch(fetched(0, 1));
    assert_eq!(rig.invoked(), vec![record(0)]);
    // The last of the backlog goes first, although the timer has long been due.
    rig.fetch(fetched(1, 1)).succeed(record(0));
    assert_eq!(rig.invoked(), vec![record(1)]);
    assert_eq!(rig.succeed(record(1)).invoked(), vec![timer(7, 0)]);
}

#[test]
fn overdue_timers_wait_until_it_is_known_where_the_backlog_ends() {
    let unknown = with_timers(vec![timer_entry(7, 1, 500, 0)], u64::MAX);
    let mut rig = Rig::assigned(policy(), unknown);
    rig.fetch(fetched(0, 2)).succeed(record(0));
    assert!(rig.invoked().is_empty(), "whatever was read");
    let ends = |offset| {
        let ends = vec![Position { offset: Offset(offset), ..position(0) }];
        Input::Ends { subscription: SUBSCRIPTION, ends }
    };
    assert!(rig.give(ends(2)).invoked().is_empty(), "one is still to be read");
    assert_eq!(rig.fetch(fetched(1, 2)).invoked(), vec![record(1), timer(7, 0)]);
    let unknown = with_timers(vec![timer_entry(7, 1, 500, 0)], u64::MAX);
    let mut rig = Rig::assigned(policy(), unknown);
    assert_eq!(rig.give(ends(0)).invoked(), vec![timer(7, 0)], "nothing is");
}

#[test]
fn every_topic_must_have_been_read() {
    let mut assignment = with_timers(vec![timer_entry(7, 1, 500, 0)], 1);
    assignment.cursors.push(crate::Cursor { end: Offset(1), ..crate::rig::cursor(2) });
    let mut rig = Rig::assigned(policy(), assignment);
    rig.fetch(fetched(0, 2));
    assert_eq!(rig.invoked(), vec![record(0)]);
    let mut other = fetched(0, 2);
    other.position.topic = crate::TopicId(2);
    assert_eq!(rig.fetch(other).invoked(), vec![timer(7, 0)]);
}

#[test]
fn timers_are_held_while_paused_and_until_the_ends_of_resume_are_read() {
    let mut rig = Rig::assigned(policy(), with_timers(vec![timer_entry(7, 1, 2_000, 0)], 0));
    rig.pause().at(3_000);
    assert!(rig.invoked().is_empty());
    let ends = vec![Position { offset: Offset(1), ..position(0) }];
    rig.give(Input::Resumed { subscription: SUBSCRIPTION, ends });
    assert!(rig.invoked().is_empty());
    rig.fetch(fetched(0, 1));
    assert_eq!(rig.invoked(), vec![record(0)]);
    assert_eq!(rig.succeed(record(0)).invoked(), vec![timer(7, 0)]);
}

#[test]
fn a_timer_in_its_lane_goes_back_when_resume_brings_a_backlog() {
    let mut rig = Rig::assigned(policy(), with_timers(vec![timer_entry(7, 1, 2_000, 0)], 0));
    rig.fetch(fetched(0, 1)).at(2_000);
    rig.pause().succeed(record(0));
    let ends = vec![Position { offset: Offset(2), ..position(0) }];
    rig.give(Input::Resumed { subscription: SUBSCRIPTION, ends });
    assert!(rig.invoked().is_empty(), "overtook the backlog");
    rig.fetch(fetched(1, 1)).succeed(record(1));
    assert_eq!(rig.invoked(), vec![timer(7, 0)]);
}

#[test]
fn only_a_window_of_due_timers_is_in_lanes() {
    let timers = (0..5).map(|n| timer_entry(n, n, 500, u64::try_from(n).unwrap())).collect();
    let limit = Policy { window_events: 2, ..policy() };
    let mut rig = Rig::assigned(limit, with_timers(timers, 0));
    assert_eq!(rig.invoked(), vec![timer(0, 0), timer(1, 1)]);
    assert_eq!(rig.succeed(timer(0, 0)).invoked(), vec![timer(2, 2)]);
}

#[test]
fn a_failed_attempt_changes_no_timer() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fail(record(0), crate::FailureClass::Trap);
    assert_eq!(rig.engine.timer_count(SUBSCRIPTION), 0);
    rig.at(1_100);
    let outcome = Outcome::Succeeded { timers: vec![set(7, 2_000)], size: Bytes(0) };
    rig.finish(record(0), outcome);
    assert_eq!(rig.engine.timer_count(SUBSCRIPTION), 1);
}
