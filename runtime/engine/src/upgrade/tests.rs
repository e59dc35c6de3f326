//! A new version takes over exactly at a checkpoint boundary.

use alloc::vec;

use crate::rig::{Rig, SUBSCRIPTION, fetched, policy, record};
use crate::{CheckpointId, Effect, Generation, Input, PartitionId, Staged, Version};

fn upgrade(version: u32) -> Input {
    Input::Upgraded { subscription: SUBSCRIPTION, version: Version(version) }
}

fn upgraded(checkpoint: u64, version: u32) -> Effect {
    Effect::Stage {
        checkpoint: CheckpointId(checkpoint),
        subscription: SUBSCRIPTION,
        partition: PartitionId(0),
        generation: Generation(0),
        staged: Staged::Upgraded { version: Version(version) },
    }
}

fn activated(version: u32) -> Effect {
    Effect::Activated { subscription: SUBSCRIPTION, version: Version(version) }
}

fn version_of(rig: &Rig) -> Option<u32> {
    rig.last.iter().rev().find_map(|effect| match effect {
        Effect::Invoke { version, .. } => Some(version.0),
        _ => None,
    })
}

#[test]
fn a_version_takes_over_at_the_boundary() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1));
    assert_eq!(version_of(&rig), Some(1));
    rig.give(upgrade(2));
    let commit = Effect::Commit { checkpoint: CheckpointId(1), progress: vec![] };
    assert_eq!(rig.last, vec![upgraded(1, 2), commit, activated(2)]);
    rig.fetch(fetched(1, 2));
    assert_eq!(version_of(&rig), Some(2));
    // What ran on the old version ends as it would have.
    assert_eq!(rig.succeed(record(0)).settled().len(), 1);
}

#[test]
fn the_boundary_waits_for_the_committing_checkpoint() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).succeed(record(0)).give(upgrade(2));
    assert_eq!(rig.last, vec![upgraded(2, 2)]);
    rig.fetch(fetched(1, 1));
    assert_eq!(version_of(&rig), Some(1));
    rig.commit(1);
    assert!(rig.has(&activated(2)));
}

#[test]
fn an_upgrade_survives_an_abort() {
    // Aborted while it waits, and aborted while it commits.
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).succeed(record(0)).give(upgrade(2)).abort(1);
    assert!(rig.has(&upgraded(2, 2)) && rig.has(&activated(2)));
    rig.abort(2);
    assert!(rig.has(&upgraded(3, 2)));
    assert!(!rig.has(&activated(2)), "it is in use already");
    assert_eq!(rig.committed().unwrap().0, 3);
    rig.commit(3);
    assert!(rig.engine.is_idle());
}

#[test]
fn the_last_of_several_versions_takes_over() {
    let mut rig = Rig::new(policy());
    rig.fetch(fetched(0, 1)).succeed(record(0)).give(upgrade(2)).give(upgrade(3)).commit(1);
    assert!(rig.has(&activated(3)) && !rig.has(&activated(2)));
}
