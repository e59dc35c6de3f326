//! When a lane is parked, what follows it there, and how it drains in order.

use alloc::vec;

use crate::rig::{Rig, SUBSCRIPTION, assignment, fetched, policy, record, set, timer};
use crate::{
    Bytes, Effect, FailureClass, Fetched, Instant, KeyHash, Millis, Observation, Order,
    ParkedEvent, ParkedLane, Policy, Staged, Terminal,
};

fn parked_event(sequence: u64, offset: u64, attempts: u32, due: u64) -> ParkedEvent {
    ParkedEvent {
        sequence,
        event: record(offset),
        attempts,
        first_failure: (attempts > 0).then_some(Instant(500)),
        due: Instant(due),
        size: Bytes(100),
        id: None,
        redriven: false,
    }
}

fn restored(events: vec::Vec<ParkedEvent>) -> Rig {
    let mut assignment = assignment(1);
    assignment.cursors[0].stored = Some(crate::rig::stored(10, &[]));
    assignment.parked = vec![ParkedLane { key: KeyHash(1), events }];
    Rig::assigned(policy(), assignment)
}

#[test]
fn a_lane_parks_at_the_inline_limits_and_not_before() {
    // Limits, time of the last failure, attempts made, delay asked for, whether it parks.
    let limits = |attempts, time| Policy {
        inline_attempts: attempts,
        inline_time: Millis(time),
        ..policy()
    };
    for (policy, failures, at, asked, is_parked) in [
        (limits(3, 10_000), 2, 1_500, 0, false),
        (limits(3, 10_000), 3, 1_500, 0, true),
        (limits(9, 1_000), 2, 1_999, 0, false),
        (limits(9, 1_000), 2, 2_000, 0, true),
        (limits(9, 1_000), 1, 1_000, 1_000, false),
        (limits(9, 1_000), 1, 1_000, 1_001, true),
    ] {
        let mut rig = Rig::new(policy);
        rig.fetch(fetched(0, 1));
        for failure in 1..=failures {
            if failure == failures {
                rig.now = rig.now.max(at);
                rig.fail_asking(record(0), asked);
            } else {
                rig.fail(record(0), FailureClass::Retryable);
                let due = rig.engine.next_deadline().unwrap();
                rig.at(due.0);
            }
        }
        assert_eq!(!rig.parked().is_empty(), is_parked, "{failures} failures at {at}, {asked}");
    }
}

#[test]
fn parking_moves_the_lane_and_lets_its_partition_advance() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 1)).fail_asking(record(0), 5_000);
    let first = Staged::Parked {
        event: record(0),
        key: KeyHash(1),
        sequence: 0,
        attempts: 1,
        first_failure: Some(Instant(1_000)),
        due: Instant(6_000),
        id: None,
        redriven: false,
    };
    assert_eq!(rig.staged()[0], first);
    assert_eq!(rig.parked()[1], (record(1), 1, Instant(1_000)));
    assert_eq!(rig.released(), vec![record(0), record(1)]);
    assert!(rig.observed().contains(&Observation::LaneParked { subscription: SUBSCRIPTION }));
    assert_eq!(rig.progress(), Some((2, vec![])));
    rig.fetch(fetched(2, 1));
    assert_eq!(rig.parked(), vec![(record(2), 2, Instant(1_000))]);
    let figures = rig.engine.figures(SUBSCRIPTION);
    assert_eq!((figures.lanes_parked, figures.parked_events), (1, 3));
    assert_eq!((figures.oldest_parked, figures.retries_scheduled), (Some(Instant(1_000)), 1));
    assert_eq!(figures.lanes_active, 0);
}

#[test]
fn a_parked_lane_runs_in_order_and_becomes_ordinary_again() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 1)).fail_asking(record(0), 5_000);
    rig.at(5_999);
    assert!(rig.invoked().is_empty());
    rig.later(6_000);
    assert!(matches!(rig.last[0], Effect::Invoke { parked: Some(0), number: 2, .. }));
    rig.succeed(record(0));
    assert!(matches!(rig.staged()[0], Staged::Settled { parked: Some(0), .. }));
    assert!(rig.has_invoked_parked(record(1), 1));
    rig.succeed(record(1));
    let figures = rig.engine.figures(SUBSCRIPTION);
    assert_eq!((figures.lanes_parked, figures.parked_events, figures.oldest_parked), (0, 0, None));
    rig.fetch(fetched(2, 1));
    assert!(rig.parked().is_empty());
    assert_eq!(rig.invoked(), vec![record(2)]);
}

#[test]
fn a_parked_event_that_failed_waits_until_that_is_durable() {
    let mut rig = restored(vec![parked_event(4, 0, 2, 900), parked_event(5, 1, 0, 0)]);
    rig.fail(record(0), FailureClass::Retryable);
    let (checkpoint, _) = rig.committed().expect("at rest it closes at once");
    // Due, and its third failure still on its way to the disk: a crash now would forget it.
    assert!(rig.at(1_400).invoked().is_empty());
    rig.commit(checkpoint);
    assert!(matches!(rig.last[0], Effect::Invoke { parked: Some(4), number: 4, .. }));
    // What never failed has nothing to lose.
    rig.succeed(record(0));
    assert!(rig.has_invoked_parked(record(1), 5));
}

#[test]
fn a_parked_failure_is_retried_from_its_place() {
    let mut rig = restored(vec![parked_event(4, 0, 2, 900), parked_event(5, 1, 0, 0)]);
    assert!(rig.has_invoked_parked(record(0), 4));
    rig.fail(record(0), FailureClass::Retryable);
    let retried = Staged::Retried {
        key: KeyHash(1),
        sequence: 4,
        attempts: 3,
        first_failure: Some(Instant(500)),
        due: Instant(1_400),
    };
    assert_eq!(rig.staged(), vec![retried]);
    assert_eq!(rig.released(), vec![record(0)]);
    rig.fetch(fetched(10, 1));
    assert_eq!(rig.parked(), vec![(record(10), 6, Instant(1_000))]);
}

#[test]
fn a_parked_event_dies_in_its_place() {
    let mut rig = restored(vec![parked_event(0, 0, 7, 900), parked_event(1, 1, 0, 0)]);
    rig.fail(record(0), FailureClass::Retryable);
    assert!(matches!(
        rig.staged()[0],
        Staged::Settled {
            outcome: Terminal::DeadLettered { attempts: 8, .. },
            parked: Some(0),
            key: Some(KeyHash(1)),
            ..
        }
    ));
    assert_eq!(rig.invoked(), vec![record(1)]);
}

#[test]
fn restored_lanes_wait_for_their_head() {
    let mut rig = restored(vec![parked_event(0, 0, 2, 1_500)]);
    assert!(rig.invoked().is_empty());
    assert_eq!(rig.engine.next_deadline(), Some(Instant(1_500)));
    assert_eq!(rig.at(1_500).invoked(), vec![record(0)]);
    let mut never = restored(vec![parked_event(0, 0, 2, u64::MAX)]);
    assert_eq!(never.engine.next_deadline(), None);
    assert_eq!(never.resume().invoked(), vec![record(0)]);
}

#[test]
fn a_full_parked_lane_pauses_its_partition_until_half_is_free() {
    for by_bytes in [false, true] {
        let limit = if by_bytes {
            Policy { parked_bytes_max: Bytes(400), ..policy() }
        } else {
            Policy { parked_events_max: 4, ..policy() }
        };
        let mut rig = Rig::new(limit);
        rig.fetch(fetched(0, 1)).fail_asking(record(0), 5_000);
        rig.fetch(fetched(1, 1)).fetch(fetched(2, 1));
        assert!(rig.paused().is_empty());
        rig.fetch(fetched(3, 1));
        assert_eq!((rig.parked().len(), rig.paused()), (1, vec![true]), "by bytes {by_bytes}");
        // One past the limit stays in memory, unfinished and in order.
        rig.fetch(fetched(4, 1));
        assert!(rig.parked().is_empty() && rig.invoked().is_empty());
        rig.later(6_000).succeed(record(0)).succeed(record(1)).succeed(record(2));
        assert_eq!(rig.parked(), vec![(record(4), 4, Instant(6_000))]);
        assert_eq!(rig.paused(), vec![false]);
        rig.succeed(record(3));
        assert_eq!(rig.invoked(), vec![record(4)]);
    }
}

#[test]
fn timers_behind_a_parked_event_stay_in_memory() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).succeed_with(record(0), vec![set(7, 1_500)]);
    rig.fetch(fetched(1, 1)).at(1_500);
    rig.fail_asking(record(1), 5_000);
    assert_eq!(rig.parked().len(), 1);
    rig.later(6_500).succeed(record(1));
    assert_eq!(rig.invoked(), vec![timer(7, 0)]);
}

#[test]
fn a_failing_timer_is_moved_into_its_lane() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).succeed_with(record(0), vec![set(7, 1_500)]);
    rig.at(1_500).fail_asking(timer(7, 0), 5_000);
    assert_eq!(rig.parked(), vec![(timer(7, 0), 0, Instant(6_500))]);
    assert_eq!(rig.engine.timer_count(SUBSCRIPTION), 0);
    rig.later(6_500);
    assert!(rig.has_invoked_parked(timer(7, 0), 0));
    // Set anew by its own run: the new setting stays, under a greater sequence.
    rig.succeed_with(timer(7, 0), vec![set(7, 9_000)]);
    assert_eq!(rig.engine.timer_count(SUBSCRIPTION), 1);
    assert_eq!(rig.at(9_000).invoked(), vec![timer(7, 1)]);
}

#[test]
fn lanes_that_are_not_a_keys_are_parked_under_a_name_of_their_own() {
    for order in [Order::None, Order::Partition] {
        let mut rig = Rig::new(Policy { order, ..policy() });
        rig.fetch(Fetched { key: None, ..fetched(0, 1) }).fetch(fetched(1, 1));
        rig.fail_asking(record(0), 5_000);
        let Some(Staged::Parked { key, .. }) = rig.staged().first().cloned() else {
            panic!("{order:?} did not park");
        };
        assert_eq!(rig.parked().len(), if order == Order::None { 1 } else { 2 });
        rig.later(6_000);
        let is_named = rig.last.iter().any(|effect| {
            matches!(effect, Effect::Invoke { key: Some(of), parked: Some(0), .. } if *of == key)
        });
        assert!(is_named, "{order:?}");
    }
}

impl Rig {
    fn has_invoked_parked(&self, wanted: crate::EventRef, sequence: u64) -> bool {
        self.all.iter().any(|effect| {
            matches!(effect, Effect::Invoke { event, parked, .. }
                if *event == wanted && *parked == Some(sequence))
        })
    }
}
