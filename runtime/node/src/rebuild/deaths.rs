//! Knows which events became dead letters, and how often: the running state has nothing of those
//! attempts. It decides nothing of them.

use std::collections::BTreeMap;

use crate::broker;
use crate::letters::{self, LetterId, Selection};
use crate::plugins::SubscriptionStatus;
use crate::shared::Shared;

/// Dead letters read in one step.
const STEP: usize = 500;

/// How often events became dead letters, by the place they first came from.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    times: BTreeMap<(String, u32, u64), u32>,
}

impl Deaths {
    /// Learns which dead letters there are by now. Waits.
    pub(super) fn refresh(
        &mut self,
        shared: &Shared,
        status: &SubscriptionStatus,
    ) -> Result<(), broker::Error> {
        let selection = Selection { redriven: true, ..Selection::default() };
        // Of several topics and partitions each may have grown: all of them are read again.
        let (mut times, mut after) = (BTreeMap::new(), None::<LetterId>);
        loop {
            let span = letters::Span { after: after.as_ref(), before: None, limit: STEP };
            let found = letters::select(shared, status, &selection, span)?;
            let Some(last) = found.last() else { break };
            after = Some(last.id.clone());
            for letter in found.iter().filter(|letter| letter.view.timer.is_none()) {
                let view = &letter.view;
                let place = (view.topic.clone(), view.partition, view.offset);
                let count: &mut u32 = times.entry(place).or_default();
                *count = count.saturating_add(1);
            }
        }
        self.times = times;
        Ok(())
    }

    /// How often the event of that place became a dead letter.
    pub(super) fn of(&self, topic: &str, partition: u32, offset: u64) -> u32 {
        let place = (topic.to_owned(), partition, offset);
        self.times.get(&place).copied().unwrap_or(0)
    }
}
