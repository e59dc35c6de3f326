//! Proves the steps of a transaction and what each failure does to it and to its producer.

use alloc::string::String;
use alloc::vec::Vec;

use super::*;
use crate::Offset;

type Reply = Result<(), Failure<&'static str>>;

/// Commits a checkpoint of `groups` groups; steps that `replies` names fail. What was done, and
/// how it ended.
fn play(
    committing: &mut Committing<&'static str>,
    (groups, now): (usize, u64),
    replies: &[(Step, Failure<&'static str>)],
) -> (Vec<Step>, Option<Ended<&'static str>>) {
    let mut steps = Vec::new();
    committing.commit(groups, Instant(now));
    while let Some(step) = committing.next() {
        steps.push(step);
        let failure = replies.iter().find(|(at, _)| *at == step).map(|(_, f)| f.clone());
        let reply: Reply = failure.map_or(Ok(()), Err);
        committing.replied(Instant(now), reply);
    }
    (steps, committing.ended())
}

fn ready(guarantee: Guarantee) -> Committing<&'static str> {
    let mut committing = Committing::new(guarantee, Millis(8_000));
    committing.prepare();
    assert_eq!(committing.next(), Some(Step::Initialise));
    committing.replied(Instant(0), Ok(()));
    assert_eq!(committing.next(), None);
    committing
}

#[test]
fn a_transaction_takes_offsets_first_and_ends_when_all_is_acknowledged() {
    use Step::{Await, Begin, Commit, HandOver, Initialise, Offsets};
    let all = Part::All;
    let rows: [(usize, &[Step]); 3] = [
        (0, &[Begin, HandOver(all), Await(all), Commit]),
        (1, &[Begin, Offsets(0), HandOver(all), Await(all), Commit]),
        (3, &[Begin, Offsets(0), HandOver(all), Offsets(1), Offsets(2), Await(all), Commit]),
    ];
    for (groups, wanted) in rows {
        let (steps, ended) = play(&mut ready(Guarantee::ExactlyOnce), (groups, 0), &[]);
        assert_eq!((&*steps, ended), (wanted, Some(Ended::Committed)), "{groups} groups");
    }
    let mut cold = Committing::new(Guarantee::ExactlyOnce, Millis(8_000));
    let (steps, _) = play(&mut cold, (0, 0), &[]);
    assert_eq!(steps, [Initialise, Begin, HandOver(all), Await(all), Commit]);
}

#[test]
fn without_a_transaction_offsets_come_last() {
    let (steps, ended) = play(&mut ready(Guarantee::AtLeastOnce), (2, 0), &[]);
    let (events, changelog) = (Part::Events, Part::Changelog);
    let wanted = [
        Step::HandOver(events),
        Step::Await(events),
        Step::HandOver(changelog),
        Step::Await(changelog),
        Step::Offsets(0),
        Step::Offsets(1),
    ];
    assert_eq!((&*steps, ended), (&wanted[..], Some(Ended::Committed)));
}

/// The steps after those of a transaction of two groups, and how it ended, by what failed.
fn after(replies: &[(Step, Failure<&'static str>)]) -> String {
    let (steps, ended) = play(&mut ready(Guarantee::ExactlyOnce), (2, 0), replies);
    let failed = steps.iter().position(|step| replies.iter().any(|(at, _)| at == step)).unwrap();
    alloc::format!("{:?} {:?}", &steps[failed.saturating_add(1)..], ended.unwrap())
}

#[test]
fn a_failure_says_what_becomes_of_the_producer() {
    let all = Step::Await(Part::All);
    let rows = [
        (
            (Step::Offsets(0), Failure::Abort("rebalance", "e")),
            "[Abort] Aborted(\"rebalance\", \"e\")",
        ),
        ((Step::Commit, Failure::Reset("commit", "e")), "[Initialise] Aborted(\"commit\", \"e\")"),
        ((all, Failure::Record(3, "e")), "[Abort, Initialise] Undeliverable(3, \"e\")"),
        ((all, Failure::Batch("e")), "[Initialise] Aborted(\"batch\", \"e\")"),
        ((all, Failure::Over("e")), "[Reason, Initialise] Aborted(\"write\", \"e\")"),
        ((Step::HandOver(Part::All), Failure::Over("e")), "[Initialise] Aborted(\"write\", \"e\")"),
        ((Step::Begin, Failure::Fenced("e")), "[Initialise] Aborted(\"fenced\", \"e\")"),
        (
            (Step::Commit, Failure::Denied("commit", "e")),
            "[Trace, Abort] Aborted(\"commit\", \"e\")",
        ),
        (
            (Step::Offsets(1), Failure::Abort("offsets", "e")),
            "[Blame, Abort] Aborted(\"offsets\", \"e\")",
        ),
        (
            (Step::Offsets(1), Failure::Abort("rebalance", "e")),
            "[Abort] Aborted(\"rebalance\", \"e\")",
        ),
    ];
    for (failed, wanted) in rows {
        assert_eq!(after(core::slice::from_ref(&failed)), wanted, "{failed:?}");
    }
}

#[test]
fn a_second_failure_is_taken_by_what_it_says() {
    let offsets = (Step::Offsets(1), Failure::Abort("offsets", "offsets"));
    let rows: [(&[_], &str); 4] = [
        (
            &[offsets.clone(), (Step::Blame, Failure::Record(2, "record"))],
            "[Blame, Abort, Initialise] Undeliverable(2, \"record\")",
        ),
        (
            &[offsets, (Step::Blame, Failure::Reset("flush", "late"))],
            "[Blame, Abort] Aborted(\"offsets\", \"offsets\")",
        ),
        (
            &[
                (Step::Offsets(0), Failure::Abort("rebalance", "e")),
                (Step::Abort, Failure::Reset("abort", "late")),
            ],
            "[Abort, Initialise] Aborted(\"rebalance\", \"e\")",
        ),
        (
            &[
                (Step::Commit, Failure::Reset("commit", "e")),
                (Step::Initialise, Failure::Reset("", "no")),
            ],
            "[Initialise] Failed(\"no\")",
        ),
    ];
    for (replies, wanted) in rows {
        assert_eq!(after(replies), wanted, "{replies:?}");
    }
}

#[test]
fn an_id_is_taken_when_it_is_fenced_again_and_again() {
    let fenced = [(Step::Begin, Failure::Fenced("e"))];
    let mut committing = ready(Guarantee::ExactlyOnce);
    for _ in 0..2 {
        let (_, ended) = play(&mut committing, (1, 0), &fenced);
        assert_eq!(ended, Some(Ended::Aborted("fenced", "e")));
    }
    let (_, ended) = play(&mut committing, (1, 0), &fenced);
    assert_eq!(ended, Some(Ended::Failed("e")));
    // Minutes apart it is bad luck.
    let mut committing = ready(Guarantee::ExactlyOnce);
    for minute in 0..9 {
        let (_, ended) = play(&mut committing, (1, minute * 60_000), &fenced);
        assert_eq!(ended, Some(Ended::Aborted("fenced", "e")));
    }
    // Whoever outlived the time-out was fenced by the coordinator.
    let mut committing = ready(Guarantee::ExactlyOnce);
    for _ in 0..9 {
        committing.commit(0, Instant(0));
        committing.replied(Instant(8_000), Err(Failure::Fenced("e")));
        committing.replied(Instant(8_000), Ok(()));
        assert_eq!(committing.ended(), Some(Ended::Aborted("fenced", "e")));
    }
}

#[test]
fn a_producer_in_doubt_begins_no_other_transaction() {
    let mut committing = ready(Guarantee::ExactlyOnce);
    assert!(committing.doubt(), "there is one to give up");
    assert!(!committing.doubt(), "it is given up already");
    let (steps, ended) = play(&mut committing, (0, 0), &[]);
    assert_eq!(
        (&steps[..2], ended),
        (&[Step::Initialise, Step::Begin][..], Some(Ended::Committed))
    );
    let (steps, _) = play(&mut committing, (0, 0), &[]);
    assert_eq!(steps[0], Step::Begin, "its successor is not in doubt");
    let mut committing = ready(Guarantee::AtLeastOnce);
    assert!(!committing.doubt());
    let (steps, _) = play(&mut committing, (0, 0), &[]);
    assert_eq!(steps[0], Step::HandOver(Part::Events));
}

#[test]
fn membership_is_taken_before_it_is_asked_what_is_held() {
    assert_eq!(as_member(|| Some(Offset(1)), || true), Some(Offset(1)));
    assert_eq!(as_member(|| Some(Offset(1)), || false), None);
    assert_eq!(as_member(|| None::<Offset>, || unreachable!("nobody holds anything")), None);
}
