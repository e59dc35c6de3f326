//! Checks that no more attempts run at once than policy allows: per subscription, per worker, and
//! one per lane.

use std::collections::BTreeMap;

use gristmill_engine::{AttemptId, Effect, Input};

use super::{Checker, Fact, Home, Lane, Scene, ensure, lane_of};

/// Where an attempt runs.
type Place = (Home, Option<Lane>);

/// Watches how many attempts run.
#[derive(Debug, Default)]
pub(super) struct Concurrency {
    running: BTreeMap<(usize, AttemptId), Place>,
}

impl Checker for Concurrency {
    fn name(&self) -> &'static str {
        "concurrency"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        match fact {
            Fact::Crashed => self.running.clear(),
            Fact::Ended { worker } => self.running.retain(|at, _| at.0 != worker),
            Fact::Fed { worker, input: Input::Finished { attempt, .. } }
            | Fact::Done { worker, effect: Effect::Cancel { attempt }, .. } => {
                self.running.remove(&(worker, *attempt));
            }
            Fact::Done { worker, effect, event } => {
                let Effect::Invoke { attempt, subscription, partition, key, .. } = effect else {
                    return Ok(());
                };
                let home = (*subscription, *partition);
                let lane = event.and_then(|event| lane_of(scene, home, event, *key));
                self.check(worker, home, lane, scene)?;
                self.running.insert((worker, *attempt), (home, lane));
            }
            Fact::Fed { .. }
            | Fact::Durable(_)
            | Fact::Started { .. }
            | Fact::Gone { .. }
            | Fact::Written { .. }
            | Fact::Restored { .. }
            | Fact::Reset { .. }
            | Fact::Recreated { .. }
            | Fact::Trimmed { .. } => {}
        }
        Ok(())
    }
}

impl Concurrency {
    /// Checks that one more attempt may begin.
    fn check(
        &self,
        worker: usize,
        home: Home,
        lane: Option<Lane>,
        scene: Scene<'_>,
    ) -> Result<(), String> {
        let here = || self.running.iter().filter(|((at, _), _)| *at == worker).map(|(_, r)| r);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let total = count(here().count());
        ensure(total < scene.script.worker_policy.attempts_max, || {
            format!("{total} attempts run on worker {worker} and one more begins")
        })?;
        let own = count(here().filter(|(at, _)| at.0 == home.0).count());
        ensure(own < scene.script.subscription(home.0).policy.concurrency, || {
            format!("{own} attempts of {:?} run on worker {worker} and one more begins", home.0)
        })?;
        let twin = lane.is_some() && here().any(|running| *running == (home, lane));
        ensure(!twin, || format!("two attempts of one lane run: {home:?}, {lane:?}"))
    }
}
