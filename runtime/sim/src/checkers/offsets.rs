//! Checks, in a cluster, that a group's offsets move in the same transaction as the progress they
//! stand for: whoever reads either finds the other.

use super::{Checker, Fact, Scene, ensure};

/// Watches offsets.
#[derive(Debug, Default)]
pub(super) struct Offsets;

impl Checker for Offsets {
    fn name(&self) -> &'static str {
        "offsets"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        let Fact::Durable(batch) = fact else { return Ok(()) };
        if !scene.script.cluster {
            return Ok(());
        }
        batch.progress.iter().try_for_each(|claim| {
            let cursor = (claim.subscription, claim.topic, claim.partition);
            let committed = scene.durable.committed.get(&cursor);
            ensure(committed == Some(&claim.next), || {
                format!(
                    "{cursor:?} is finished to {:?}, and its group has {committed:?}",
                    claim.next
                )
            })
        })
    }
}
