//! Progress as a finished prefix and ranges above it, and which marks a reset voids.

use alloc::vec::Vec;

use super::Progression;
use crate::Offset;
use crate::rig::{mark, range};

/// Fetches and finishes in the order given; then what a restart would read.
fn check(steps: &[(&str, u64)], next: u64, finished: &[(u64, u64)]) {
    let mut cursor = Progression::new(1, 0, Offset(0), Offset(0));
    for (what, offset) in steps {
        match *what {
            "fetch" => assert!(cursor.fetch(Offset(*offset)), "{steps:?}"),
            "again" => assert!(!cursor.fetch(Offset(*offset)), "{steps:?}"),
            "reach" => cursor.reach(Offset(*offset)),
            _ => cursor.finish(Offset(*offset)),
        }
    }
    let finished: Vec<_> = finished.iter().map(|(from, to)| range(*from, *to)).collect();
    assert_eq!((cursor.next(), cursor.ranges()), (Offset(next), finished), "{steps:?}");
}

#[test]
fn progress_is_the_finished_prefix_and_the_ranges_above_it() {
    let (f, d) = ("fetch", "done");
    check(&[], 0, &[]);
    check(&[(f, 0)], 0, &[]);
    check(&[(f, 0), (d, 0)], 1, &[]);
    check(&[(f, 0), (f, 1), (d, 1)], 0, &[(1, 2)]);
    check(&[(f, 0), (f, 1), (d, 1), (d, 0)], 2, &[]);
    check(&[(f, 0), (f, 1), (f, 2), (f, 3), (d, 1), (d, 3)], 0, &[(1, 2), (3, 4)]);
    check(&[(f, 0), (f, 1), (f, 2), (f, 3), (d, 1), (d, 3), (d, 2)], 0, &[(1, 4)]);
    check(&[(f, 0), (f, 1), (f, 2), (f, 3), (d, 1), (d, 3), (d, 0)], 2, &[(3, 4)]);
    check(&[(f, 0), (d, 0), (d, 0)], 1, &[]);
}

#[test]
fn offsets_that_compaction_removed_hold_nothing_back() {
    let (f, d) = ("fetch", "done");
    check(&[(f, 5), (d, 5)], 6, &[]);
    check(&[(f, 5), (f, 9), (d, 5)], 9, &[]);
    check(&[(f, 5), (f, 9), (d, 9)], 0, &[(9, 10)]);
    check(&[(f, 5), (f, 9), (d, 9), (d, 5)], 10, &[]);
}

#[test]
fn an_end_that_is_reached_lets_progress_go_past_what_is_no_event() {
    let (f, d, r) = ("fetch", "done", "reach");
    check(&[(r, 3)], 3, &[]);
    check(&[(f, 0), (d, 0), (r, 3)], 3, &[]);
    check(&[(f, 0), (r, 3)], 0, &[]);
    check(&[(f, 0), (r, 3), (d, 0)], 3, &[]);
    check(&[(f, 0), (f, 2), (d, 2), (r, 4)], 0, &[(2, 3)]);
    check(&[(f, 0), (f, 2), (d, 2), (r, 4), (d, 0)], 4, &[]);
    check(&[(f, 5), (d, 5), (r, 2)], 6, &[]);
}

#[test]
fn restored_ranges_are_finished_and_joined() {
    let mut cursor = Progression::new(1, 0, Offset(0), Offset(5));
    cursor.restore(&[range(7, 9), range(12, 13)]);
    assert_eq!(cursor.next(), Offset(5));
    assert!(cursor.fetch(Offset(5)) && cursor.fetch(Offset(6)));
    cursor.finish(Offset(5));
    assert_eq!(cursor.next(), Offset(6));
    cursor.finish(Offset(6));
    assert_eq!((cursor.next(), cursor.ranges()), (Offset(9), [range(12, 13)].to_vec()));
    assert!(!cursor.fetch(Offset(7)) && !cursor.fetch(Offset(8)));
    assert!(cursor.fetch(Offset(11)) && !cursor.fetch(Offset(12)) && cursor.fetch(Offset(13)));
    cursor.finish(Offset(11));
    assert_eq!((cursor.next(), cursor.ranges()), (Offset(13), Vec::new()));
}

#[test]
fn offsets_rise() {
    let mut cursor = Progression::new(1, 0, Offset(0), Offset(5));
    assert!(cursor.is_rising(Offset(0)));
    assert!(cursor.fetch(Offset(6)));
    assert!(!cursor.is_rising(Offset(6)));
    assert!(cursor.is_rising(Offset(7)));
}

#[test]
fn skipping_counts_what_was_not_finished() {
    let mut cursor = Progression::new(1, 0, Offset(0), Offset(5));
    cursor.restore(&[range(7, 9), range(12, 20)]);
    assert_eq!(cursor.skip_to(Offset(15)), 5);
    assert_eq!((cursor.next(), cursor.ranges()), (Offset(20), Vec::new()));
}

#[test]
fn a_reset_voids_older_marks_at_or_beyond_its_start() {
    let cursor = Progression::new(1, 2, Offset(10), Offset(10));
    for (offset, epoch, is_void) in
        [(9, 1, false), (10, 1, true), (11, 0, true), (10, 2, false), (11, 3, false)]
    {
        assert_eq!(cursor.voids(&mark(offset, epoch)), is_void, "offset {offset} epoch {epoch}");
    }
}
