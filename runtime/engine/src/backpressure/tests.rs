//! When topics pause and resume, at the window and one past it.

use alloc::vec::Vec;

use crate::rig::{Rig, fetched, policy, record};
use crate::{Bytes, Policy};

/// Fetches until reading pauses, then finishes until it goes on: events held at both moments.
fn check(policy: Policy, paused_at: u64, resumed_at: u64) {
    let mut rig = Rig::new(policy);
    let mut held = 0;
    while rig.paused().is_empty() {
        rig.fetch(fetched(held, u128::from(held)));
        held += 1;
        assert!(held <= paused_at, "never paused");
    }
    assert_eq!((held, rig.paused()), (paused_at, Vec::from([true])));
    // A few records more do no harm and are not asked about again.
    rig.fetch(fetched(held, u128::from(held)));
    assert!(rig.paused().is_empty());
    let mut left = held + 1;
    while rig.paused().is_empty() {
        left -= 1;
        rig.succeed(record(left));
    }
    assert_eq!((left, rig.paused()), (resumed_at, Vec::from([false])));
}

#[test]
fn reading_pauses_at_the_window_and_resumes_at_half() {
    check(Policy { window_events: 10, ..policy() }, 10, 5);
    check(Policy { window_events: 1, ..policy() }, 1, 0);
    check(Policy { window_bytes: Bytes(1_000), ..policy() }, 10, 5);
    check(Policy { window_bytes: Bytes(1_001), ..policy() }, 11, 5);
}

#[test]
fn all_topics_of_a_partition_pause_together() {
    let mut assignment = crate::rig::assignment(1);
    assignment.cursors.push(crate::rig::cursor(2));
    let mut rig = Rig::assigned(Policy { window_events: 1, ..policy() }, assignment);
    assert_eq!(rig.fetch(fetched(0, 1)).paused(), [true, true]);
    assert_eq!(rig.succeed(record(0)).paused(), [false, false]);
}
