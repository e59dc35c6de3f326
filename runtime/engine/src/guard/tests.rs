//! Holds the guard to its limits, and to who ends its pause.

use crate::rig::{Rig, SUBSCRIPTION, fetched, policy, record};
use crate::{FailureClass, GuardPolicy, Input, Millis, Observation, Policy};

const GUARD: GuardPolicy = GuardPolicy { events_min: 10, dead_permille: 200, span: Millis(60_000) };
const TOLD: Observation = Observation::TooManyDead { subscription: SUBSCRIPTION };

/// So many events, of which the last are rejected.
fn settled(events: u64, dead: u64) -> Rig {
    let mut rig = Rig::new(Policy { guard: Some(GUARD), ..policy() });
    settle(&mut rig, 0, events, dead);
    rig
}

fn settle(rig: &mut Rig, first: u64, events: u64, dead: u64) {
    for offset in first..first + events {
        rig.fetch(fetched(offset, offset.into()));
        if offset < first + events - dead {
            rig.succeed(record(offset));
        } else {
            rig.fail(record(offset), FailureClass::Rejected);
        }
    }
}

fn is_paused(rig: &mut Rig) -> bool {
    rig.fetch(fetched(1_000, 1_000)).invoked().is_empty()
}

#[test]
fn more_dead_letters_than_its_share_pause_the_subscription() {
    for (events, dead, pauses) in [(9, 9, false), (10, 2, false), (10, 3, true), (15, 3, false)] {
        let mut rig = settled(events, dead);
        assert_eq!(rig.observed().contains(&TOLD), pauses, "{dead} of {events}");
        assert_eq!(is_paused(&mut rig), pauses, "{dead} of {events}");
    }
}

#[test]
fn what_is_older_than_its_span_does_not_count() {
    let mut rig = settled(10, 2);
    rig.now += 60_000;
    settle(&mut rig, 10, 1, 1);
    assert!(!is_paused(&mut rig));
}

#[test]
fn whoever_resumes_it_has_looked() {
    let mut rig = settled(10, 3);
    rig.give(Input::Resumed { subscription: SUBSCRIPTION, ends: [].into() });
    settle(&mut rig, 20, 9, 9);
    assert!(!rig.all.ends_with(&[crate::Effect::Observe(TOLD)]));
    settle(&mut rig, 30, 1, 1);
    assert!(rig.observed().contains(&TOLD));
}

#[test]
fn a_policy_without_a_guard_pauses_nothing() {
    let mut rig = Rig::new(policy());
    settle(&mut rig, 0, 500, 500);
    assert!(!is_paused(&mut rig));
}
