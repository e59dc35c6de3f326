//! Where reading begins at an assignment: stored progress, resets, new topics, retention.

use alloc::vec;
use alloc::vec::Vec;

use crate::rig::{PARTITION, Rig, SUBSCRIPTION, TOPIC, assignment, cursor, policy, range, stored};
use crate::{
    Cursor, Effect, Generation, Input, Observation, Offset, OffsetRange, StoredProgress,
    SubscriptionId, WorkerPolicy,
};

/// Epoch, its start, next offset and finished ranges as committed.
type Kept = (u32, u64, u64, Vec<OffsetRange>);

/// What was committed at once, if anything had to be; what was observed; where reading begins.
fn begin(cursor: Cursor) -> (Option<Kept>, Vec<Observation>, u64) {
    let mut assignment = assignment(1);
    assignment.cursors = vec![cursor];
    let rig = Rig::assigned(policy(), assignment);
    let from = rig.last.iter().find_map(|effect| match effect {
        Effect::Fetch { from, generation: Generation(1), .. } => Some(from.0),
        _ => None,
    });
    let progress = rig.committed().map(|(_, progress)| {
        let progress = progress[0].clone();
        (progress.epoch, progress.epoch_start.0, progress.next.0, progress.finished)
    });
    (progress, rig.observed(), from.unwrap())
}

fn began(epoch: u32) -> Observation {
    let (subscription, topic, partition) = (SUBSCRIPTION, TOPIC, PARTITION);
    Observation::EpochBegan { subscription, topic, partition, epoch }
}

fn skipped(count: u64) -> Observation {
    let (subscription, topic, partition) = (SUBSCRIPTION, TOPIC, PARTITION);
    Observation::Skipped { subscription, topic, partition, count }
}

/// A cursor at 10 with 12 to 14 finished, of a topic that holds 5 to 20.
fn at_ten() -> Cursor {
    let (start, end) = (Offset(5), Offset(20));
    Cursor { start, end, stored: Some(stored(10, &[(12, 14)])), ..cursor(1) }
}

fn committed(offset: u64) -> Cursor {
    Cursor { committed: Some(Offset(offset)), ..at_ten() }
}

#[test]
fn reading_goes_on_where_it_stopped() {
    assert_eq!(begin(at_ten()), (None, vec![], 10));
    assert_eq!(begin(committed(10)), (None, vec![], 10));
}

#[test]
fn an_offset_committed_below_progress_begins_a_new_epoch() {
    assert_eq!(begin(committed(9)), (Some((1, 9, 9, vec![])), vec![began(1)], 9));
}

#[test]
fn an_offset_committed_beyond_progress_moves_it_forward() {
    assert_eq!(begin(committed(11)), (Some((0, 0, 11, vec![range(12, 14)])), vec![], 11));
    assert_eq!(begin(committed(12)), (Some((0, 0, 14, vec![])), vec![], 14));
    assert_eq!(begin(committed(13)), (Some((0, 0, 14, vec![])), vec![], 14));
}

#[test]
fn a_topic_created_anew_begins_a_new_epoch() {
    let other = Cursor { incarnation: 2, ..at_ten() };
    assert_eq!(begin(other.clone()), (Some((1, 0, 5, vec![])), vec![began(1)], 5));
    let initial = Cursor { initial: Offset(20), ..other.clone() };
    assert_eq!(begin(initial.clone()), (Some((1, 0, 20, vec![])), vec![began(1)], 20));
    let given = Cursor { committed: Some(Offset(7)), ..initial.clone() };
    assert_eq!(begin(given), (Some((1, 0, 7, vec![])), vec![began(1)], 7));
    let gone = Cursor { committed: Some(Offset(4)), ..initial };
    assert_eq!(begin(gone), (Some((1, 0, 20, vec![])), vec![began(1)], 20));
}

#[test]
fn what_retention_removed_is_skipped_and_counted() {
    let cut = |start| Cursor { start: Offset(start), ..at_ten() };
    assert_eq!(begin(cut(10)), (None, vec![], 10));
    assert_eq!(begin(cut(11)).1, vec![skipped(1)]);
    assert_eq!(begin(cut(13)), (Some((0, 0, 14, vec![])), vec![skipped(2)], 14));
    assert_eq!(begin(cut(16)), (Some((0, 0, 16, vec![])), vec![skipped(4)], 16));
    let reset = Cursor { start: Offset(5), ..committed(3) };
    assert_eq!(begin(reset), (Some((1, 3, 5, vec![])), vec![began(1), skipped(2)], 5));
}

#[test]
fn a_first_reading_is_kept_although_nothing_happened() {
    let fresh = Cursor { stored: None, initial: Offset(20), ..at_ten() };
    assert_eq!(begin(fresh.clone()), (Some((0, 20, 20, vec![])), vec![], 20));
    let given = Cursor { committed: Some(Offset(7)), ..fresh };
    assert_eq!(begin(given), (Some((0, 7, 7, vec![])), vec![], 7));
}

#[test]
fn epochs_count_up() {
    let stored = StoredProgress { epoch: 4, epoch_start: Offset(6), ..stored(10, &[]) };
    let cursor = Cursor { stored: Some(stored), ..committed(8) };
    assert_eq!(begin(cursor), (Some((5, 8, 8, vec![])), vec![began(5)], 8));
}

#[test]
fn an_assignment_that_breaks_the_protocol_is_refused() {
    let mut rig = Rig::bare(WorkerPolicy::default(), policy());
    let unknown = crate::Assignment { subscription: SubscriptionId(9), ..assignment(1) };
    assert!(rig.try_give(Input::Assigned(unknown.into())).is_err());
    let mut rig = Rig::new(policy());
    assert!(rig.try_give(Input::Assigned(assignment(2).into())).is_err(), "assigned already");
    let mut rig = Rig::new(policy());
    rig.give(Input::Lost { subscription: SUBSCRIPTION, partition: PARTITION });
    assert!(rig.try_give(Input::Assigned(assignment(1).into())).is_err(), "not greater");
    let mut rig = Rig::new(policy());
    rig.revoke();
    assert!(rig.try_give(Input::Assigned(assignment(2).into())).is_ok());
}
