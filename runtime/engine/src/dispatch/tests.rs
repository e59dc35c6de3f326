//! How many attempts start, in which turn, and when none does.

use alloc::vec::Vec;

use crate::rig::{PARTITION, Rig, SUBSCRIPTION, assignment, fetched, invoked, policy, record};
use crate::{AttemptId, Effect, Fetched, Input, Outcome, Policy, SubscriptionId, WorkerPolicy};

fn started(rig: &Rig) -> usize {
    invoked(&rig.all).len()
}

#[test]
fn concurrency_is_met_and_not_passed() {
    let mut rig = Rig::new(Policy { concurrency: 2, ..policy() });
    for offset in 0..4 {
        rig.fetch(fetched(offset, u128::from(offset)));
    }
    assert_eq!(started(&rig), 2);
    rig.succeed(record(0));
    assert_eq!(started(&rig), 3);
    assert_eq!(rig.engine.figures(SUBSCRIPTION).events_in_flight, 2);
    assert_eq!(rig.engine.figures(SUBSCRIPTION).lanes_active, 3);
}

#[test]
fn attempts_of_all_subscriptions_stay_within_the_worker() {
    let worker = WorkerPolicy { attempts_max: 2, ..WorkerPolicy::default() };
    let mut rig = Rig::bare(worker, policy());
    rig.give(Input::Assigned(assignment(1).into()));
    for offset in 0..3 {
        rig.fetch(fetched(offset, u128::from(offset)));
    }
    assert_eq!(started(&rig), 2);
    rig.succeed(record(1));
    assert_eq!(started(&rig), 3);
}

#[test]
fn subscriptions_take_turns() {
    let worker = WorkerPolicy { attempts_max: 1, ..WorkerPolicy::default() };
    let mut rig = Rig::bare(worker, policy());
    let other = SubscriptionId(2);
    rig.subscribe(other, policy());
    rig.give(Input::Assigned(assignment(1).into()));
    let theirs = crate::Assignment { subscription: other, ..assignment(1) };
    rig.give(Input::Assigned(theirs.into()));
    let turn = u64::from(super::TURN);
    for offset in 0..=2 * turn {
        rig.fetch(fetched(offset, u128::from(offset)));
    }
    for offset in 0..=turn {
        rig.fetch(Fetched { subscription: other, ..fetched(offset, u128::from(offset)) });
    }
    // Room for one attempt cuts every turn short, and ends none.
    for _ in 0..=3 * turn {
        let attempt = *rig.engine.worker.running.keys().next().unwrap();
        let outcome = Outcome::Succeeded { timers: Vec::new(), size: crate::Bytes(0) };
        rig.give(Input::Finished { attempt, outcome });
    }
    let of = |effect: &Effect| match effect {
        Effect::Invoke { subscription, .. } => Some(*subscription),
        _ => None,
    };
    let started: Vec<_> = rig.all.iter().filter_map(of).collect();
    let mut turns: Vec<(SubscriptionId, u64)> = Vec::new();
    for subscription in started {
        match turns.last_mut().filter(|last| last.0 == subscription) {
            Some(last) => last.1 += 1,
            None => turns.push((subscription, 1)),
        }
    }
    // The first one was alone, and a turn of one.
    let ours = SUBSCRIPTION;
    let expected = [(ours, 1 + turn), (other, turn), (ours, turn), (other, 1)];
    assert_eq!(turns, expected);
}

#[test]
fn nothing_starts_while_paused_or_storage_is_low() {
    let low = |is_low| Input::StorageLow(is_low);
    let subscription = SUBSCRIPTION;
    let ends = Vec::new();
    for (stop, go) in [
        (low(true), low(false)),
        (Input::Paused { subscription }, Input::Resumed { subscription, ends }),
    ] {
        let mut rig = Rig::new(policy());
        rig.give(stop).fetch(fetched(0, 1));
        assert!(rig.invoked().is_empty());
        assert_eq!(rig.give(go).invoked(), [record(0)]);
    }
}

#[test]
fn attempts_end_once_and_only_if_they_began() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1));
    for never in [0, 2] {
        let attempt = AttemptId(never);
        let finished = Input::Finished { attempt, outcome: Outcome::Cancelled };
        assert!(rig.try_give(finished).is_err(), "attempt {never}");
    }
    rig.give(Input::Lost { subscription: SUBSCRIPTION, partition: PARTITION });
    assert!(rig.has(&Effect::Cancel { attempt: AttemptId(1) }));
    rig.succeed(record(0));
    assert!(rig.last.is_empty(), "a cancelled attempt had effects");
}

#[test]
fn a_new_policy_takes_hold_at_once() {
    let mut rig = Rig::new(Policy { concurrency: 1, ..policy() });
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 2));
    assert!(rig.invoked().is_empty());
    rig.subscribe(SUBSCRIPTION, policy());
    assert_eq!(rig.invoked(), [record(1)]);
}

#[test]
fn an_engine_at_rest_says_so() {
    let mut rig = Rig::new(policy());
    assert!(rig.engine.is_idle());
    assert!(!rig.fetch(fetched(0, 1)).engine.is_idle());
    assert!(!rig.succeed(record(0)).engine.is_idle());
    assert!(rig.commit(1).engine.is_idle());
}
