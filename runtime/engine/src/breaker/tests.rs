//! Holds the breaker to when it opens, what it lets through and when it closes.

use alloc::vec;
use alloc::vec::Vec;

use crate::rig::{
    PARTITION, Rig, SUBSCRIPTION, fetched, policy, position, record, timer_entry, with_id,
};
use crate::{
    Assignment, BreakerPolicy, Circuit, Effect, EventRef, FailureClass, Fetched, Input, Instant,
    Millis, Observation, Policy, Position, Staged, Terminal,
};

const BREAKER: BreakerPolicy = BreakerPolicy {
    attempts_min: 4,
    failures_permille: 500,
    span: Millis(30_000),
    outages_max: 3,
    pause: Millis(10_000),
    pause_max: Millis(25_000),
    falls_back: false,
};

fn breaking() -> Policy {
    Policy { breaker: Some(BREAKER), inline_attempts: 100, max_attempts: 100, ..policy() }
}

fn circuit(rig: &Rig) -> Circuit {
    rig.engine.figures(SUBSCRIPTION).circuit
}

fn told(circuit: Circuit) -> Observation {
    Observation::Breaker { subscription: SUBSCRIPTION, circuit }
}

fn probed(rig: &mut Rig, ends: Vec<Position>) {
    assert!(rig.has(&Effect::Probe { subscription: SUBSCRIPTION }), "{:?}", rig.last);
    rig.give(Input::Probed { subscription: SUBSCRIPTION, ends });
}

/// Events 0 to 3, each of its own key, of which the first two succeeded.
fn half() -> Rig {
    let mut rig = Rig::new(breaking());
    for offset in 0..4 {
        rig.fetch(fetched(offset, offset.into()));
    }
    rig.succeed(record(0)).succeed(record(1));
    rig
}

/// The same, and the breaker open since moment 1,000.
fn open() -> Rig {
    let mut rig = half();
    rig.fail(record(2), FailureClass::Trap).fail(record(3), FailureClass::Retryable);
    assert_eq!(circuit(&rig), Circuit::Open);
    rig
}

#[test]
fn it_opens_at_its_share_of_failures_and_not_before() {
    let mut rig = half();
    rig.fail(record(2), FailureClass::Timeout);
    assert_eq!(circuit(&rig), Circuit::Closed, "three attempts say nothing");
    rig.fail(record(3), FailureClass::Memory);
    assert!(rig.observed().contains(&told(Circuit::Open)));
    let mut rig = half();
    rig.fail(record(2), FailureClass::Retryable).fail(record(3), FailureClass::Rejected);
    assert_eq!(circuit(&rig), Circuit::Closed, "what is rejected is the event's fault");
    rig.at(31_000).fail(record(2), FailureClass::Retryable);
    rig.at(32_000).fail(record(2), FailureClass::Retryable);
    assert_eq!(circuit(&rig), Circuit::Closed, "those of before are out of the span");
}

#[test]
fn outages_in_a_row_open_it_however_few_attempts_there_were() {
    let breaker = Some(BreakerPolicy { attempts_min: 1_000, ..BREAKER });
    let mut rig = Rig::new(Policy { breaker, ..breaking() });
    for offset in 0..3 {
        rig.fetch(fetched(offset, offset.into()));
    }
    rig.fail(record(0), FailureClass::Infrastructure);
    rig.fail(record(1), FailureClass::Infrastructure);
    rig.fail(record(2), FailureClass::Rejected);
    rig.at(2_000);
    rig.fail(record(0), FailureClass::Infrastructure);
    rig.fail(record(1), FailureClass::Infrastructure);
    assert_eq!(circuit(&rig), Circuit::Closed, "one ended otherwise between them");
    rig.at(4_000).fail(record(0), FailureClass::Infrastructure);
    assert_eq!(circuit(&rig), Circuit::Open);
}

#[test]
fn nothing_is_attempted_while_it_is_open_and_one_when_its_pause_is_over() {
    let mut rig = open();
    rig.fetch(fetched(4, 4)).fetch(fetched(5, 5));
    assert!(rig.at(10_999).invoked().is_empty());
    rig.at(11_000);
    assert!(rig.invoked().is_empty(), "not before it is known where topics end");
    probed(&mut rig, Vec::new());
    assert_eq!(rig.invoked().len(), 1);
    assert_eq!(circuit(&rig), Circuit::HalfOpen);
    assert!(rig.observed().contains(&told(Circuit::HalfOpen)));
}

#[test]
fn rounds_that_go_well_double_until_it_closes() {
    let mut rig = open();
    for offset in 4..40 {
        rig.fetch(fetched(offset, offset.into()));
    }
    rig.at(11_000);
    probed(&mut rig, Vec::new());
    let mut running = rig.invoked();
    for round in [1, 2, 4, 8] {
        assert_eq!(running.len(), round);
        assert_eq!(circuit(&rig), Circuit::HalfOpen);
        let mut next = Vec::new();
        for event in core::mem::take(&mut running) {
            rig.succeed(event);
            next.extend(rig.invoked());
        }
        running = next;
    }
    assert_eq!(circuit(&rig), Circuit::Closed);
    assert!(running.len() > 16, "{} run at once", running.len());
}

#[test]
fn a_probe_that_fails_opens_it_for_twice_as_long_and_costs_its_event_nothing() {
    let mut rig = open();
    rig.fetch(fetched(4, 4));
    let mut moment = 11_000;
    for pause in [20_000, 25_000, 25_000] {
        assert!(rig.at(moment - 1).last.is_empty(), "before {moment}");
        rig.at(moment);
        probed(&mut rig, Vec::new());
        let [event] = rig.invoked()[..] else { panic!("{:?}", rig.last) };
        rig.fail(event, FailureClass::Timeout);
        assert_eq!(circuit(&rig), Circuit::Open);
        moment += pause;
    }
    let numbers = rig.all.iter().filter_map(|effect| match effect {
        Effect::Invoke { event, number, .. } if *event == record(4) => Some(*number),
        _ => None,
    });
    assert!(numbers.clone().count() > 0 && numbers.clone().all(|number| number == 1));
}

#[test]
fn a_probe_that_is_rejected_has_found_its_handler_well() {
    let mut rig = open();
    rig.fetch(fetched(4, 4)).at(11_000);
    probed(&mut rig, Vec::new());
    let [event] = rig.invoked()[..] else { panic!("{:?}", rig.last) };
    rig.fail(event, FailureClass::Rejected);
    assert!(rig.settled().iter().any(|(_, it)| matches!(it, Terminal::DeadLettered { .. })));
    assert_eq!(rig.invoked().len(), 2, "the second round");
}

#[test]
fn a_probe_that_is_cancelled_is_made_again() {
    let mut rig = open();
    rig.fetch(fetched(4, 4)).at(11_000);
    probed(&mut rig, Vec::new());
    let [event] = rig.invoked()[..] else { panic!("{:?}", rig.last) };
    rig.finish(event, crate::Outcome::Cancelled);
    assert_eq!(rig.invoked().len(), 1);
    assert_eq!(circuit(&rig), Circuit::HalfOpen);
}

#[test]
fn attempts_that_began_before_it_opened_change_nothing() {
    let mut rig = half();
    rig.fetch(fetched(4, 4)).fetch(fetched(5, 5));
    rig.fail(record(2), FailureClass::Trap).fail(record(3), FailureClass::Trap);
    rig.at(5_000).fail(record(4), FailureClass::Trap);
    rig.at(11_000);
    probed(&mut rig, Vec::new());
    rig.fail(record(5), FailureClass::Trap);
    assert_eq!(circuit(&rig), Circuit::HalfOpen);
}

#[test]
fn timers_wait_until_what_came_meanwhile_is_read() {
    let timers = vec![timer_entry(1, 9, 5_000, 0)];
    let mut rig = Rig::assigned(breaking(), Assignment { timers, ..crate::rig::assignment(1) });
    for offset in 0..4 {
        rig.fetch(fetched(offset, offset.into()));
    }
    for offset in 0..4 {
        rig.fail(record(offset), FailureClass::Trap);
    }
    assert!(rig.at(6_000).invoked().is_empty());
    rig.at(11_000);
    probed(&mut rig, vec![Position { partition: PARTITION, ..position(6) }]);
    let is_timer = |event: &EventRef| matches!(event, EventRef::Timer { .. });
    let mut invoked = rig.invoked();
    rig.fetch(fetched(4, 9));
    invoked.extend(rig.invoked());
    for _ in 0..20 {
        let Some(event) = invoked.pop() else { break };
        rig.succeed(event);
        invoked.extend(rig.invoked());
    }
    let runs: Vec<EventRef> = crate::rig::invoked(&rig.all);
    assert!(!runs.iter().any(is_timer), "it ran before what lies in the backlog");
    let next = rig.now + 1;
    rig.fetch(fetched(5, 8)).at(next);
    for _ in 0..20 {
        let running = rig.engine.worker.running.keys().next().copied();
        let Some(attempt) = running else { break };
        let outcome = crate::Outcome::Succeeded { timers: Vec::new(), size: crate::Bytes(1) };
        rig.give(Input::Finished { attempt, outcome });
    }
    assert!(crate::rig::invoked(&rig.all).iter().any(is_timer));
}

/// As [`open`], but records fall back.
fn falling_back(policy: Policy, assignment: Assignment) -> Rig {
    let breaker = Some(BreakerPolicy { falls_back: true, ..BREAKER });
    let mut rig = Rig::assigned(Policy { breaker, ..policy }, assignment);
    for offset in 0..4 {
        rig.fetch(fetched(offset, offset.into()));
    }
    for offset in 0..4 {
        rig.fail(record(offset), FailureClass::Trap);
    }
    assert_eq!(circuit(&rig), Circuit::Open);
    rig
}

fn fell_back(rig: &Rig) -> Vec<EventRef> {
    let settled = rig.settled().into_iter();
    settled.filter(|(_, it)| *it == Terminal::FellBack).map(|(event, _)| event).collect()
}

#[test]
fn records_fall_back_in_order_while_it_is_open() {
    let slow = Policy { rate: Some(40_000), ..breaking() };
    let mut rig = falling_back(slow, crate::rig::assignment(1));
    assert_eq!(fell_back(rig.fetch(with_id(4, 9, 7))), vec![record(4)], "at once, at any rate");
    assert_eq!(fell_back(rig.fetch(fetched(5, 9))), vec![record(5)]);
    assert_eq!(rig.fetch(with_id(6, 9, 7)).settled(), vec![(record(6), Terminal::Duplicate)]);
    rig.fetch(fetched(7, 0));
    assert!(rig.settled().is_empty(), "another of its key is before it");
    // The first attempt that failed is due again.
    rig.at(3_000);
    assert!(rig.invoked().is_empty());
    let order: Vec<EventRef> = fell_back(&rig).into_iter().filter(|it| *it != record(1)).collect();
    let first = order.iter().position(|it| *it == record(0)).unwrap();
    assert!(order[first..].contains(&record(7)), "{order:?}");
    rig.at(11_000);
    probed(&mut rig, Vec::new());
    rig.fetch(fetched(8, 8)).fetch(fetched(9, 9));
    assert_eq!(fell_back(&rig), Vec::new(), "it may be over");
    assert_eq!(crate::rig::invoked(&rig.all).last(), Some(&record(8)));
}

#[test]
fn what_cannot_fall_back_waits_with_what_is_behind_it() {
    let parking = Policy { inline_attempts: 1, ..breaking() };
    let timers = vec![timer_entry(1, 50, 20_000, 0)];
    let assignment = Assignment { timers, ..crate::rig::assignment(1) };
    let mut rig = falling_back(parking, assignment);
    // Each of the four is parked, and due long before the breaker closes.
    rig.at(1_200).commit(1);
    rig.fetch(fetched(4, 0)).at(9_000);
    assert!(rig.invoked().is_empty());
    assert_eq!(rig.engine.figures(SUBSCRIPTION).lanes_parked, 4);
    assert!(!rig.all.iter().any(|effect| matches!(
        effect,
        Effect::Stage { staged: Staged::Settled { outcome: Terminal::FellBack, .. }, .. }
    )));
    rig.at(11_000);
    probed(&mut rig, Vec::new());
    assert_eq!(rig.invoked().len(), 1, "the first probe");
}

#[test]
fn what_is_driven_again_waits_with_what_is_behind_it() {
    let mut rig = falling_back(breaking(), crate::rig::assignment(1));
    rig.fetch(Fetched { redriven: true, ..fetched(4, 9) }).fetch(fetched(5, 9));
    assert_eq!(fell_back(&rig), Vec::new(), "who drove it again wants it handled");
    rig.at(11_000);
    probed(&mut rig, Vec::new());
    let attempted: Vec<EventRef> = crate::rig::invoked(&rig.all);
    assert!(!attempted.contains(&record(5)), "before the one that waited");
    for _ in 0..20 {
        let Some(attempt) = rig.engine.worker.running.keys().next().copied() else { break };
        let outcome = crate::Outcome::Succeeded { timers: Vec::new(), size: crate::Bytes(1) };
        rig.give(Input::Finished { attempt, outcome });
    }
    let attempted: Vec<EventRef> = crate::rig::invoked(&rig.all);
    let place = |offset| attempted.iter().position(|event| *event == record(offset));
    assert!(place(4).is_some() && place(4) < place(5), "{attempted:?}");
}

#[test]
fn a_partition_that_goes_away_takes_what_waited_with_it() {
    let parking = Policy { inline_attempts: 1, ..breaking() };
    let mut rig = falling_back(parking, crate::rig::assignment(1));
    rig.at(1_200).commit(1).at(9_000).revoke();
    rig.at(11_000);
    probed(&mut rig, Vec::new());
    assert!(rig.invoked().is_empty());
}

#[test]
fn a_policy_without_a_breaker_closes_it() {
    let mut rig = open();
    rig.fetch(fetched(4, 4));
    rig.subscribe(SUBSCRIPTION, policy());
    assert!(rig.observed().contains(&told(Circuit::Closed)));
    assert_eq!(rig.invoked(), vec![record(4)]);
    rig.at(11_000);
    assert!(!rig.has(&Effect::Probe { subscription: SUBSCRIPTION }));
}

#[test]
fn an_answer_nobody_waits_for_changes_nothing() {
    let mut rig = open();
    rig.give(Input::Probed { subscription: SUBSCRIPTION, ends: Vec::new() });
    assert_eq!(circuit(&rig), Circuit::Open);
    assert_eq!(rig.engine.next_deadline().map(|due| due > Instant(rig.now)), Some(true));
}

#[test]
fn a_poisoned_key_in_parking_opens_nothing() {
    let mut rig = Rig::new(Policy { inline_attempts: 1, ..breaking() });
    rig.fetch(fetched(0, 0)).fail(record(0), FailureClass::Retryable);
    for _ in 0..20 {
        let due = rig.engine.next_deadline().map_or(rig.now, |due| due.0.max(rig.now));
        rig.later(due);
        if !rig.invoked().is_empty() {
            rig.fail(record(0), FailureClass::Retryable);
        }
    }
    let attempts = crate::rig::invoked(&rig.all).len();
    assert!(attempts > 8, "{attempts} attempts");
    assert_eq!(circuit(&rig), Circuit::Closed);
    rig.fetch(fetched(1, 1));
    assert!(rig.invoked().contains(&record(1)));
}
