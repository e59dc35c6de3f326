//! Checks that no event is finished twice: per subscription and epoch, its effects apply once.
//! It does not care whether they apply at all.

use std::collections::BTreeMap;

use gristmill_engine::Staged;

use super::{Case, Checker, Fact, Resets, Scene, ensure};
use crate::topic::EventId;

/// Watches that nothing is finished twice.
#[derive(Debug, Default)]
pub(super) struct Once {
    finished: BTreeMap<Case, usize>,
    resets: Resets,
}

impl Checker for Once {
    fn name(&self) -> &'static str {
        "once"
    }

    fn see(&mut self, fact: Fact<'_>, _: Scene<'_>) -> Result<(), String> {
        self.resets.follow(fact);
        let Fact::Durable(batch) = fact else { return Ok(()) };
        for item in &batch.items {
            let (Staged::Settled { outcome, .. }, Some(event)) = (&item.staged, item.event) else {
                continue;
            };
            // Settings of a timer are told apart by the checker of timers.
            if matches!(event, EventId::Timer { .. }) {
                continue;
            }
            let case = (item.home.0, event);
            let times = self.finished.entry(case).or_default();
            *times += 1;
            let (times, allowed) = (*times, 1 + self.resets.of(item.home.0, event));
            ensure(times <= allowed, || {
                format!("{case:?} finished {times} times, last as {outcome:?}")
            })?;
        }
        Ok(())
    }
}
