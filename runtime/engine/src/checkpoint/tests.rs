//! When a checkpoint is committed, what is in it, and what an abort undoes.

use alloc::vec;

use crate::rig::{Rig, SUBSCRIPTION, assignment, fetched, policy, record, with_id};
use crate::{
    AttemptId, Bytes, CheckpointId, Effect, Fetched, Generation, Input, Instant, Millis, Outcome,
    PartitionId, Terminal, Verdict, WorkerPolicy,
};

fn rig(worker: WorkerPolicy) -> Rig {
    let mut rig = Rig::bare(worker, policy());
    rig.give(Input::Assigned(assignment(1).into()));
    rig
}

#[test]
fn an_idle_worker_commits_at_once() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1));
    assert_eq!(rig.committed(), None);
    rig.succeed(record(0));
    assert_eq!(rig.progress(), Some((1, vec![])));
    assert_eq!(rig.committed().unwrap().0, 1);
}

#[test]
fn a_busy_worker_commits_at_the_longest_interval() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 2)).succeed(record(1));
    assert_eq!(rig.committed(), None);
    assert_eq!(rig.engine.next_deadline(), Some(Instant(1_100)));
    assert_eq!(rig.at(1_099).committed(), None);
    assert_eq!(rig.at(1_100).progress(), Some((0, vec![crate::rig::range(1, 2)])));
}

#[test]
fn the_shortest_interval_is_kept() {
    let mut rig =
        rig(WorkerPolicy { checkpoint_interval_min: Millis(5), ..WorkerPolicy::default() });
    rig.fetch(fetched(0, 1)).succeed(record(0));
    assert_eq!(rig.committed().unwrap().0, 1);
    rig.commit(1).fetch(fetched(1, 1)).succeed(record(1));
    assert_eq!(rig.committed(), None);
    assert_eq!(rig.engine.next_deadline(), Some(Instant(1_005)));
    assert_eq!(rig.at(1_004).committed(), None);
    assert_eq!(rig.at(1_005).committed().unwrap().0, 2);
}

#[test]
fn thresholds_commit_at_the_limit_and_not_before() {
    let by_events = WorkerPolicy { checkpoint_events_max: 3, ..WorkerPolicy::default() };
    let by_bytes = WorkerPolicy { checkpoint_bytes_max: Bytes(30), ..WorkerPolicy::default() };
    for worker in [by_events, by_bytes] {
        let mut rig = rig(worker);
        for offset in 0..4 {
            rig.fetch(fetched(offset, u128::from(offset)));
        }
        rig.succeed(record(1)).succeed(record(2));
        assert_eq!(rig.committed(), None);
        assert!(rig.succeed(record(3)).committed().is_some());
    }
}

#[test]
fn filtered_events_count_to_the_threshold() {
    let mut rig = rig(WorkerPolicy { checkpoint_events_max: 2, ..WorkerPolicy::default() });
    let filtered = |offset| Fetched { verdict: Verdict::Filtered, ..fetched(offset, 1) };
    rig.fetch(fetched(0, 1)).fetch(filtered(1));
    assert_eq!(rig.committed(), None);
    assert_eq!(rig.fetch(filtered(2)).progress(), Some((0, vec![crate::rig::range(1, 3)])));
}

#[test]
fn outcomes_are_uncommitted_until_their_checkpoint_is_durable() {
    let mut rig = Rig::new(policy());
    let uncommitted = |rig: &Rig| rig.engine.figures(SUBSCRIPTION).outcomes_uncommitted;
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 2)).fetch(fetched(2, 3));
    assert_eq!(uncommitted(&rig), 0);
    rig.succeed(record(0)).at(1_100);
    assert_eq!(uncommitted(&rig), 1, "it commits");
    rig.succeed(record(1));
    assert_eq!(uncommitted(&rig), 2, "one commits, one is staged");
    rig.commit(1);
    assert_eq!(uncommitted(&rig), 1);
    rig.succeed(record(2)).commit(2);
    assert_eq!(uncommitted(&rig), 0);
}

#[test]
fn one_commits_while_the_next_fills() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).succeed(record(0));
    rig.fetch(fetched(1, 1)).succeed(record(1));
    assert_eq!(rig.committed(), None);
    let checkpoint = rig.last.iter().find_map(|effect| match effect {
        Effect::Stage { checkpoint, .. } => Some(*checkpoint),
        _ => None,
    });
    assert_eq!(checkpoint, Some(CheckpointId(2)));
    rig.commit(1);
    assert_eq!((rig.committed().unwrap().0, rig.progress()), (2, Some((2, vec![]))));
}

#[test]
fn what_is_staged_after_the_commit_is_not_in_its_progress() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).fetch(fetched(1, 2)).succeed(record(0)).at(1_100);
    assert_eq!(rig.progress(), Some((1, vec![])));
    rig.succeed(record(1));
    assert_eq!(rig.committed(), None);
    assert_eq!(rig.commit(1).progress(), Some((2, vec![])));
}

#[test]
fn dispatch_stops_at_twice_the_bounds_while_committing() {
    let mut rig = rig(WorkerPolicy { checkpoint_events_max: 1, ..WorkerPolicy::default() });
    rig.fetch(fetched(0, 1)).succeed(record(0));
    rig.fetch(fetched(1, 1)).succeed(record(1));
    assert_eq!(rig.fetch(fetched(2, 1)).invoked(), vec![record(2)]);
    rig.succeed(record(2));
    assert!(rig.fetch(fetched(3, 1)).invoked().is_empty(), "choked at 2");
    let filtered = Fetched { verdict: Verdict::Filtered, ..fetched(4, 1) };
    assert!(rig.fetch(filtered).staged().is_empty(), "choked at 2");
    rig.commit(1);
    assert_eq!(rig.invoked(), vec![record(3)]);
    assert_eq!(rig.succeed(record(3)).settled()[1], (record(4), Terminal::Filtered));
}

#[test]
fn only_the_committing_checkpoint_can_end() {
    for input in
        [|checkpoint| Input::Committed { checkpoint }, |checkpoint| Input::Aborted { checkpoint }]
    {
        let mut rig = Rig::new(policy());
        assert!(rig.try_give(input(CheckpointId(1))).is_err());
        rig.fetch(fetched(0, 1)).succeed(record(0));
        assert!(rig.try_give(input(CheckpointId(2))).is_err());
        assert!(rig.try_give(input(CheckpointId(1))).is_ok());
    }
}

#[test]
fn an_abort_undoes_what_was_built_on_it() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).succeed(record(0));
    rig.fetch(with_id(1, 1, 9)).fetch(with_id(2, 2, 8)).succeed(record(1));
    rig.abort(1);
    let (subscription, partition) = (SUBSCRIPTION, PartitionId(0));
    let generation = Generation(1);
    assert_eq!(
        rig.last,
        vec![
            Effect::Cancel { attempt: AttemptId(3) },
            Effect::Release { subscription, event: record(2) },
            Effect::Rewind { subscription, partition, generation },
        ]
    );
    assert!(rig.engine.is_idle());
    assert_eq!(rig.engine.figures(SUBSCRIPTION), crate::Figures::default());
    assert_eq!(rig.engine.next_deadline(), None);
    rig.give(Input::Assigned(assignment(2).into()));
    rig.fetch(Fetched { generation: Generation(2), ..with_id(0, 1, 9) });
    assert_eq!(rig.invoked(), vec![record(0)], "an id of the undone past was remembered");
    // The filling checkpoint went on under its number.
    assert_eq!(rig.succeed(record(0)).committed().unwrap().0, 2);
}

#[test]
fn an_abort_leaves_partitions_alone_that_only_run() {
    let mut rig = Rig::new(policy());
    let other = crate::Assignment { partition: PartitionId(1), ..assignment(1) };
    rig.give(Input::Assigned(other.into()));
    let mut running = fetched(0, 1);
    running.position.partition = PartitionId(1);
    let running_event = crate::EventRef::Record(running.position);
    rig.fetch(fetched(0, 1)).fetch(running).succeed(record(0)).at(1_100);
    assert!(rig.committed().is_some());
    rig.abort(1);
    assert!(!rig.last.iter().any(|it| matches!(it, Effect::Cancel { .. })));
    let outcome = Outcome::Succeeded { timers: vec![], size: Bytes(0) };
    rig.finish(running_event, outcome);
    assert_eq!(rig.settled().len(), 1);
}

#[test]
fn progress_is_committed_only_where_it_changed() {
    let mut assignment = assignment(1);
    let stored = Some(crate::rig::stored(0, &[]));
    assignment.cursors.push(crate::Cursor { stored, ..crate::rig::cursor(2) });
    let mut rig = Rig::assigned(policy(), assignment);
    rig.fetch(fetched(0, 1)).succeed(record(0));
    assert_eq!(rig.committed().unwrap().1.len(), 1);
}
