//! Proves in which order a takeover asks, what it waits for, and which caches it trusts.

use super::*;

/// Gives `answers` in turn; what is asked after them.
fn after(answers: &[Answer]) -> Option<Ask> {
    let mut takeover = Takeover::new(true);
    for answer in answers {
        takeover.answered(*answer);
    }
    takeover.next()
}

#[test]
fn groups_are_asked_before_the_end_and_the_end_before_the_state() {
    let bounds = |stable| Answer::Bounds { start: Offset(1), stable: Offset(stable) };
    let rows: [(&[Answer], Option<Ask>); 8] = [
        (&[], Some(Ask::Committed)),
        (&[Answer::Committed], Some(Ask::End)),
        (&[Answer::Committed, Answer::End(Offset(9))], Some(Ask::Bounds)),
        (&[Answer::Committed, Answer::End(Offset(9)), bounds(8)], Some(Ask::Bounds)),
        (
            &[Answer::Committed, Answer::End(Offset(9)), bounds(8), bounds(12)],
            Some(Ask::Known { start: Offset(1), end: Offset(9) }),
        ),
        (
            &[Answer::Committed, Answer::End(Offset(9)), bounds(9), Answer::Known(Offset(4))],
            Some(Ask::Read(Offset(4))),
        ),
        (&[Answer::Committed, Answer::End(Offset(9)), bounds(9), Answer::Known(Offset(9))], None),
        // An answer to what was not asked is none.
        (&[Answer::End(Offset(9)), Answer::Read(None)], Some(Ask::Committed)),
    ];
    for (answers, wanted) in rows {
        assert_eq!(after(answers), wanted, "{answers:?}");
    }
}

#[test]
fn a_changelog_is_read_to_its_end_and_asked_twice_where_it_seems_to_be_over() {
    let mut takeover = Takeover::new(true);
    let bounds = Answer::Bounds { start: Offset(0), stable: Offset(9) };
    for answer in [Answer::Committed, Answer::End(Offset(9)), bounds, Answer::Known(Offset(0))] {
        takeover.answered(answer);
    }
    takeover.answered(Answer::Read(None));
    assert_eq!(takeover.next(), Some(Ask::Read(Offset(0))), "a reader may be mistaken once");
    takeover.answered(Answer::Read(Some(Offset(3))));
    takeover.answered(Answer::Read(None));
    assert_eq!((takeover.next(), takeover.standing()), (Some(Ask::Read(Offset(4))), None));
    takeover.answered(Answer::Read(None));
    assert_eq!((takeover.next(), takeover.standing()), (None, Some(Offset(9))));
}

#[test]
fn without_a_changelog_only_the_group_is_asked() {
    let mut takeover = Takeover::new(false);
    takeover.answered(Answer::Committed);
    assert_eq!((takeover.next(), takeover.standing()), (None, Some(Offset(0))));
}

#[test]
fn a_cache_is_trusted_within_the_changelog_and_while_it_is_young() {
    let day = CACHE_AGE_MAX.0;
    let rows = [
        (5, (0, 9), 0, true),
        (9, (5, 9), day, true),
        (5, (0, 9), day.saturating_add(1), false),
        (4, (5, 9), 0, false),
        (10, (0, 9), 0, false),
        (0, (0, 9), 0, true),
    ];
    for (next, (start, end), age, trusted) in rows {
        let cache = Cache { next: Offset(next), at: Instant(0) };
        let is_trusted = cache.is_trusted((Offset(start), Offset(end)), Instant(age));
        assert_eq!(is_trusted, trusted, "{next} in {start}..{end}, {age} ms old");
    }
}

#[test]
fn what_was_committed_beyond_the_end_is_of_another_topic() {
    let rows = [(None, None), (Some(3), Some(3)), (Some(4), Some(4)), (Some(5), None)];
    for (committed, left) in rows {
        assert_eq!(within(committed.map(Offset), Offset(4)), left.map(Offset));
    }
}

#[test]
fn a_takeover_waits_for_the_end_of_a_checkpoint_about_its_partition() {
    let mut barrier = Barrier::default();
    barrier.begun([1, 2, 3]);
    assert!(barrier.admits(4), "the checkpoint is not about it");
    assert!(!barrier.admits(1));
    assert!(!barrier.admits(2));
    assert!(!barrier.admits(3));
    barrier.call_off(2);
    assert_eq!(barrier.ended(), [1, 3].into());
    assert_eq!(barrier.ended(), [].into(), "once");
    assert!(barrier.admits(1));
    barrier.begun([4]);
    assert!(barrier.admits(1), "the next is about others");
}
