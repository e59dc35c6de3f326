//! Delays, attempts and ages at their limits and one past them.

use alloc::vec;

use super::{Jitter, delay, interval};
use crate::rig::{Rig, fetched, policy, record};
use crate::{
    ClassPolicy, Effect, FailureClass, Instant, Millis, Observation, OnExhausted, Outcome, Policy,
    Staged, Terminal,
};

fn check_interval(policy: &Policy, failures: u32, millis: u64) {
    assert_eq!(interval(policy, failures), Millis(millis), "after {failures} failures");
}

#[test]
fn intervals_grow_up_to_the_longest() {
    let policy = policy();
    for (failures, millis) in
        [(1, 100), (2, 200), (3, 400), (9, 25_600), (10, 30_000), (u32::MAX, 30_000)]
    {
        check_interval(&policy, failures, millis);
    }
    let flat = Policy { multiplier_permille: 1_000, ..policy.clone() };
    check_interval(&flat, u32::MAX, 100);
    let none = Policy { initial_interval: Millis(0), ..policy.clone() };
    check_interval(&none, u32::MAX, 0);
    let slow = Policy { multiplier_permille: 1_001, initial_interval: Millis(1), ..policy };
    check_interval(&slow, 1_000, 2);
    check_interval(&slow, u32::MAX, 30_000);
}

#[test]
fn jitter_only_extends_and_stays_within_its_share() {
    let policy = Policy { jitter_permille: 200, ..policy() };
    let mut jitter = Jitter::new(1);
    let delays: vec::Vec<u64> =
        (0..1_000).map(|_| delay(&policy, &mut jitter, 1, None).0).collect();
    assert_eq!(delays.iter().min(), Some(&100));
    assert_eq!(delays.iter().max(), Some(&120));
}

#[test]
fn what_the_handler_asks_for_is_a_minimum_with_a_limit() {
    let policy = Policy { retry_after_max: Millis(5_000), ..policy() };
    for (asked, millis) in [(0, 100), (100, 100), (101, 101), (5_000, 5_000), (5_001, 5_000)] {
        let delay = delay(&policy, &mut Jitter::new(1), 1, Some(Millis(asked)));
        assert_eq!(delay, Millis(millis), "asked for {asked}");
    }
}

/// An event that fails with `class` every time: counted attempts at its dead letter.
fn check_attempts(policy: Policy, class: FailureClass, attempts: u32) {
    let mut rig = Rig::new(policy);
    rig.fetch(fetched(0, 1));
    for number in 1..=attempts {
        let is_right = rig
            .all
            .iter()
            .any(|effect| matches!(effect, Effect::Invoke { number: of, .. } if *of == number));
        assert!(is_right, "{class:?} had no attempt {number}");
        rig.fail(record(0), class);
        rig.later(rig.now + 60_000);
    }
    let dead = rig.all.iter().find_map(|effect| match effect {
        Effect::Stage {
            staged: Staged::Settled { outcome: Terminal::DeadLettered { attempts, .. }, .. },
            ..
        } => Some(*attempts),
        _ => None,
    });
    assert_eq!(dead, Some(attempts), "{class:?}");
}

#[test]
fn attempts_end_at_the_limit_of_their_class() {
    for (class, attempts) in [
        (FailureClass::Retryable, 8),
        (FailureClass::Rejected, 1),
        (FailureClass::Output, 1),
        (FailureClass::Trap, 2),
        (FailureClass::Timeout, 3),
        (FailureClass::Memory, 2),
    ] {
        check_attempts(policy(), class, attempts);
    }
    let bare = Policy { classes: [].into(), max_attempts: 2, ..policy() };
    check_attempts(bare.clone(), FailureClass::Trap, 2);
    check_attempts(bare.clone(), FailureClass::Rejected, 1);
    let named = ClassPolicy { max_attempts: Some(3), on_exhausted: None };
    let named = Policy { classes: [(FailureClass::Rejected, named)].into(), ..bare };
    check_attempts(named, FailureClass::Rejected, 3);
}

#[test]
fn infrastructure_failures_are_never_counted_and_never_park() {
    let mut rig = Rig::new(Policy { max_attempts: 1, max_age: Millis(1), ..policy() });
    rig.fetch(fetched(0, 1));
    for outage in 1..=20 {
        rig.fail(record(0), FailureClass::Infrastructure);
        let subscription = crate::rig::SUBSCRIPTION;
        let class = FailureClass::Infrastructure;
        assert_eq!(rig.observed(), vec![Observation::AttemptFailed { subscription, class }]);
        assert!(rig.staged().is_empty(), "outage {outage}");
        let due = rig.engine.next_deadline().unwrap();
        assert_eq!(due.since(Instant(rig.now)), interval(&policy(), outage), "outage {outage}");
        rig.at(due.0 - 1);
        assert!(rig.invoked().is_empty());
        rig.at(due.0);
        assert_eq!(rig.invoked(), vec![record(0)]);
    }
    rig.fail(record(0), FailureClass::Retryable);
    assert!(matches!(rig.settled()[..], [(_, Terminal::DeadLettered { attempts: 1, .. })]));
}

#[test]
fn age_exhausts_at_the_limit_and_not_before() {
    for (age, is_dead) in [(4_999, false), (5_000, true)] {
        let limits = Policy {
            max_age: Millis(5_000),
            inline_attempts: 9,
            inline_time: Millis(60_000),
            ..policy()
        };
        let mut rig = Rig::new(limits);
        rig.fetch(fetched(0, 1)).fail(record(0), FailureClass::Retryable);
        rig.at(1_100);
        rig.now = 1_000 + age;
        rig.fail(record(0), FailureClass::Retryable);
        assert_eq!(!rig.settled().is_empty(), is_dead, "age {age}");
    }
}

#[test]
fn a_cancelled_attempt_is_none() {
    let mut rig = Rig::new(Policy { max_attempts: 1, ..policy() });
    rig.fetch(fetched(0, 1)).finish(record(0), Outcome::Cancelled);
    assert_eq!(rig.invoked(), vec![record(0)]);
    assert!(rig.has(&Effect::Invoke {
        attempt: crate::AttemptId(2),
        subscription: crate::rig::SUBSCRIPTION,
        partition: crate::rig::PARTITION,
        key: Some(crate::KeyHash(1)),
        event: record(0),
        parked: None,
        number: 1,
        version: crate::Version(1),
    }));
}

#[test]
fn same_seed_and_inputs_give_same_effects() {
    let run = || {
        let mut rig = Rig::new(Policy {
            on_exhausted: OnExhausted::Discard,
            jitter_permille: 200,
            ..policy()
        });
        for offset in 0..50 {
            rig.fetch(fetched(offset, u128::from(offset % 5)));
        }
        for _ in 0..200 {
            let running = rig.engine.worker.running.keys().next().copied();
            if let Some(attempt) = running {
                let class = FailureClass::Retryable;
                let outcome = Outcome::Failed { class, retry_after: None };
                rig.give(crate::Input::Finished { attempt, outcome });
            }
            let due = rig.engine.next_deadline().map_or(rig.now, |due| due.0.max(rig.now));
            rig.later(due);
        }
        rig.all
    };
    let first = run();
    assert!(first.len() > 200);
    assert_eq!(first, run());
}
