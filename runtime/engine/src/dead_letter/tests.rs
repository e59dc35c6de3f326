//! What becomes of exhausted and invalid events, and of their lanes.

use alloc::vec;

use crate::rig::{Rig, SUBSCRIPTION, fetched, policy, record};
use crate::{
    ClassPolicy, Effect, FailureClass, Fetched, Instant, KeyHash, Observation, OnDead, OnExhausted,
    Policy, Staged, Terminal, Verdict,
};

fn exhausting(on_exhausted: OnExhausted) -> Policy {
    Policy { max_attempts: 1, on_exhausted, ..policy() }
}

#[test]
fn a_dead_letter_releases_its_lane() {
    let mut rig = Rig::new(exhausting(OnExhausted::DeadLetter));
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 1));
    rig.now = 1_010;
    rig.fail(record(0), FailureClass::Retryable);
    let dead = Terminal::DeadLettered {
        class: FailureClass::Retryable,
        attempts: 1,
        first_failure: Instant(1_010),
        last_failure: Instant(1_010),
    };
    assert_eq!(rig.settled(), vec![(record(0), dead)]);
    assert_eq!(rig.released(), vec![record(0)]);
    assert_eq!(rig.invoked(), vec![record(1)]);
}

#[test]
fn discard_is_an_outcome_of_its_own() {
    let mut rig = Rig::new(exhausting(OnExhausted::Discard));
    rig.fetch(fetched(0, 1)).fail(record(0), FailureClass::Retryable);
    let discarded = Terminal::Discarded { class: FailureClass::Retryable, attempts: 1 };
    assert_eq!(rig.settled(), vec![(record(0), discarded)]);
}

#[test]
fn a_class_may_have_its_own_way_out() {
    let own = ClassPolicy { max_attempts: Some(1), on_exhausted: Some(OnExhausted::Discard) };
    let classes = [(FailureClass::Trap, own)].into();
    let mut rig = Rig::new(Policy { classes, ..exhausting(OnExhausted::DeadLetter) });
    rig.fetch(fetched(0, 1)).fail(record(0), FailureClass::Trap);
    assert!(matches!(rig.settled()[..], [(_, Terminal::Discarded { .. })]));
}

#[test]
fn pause_key_waits_for_an_operator_and_starts_afresh() {
    let mut rig = Rig::new(exhausting(OnExhausted::PauseKey));
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 1)).fetch(fetched(2, 2));
    rig.fail(record(0), FailureClass::Retryable);
    assert_eq!(rig.parked(), vec![(record(0), 0, Instant::NEVER), (record(1), 1, Instant(1_000))]);
    rig.succeed(record(2));
    rig.commit(1);
    assert_eq!(rig.engine.next_deadline(), None);
    rig.resume();
    let retried = Staged::Retried {
        key: KeyHash(1),
        sequence: 0,
        attempts: 0,
        first_failure: None,
        due: Instant(1_000),
    };
    assert_eq!(rig.staged(), vec![retried]);
    assert_eq!(rig.invoked(), vec![record(0)]);
    rig.succeed(record(0));
    assert_eq!(rig.invoked(), vec![record(1)]);
}

#[test]
fn pause_subscription_keeps_the_event_at_the_head_of_its_lane() {
    let mut rig = Rig::new(exhausting(OnExhausted::PauseSubscription));
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 1)).fetch(fetched(2, 2));
    rig.fail(record(0), FailureClass::Retryable);
    let class = FailureClass::Retryable;
    assert!(
        rig.observed()
            .contains(&Observation::SubscriptionPaused { subscription: SUBSCRIPTION, class })
    );
    assert!(rig.staged().is_empty());
    rig.fetch(fetched(3, 3));
    assert!(rig.invoked().is_empty(), "dispatched while paused");
    rig.succeed(record(2));
    rig.resume();
    assert_eq!(rig.invoked(), vec![record(3), record(0)]);
    // Its attempts were reset: it fails for the first time again.
    rig.fail(record(0), FailureClass::Retryable);
    assert!(rig.settled().is_empty());
}

#[test]
fn block_key_parks_what_follows_until_resumed() {
    let blocking = Policy { on_dead: OnDead::BlockKey, ..exhausting(OnExhausted::DeadLetter) };
    let mut rig = Rig::new(blocking);
    rig.fetch(fetched(0, 1)).fail(record(0), FailureClass::Retryable);
    assert!(matches!(rig.settled()[..], [(_, Terminal::DeadLettered { .. })]));
    rig.fetch(fetched(1, 1));
    assert_eq!(rig.parked(), vec![(record(1), 0, Instant::NEVER)]);
    rig.fetch(fetched(2, 1)).fetch(fetched(3, 2));
    assert_eq!(rig.invoked(), vec![record(3)]);
    rig.resume();
    assert_eq!(rig.invoked(), vec![record(1)]);
    rig.succeed(record(1));
    assert_eq!(rig.invoked(), vec![record(2)]);
}

#[test]
fn a_blocked_lane_without_events_is_free_after_resume() {
    let blocking = Policy { on_dead: OnDead::BlockKey, ..exhausting(OnExhausted::DeadLetter) };
    let mut rig = Rig::new(blocking);
    rig.fetch(fetched(0, 1)).fail(record(0), FailureClass::Retryable);
    assert_eq!(rig.engine.figures(SUBSCRIPTION).lanes_parked, 1);
    rig.resume();
    assert_eq!(rig.engine.figures(SUBSCRIPTION).lanes_parked, 0);
    assert_eq!(rig.fetch(fetched(1, 1)).invoked(), vec![record(1)]);
}

#[test]
fn invalid_events_are_given_up_in_order_without_an_attempt() {
    let invalid = |offset, key| Fetched { verdict: Verdict::Invalid, ..fetched(offset, key) };
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fetch(invalid(1, 1));
    assert!(rig.settled().is_empty(), "an invalid event overtook its lane");
    rig.succeed(record(0));
    assert!(matches!(
        rig.settled()[..],
        [_, (_, Terminal::DeadLettered { class: FailureClass::Invalid, attempts: 0, .. })]
    ));
    assert!(rig.invoked().is_empty());
}

#[test]
fn a_null_key_is_invalid_only_with_state() {
    for (stateful, is_invoked) in [(false, true), (true, false)] {
        let mut rig = Rig::new(Policy { stateful, ..policy() });
        rig.fetch(Fetched { key: None, ..fetched(0, 1) });
        assert_eq!(!rig.invoked().is_empty(), is_invoked, "stateful {stateful}");
        let is_dead = matches!(rig.settled()[..], [(_, Terminal::DeadLettered { .. })]);
        assert_eq!(is_dead, stateful);
        let has_key = rig.last.iter().any(|it| matches!(it, Effect::Invoke { key: Some(_), .. }));
        assert!(!has_key);
    }
}
