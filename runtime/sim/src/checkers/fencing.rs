//! Checks, in a cluster, that once a host has brought a partition's state to itself, nobody who
//! held the partition before changes anything of it.

use gristmill_engine::{Generation, Staged};

use super::{Checker, Fact, Home, Owners, Scene, ensure};
use crate::world::durable::Batch;

/// Watches former holders.
#[derive(Debug, Default)]
pub(super) struct Fencing {
    owners: Owners,
}

impl Checker for Fencing {
    fn name(&self) -> &'static str {
        "fencing"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        self.owners.follow(fact);
        let Fact::Durable(batch) = fact else { return Ok(()) };
        if scene.script.cluster { self.check(batch) } else { Ok(()) }
    }
}

impl Fencing {
    /// A transaction may be decided after its partition was lost, and before it is read anew.
    fn check(&self, batch: &Batch) -> Result<(), String> {
        let items = batch.items.iter();
        let items = items.filter(|item| !matches!(item.staged, Staged::Upgraded { .. }));
        let written = items.map(|item| (item.home, item.generation));
        let claimed =
            batch.progress.iter().map(|it| ((it.subscription, it.partition), it.generation));
        written.chain(claimed).try_for_each(|(home, generation)| {
            ensure(!self.has_successor(batch.worker, home, generation), || {
                format!("{home:?} of {generation:?} was written after a successor had read it")
            })
        })
    }

    fn has_successor(&self, worker: usize, home: Home, generation: Generation) -> bool {
        self.owners.0.get(&home).is_some_and(|owner| *owner != (worker, generation))
    }
}
