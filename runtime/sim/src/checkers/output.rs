//! Checks, in a cluster, what becomes of emissions that no broker takes: their own events fail for
//! them, no other event does, and none of them counts as done.

use std::collections::BTreeMap;

use gristmill_engine::{
    AttemptId, Effect, FailureClass, Input, Outcome, Staged, SubscriptionId, Terminal,
};

use super::{Checker, Fact, Scene, ensure};
use crate::plugin;
use crate::topic::EventId;
use crate::world::durable::Batch;

/// Watches failures of class `output`.
#[derive(Debug, Default)]
pub(super) struct Output {
    running: BTreeMap<(usize, AttemptId), (SubscriptionId, EventId)>,
}

impl Checker for Output {
    fn name(&self) -> &'static str {
        "output"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        if let Fact::Started { worker, .. } = fact {
            self.running.retain(|(at, _), _| *at != worker);
        }
        if let Fact::Done { worker, effect, event: Some(event) } = fact
            && let Effect::Invoke { attempt, subscription, .. } = effect
        {
            self.running.insert((worker, *attempt), (*subscription, event));
        } else if let Fact::Fed { worker, input: Input::Finished { attempt, outcome } } = fact {
            let Some(of) = self.running.remove(&(worker, *attempt)) else { return Ok(()) };
            return check_failure(of, outcome, scene);
        } else if let Fact::Durable(batch) = fact
            && scene.script.cluster
        {
            return check_success(batch, scene);
        }
        Ok(())
    }
}

/// An attempt that failed for its output was of an event whose handler, or whose broker, has it so.
fn check_failure(
    (subscription, event): (SubscriptionId, EventId),
    outcome: &Outcome,
    scene: Scene<'_>,
) -> Result<(), String> {
    let Outcome::Failed { class: FailureClass::Output, .. } = outcome else { return Ok(()) };
    let EventId::Record { .. } = event else { return Ok(()) };
    let seed = scene.script.seed;
    let is_due = plugin::breaks_output(seed, subscription, event)
        || !plugin::is_deliverable(scene.script, subscription, event);
    ensure(is_due, || format!("{event:?} fails for an emission that is not its own"))
}

/// Nothing counts as a success whose emission was not taken.
fn check_success(batch: &Batch, scene: Scene<'_>) -> Result<(), String> {
    batch.items.iter().try_for_each(|item| {
        let Staged::Settled { outcome: Terminal::Succeeded { .. }, .. } = &item.staged else {
            return Ok(());
        };
        let Some(event) = item.event else { return Ok(()) };
        ensure(plugin::is_deliverable(scene.script, item.home.0, event), || {
            format!("{event:?} counts as done, and nobody took what it emitted")
        })
    })
}
