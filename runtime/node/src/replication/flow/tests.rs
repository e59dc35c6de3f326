//! What of a partition may be read, and how far behind it is.

use gristmill_engine::{Instant, Offset, TopicId};
use gristmill_store::Retention;

use super::*;

fn flow(start: u64, end: u64) -> Flow {
    let topic = Topic {
        id: TopicId(1),
        name: "orders".into(),
        partitions: 1,
        retention: Retention::default(),
        compacted: false,
        created: Instant(0),
    };
    let found = Found { topic, id: "1".to_owned() };
    Flow::new(&found, 0, Bounds { start: Offset(start), end: Offset(end) })
}

fn readable(flow: &Flow) -> Option<(u64, u64)> {
    flow.readable(false).map(|it| (it.from, it.before))
}

fn refusal() -> Error {
    Error::SameCluster { id: String::new() }
}

#[test]
fn nothing_is_read_until_it_is_known_from_where() {
    let mut flow = flow(0, 10);
    assert_eq!((readable(&flow), flow.lag()), (None, None));
    flow.place(4);
    assert_eq!((readable(&flow), flow.lag()), (Some((4, 10)), Some(6)));
    flow.read_to(7, Some((4, 99)));
    assert_eq!((readable(&flow), flow.lag(), flow.oldest()), (Some((7, 10)), Some(6), Some(99)));
    flow.copied(7);
    assert_eq!((flow.lag(), flow.oldest(), flow.look_at()), (Some(3), None, Some(7)));
    flow.unplace();
    assert_eq!((readable(&flow), flow.lag()), (None, Some(3)), "it is still told of");
}

#[test]
fn an_end_counts_when_it_is_seen_twice() {
    let mut flow = flow(0, 10);
    flow.place(9);
    flow.nothing_before(10);
    assert_eq!((readable(&flow), flow.lag()), (Some((9, 10)), Some(1)));
    flow.nothing_before(10);
    assert_eq!((readable(&flow), flow.lag()), (None, Some(0)));
    flow.end_at(Offset(12));
    assert_eq!((readable(&flow), flow.lag()), (Some((9, 12)), Some(3)));
}

#[test]
fn what_lies_before_a_refused_record_goes_on_and_the_record_alone() {
    let mut flow = flow(0, 10);
    flow.place(2);
    flow.refuse(5, refusal(), false);
    assert_eq!(readable(&flow), Some((2, 5)));
    flow.copied(5);
    assert_eq!(flow.readable(true), None, "it waits");
    assert!(flow.refused().is_some_and(|it| it.offset == 5));
    flow.refused.as_mut().unwrap().wait = Duration::ZERO;
    assert_eq!(flow.readable(false), None, "it is tried while nothing else is under way");
    let alone = Readable { from: 5, before: 6, is_alone: true };
    assert_eq!(flow.readable(true), Some(alone));
    flow.copied(6);
    assert!(flow.refused().is_none() && readable(&flow) == Some((6, 10)));
}

#[test]
fn a_refused_record_that_cannot_be_read_lets_others_have_their_turn() {
    let mut flow = flow(0, 10);
    flow.place(5);
    flow.refuse(5, refusal(), false);
    flow.refused.as_mut().unwrap().wait = Duration::ZERO;
    assert!(flow.is_due());
    flow.nothing_before(6);
    assert!(flow.is_due(), "it is looked for twice");
    flow.nothing_before(6);
    assert!(!flow.is_due(), "a while passes before it is looked for again");
    flow.empty = flow.empty.and_then(|(end, at)| Some((end, at.checked_sub(EMPTY_AGAIN)?)));
    assert!(flow.is_due());
    flow.nothing_before(6);
    assert!(flow.is_due(), "and then it is looked for twice again");
}

#[test]
fn a_record_that_is_left_out_holds_nothing_up() {
    let mut flow = flow(0, 10);
    flow.place(5);
    flow.refuse(5, refusal(), true);
    assert_eq!((readable(&flow), flow.skip()), (Some((5, 10)), Some(5)));
    flow.copied(10);
    assert_eq!((flow.skip(), flow.lag()), (None, Some(0)));
}

#[test]
fn waits_double_up_to_a_minute() {
    let mut flow = flow(0, 10);
    let mut waits = Vec::new();
    for _ in 0..6 {
        flow.refuse(5, refusal(), false);
        waits.push(flow.refused().unwrap().wait.as_secs());
    }
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
    flow.refuse(6, refusal(), false);
    assert_eq!(flow.refused().unwrap().wait.as_secs(), 5, "another record begins anew");
}

#[test]
fn what_retention_took_is_noticed() {
    let mut flow = flow(0, 10);
    flow.place(3);
    assert_eq!(flow.misplaced(), None);
    flow.bound(Bounds { start: Offset(6), end: Offset(20) });
    assert_eq!(flow.misplaced(), Some(Misplaced::Lost(3, 6)));
    assert_eq!((readable(&flow), flow.lag()), (None, Some(14)), "it is told before it is passed");
    flow.pass(6);
    assert_eq!((readable(&flow), flow.misplaced()), (Some((6, 20)), None));
    flow.place(30);
    assert_eq!(flow.misplaced(), None, "one that leads it since a moment ago may say less");
    flow.back_since = Moment::now().checked_sub(BACK_MAX);
    assert_eq!(flow.misplaced(), Some(Misplaced::Back(30, 20)));
}
