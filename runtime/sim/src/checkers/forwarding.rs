//! Checks that what belongs to another partition is forwarded, each record once and in the order
//! of its topic, and nothing else is. That none is lost, the promise of loss says.

use std::collections::BTreeMap;

use gristmill_engine::{
    EventRef, Offset, PartitionId, Position, Staged, SubscriptionId, Terminal, TopicId, Verdict,
};

use super::{Checker, Fact, Resets, Scene, ensure};
use crate::topic::EventId;
use crate::world::durable::Item;

/// A life of a topic partition, as a subscription reads it.
type Place = (SubscriptionId, TopicId, PartitionId, u128);

/// Watches what is forwarded.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    resets: Resets,
    /// The last record forwarded, and how often it fell back.
    last: BTreeMap<Place, (Offset, usize)>,
}

impl Checker for Forwarding {
    fn name(&self) -> &'static str {
        "forwarding"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        self.resets.follow(fact);
        let Fact::Durable(batch) = fact else { return Ok(()) };
        batch.items.iter().try_for_each(|item| self.check(item, scene))
    }
}

impl Forwarding {
    fn check(&mut self, item: &Item, scene: Scene<'_>) -> Result<(), String> {
        let Staged::Settled { outcome, event: EventRef::Record(at), .. } = &item.staged else {
            return Ok(());
        };
        let Some(event @ EventId::Record { incarnation, .. }) = item.event else { return Ok(()) };
        let Some(record) = scene.topics.record(event) else { return Ok(()) };
        let stateful = scene.script.subscription(item.home.0).policy.stateful;
        let is_meant = record.verdict == Verdict::Forwarded && (record.key.is_some() || !stateful);
        let is_forwarded = *outcome == Terminal::Forwarded;
        ensure(is_forwarded == is_meant, || format!("{event:?} ended as {outcome:?}"))?;
        if is_forwarded { self.rise(item.home.0, *at, incarnation) } else { Ok(()) }
    }

    /// Offsets rise, but for resets.
    fn rise(
        &mut self,
        subscription: SubscriptionId,
        at: Position,
        incarnation: u128,
    ) -> Result<(), String> {
        let Position { topic, partition, offset } = at;
        let whole = Position { offset: Offset(u64::MAX), ..at };
        let resets = self.resets.of(subscription, EventId::Record { position: whole, incarnation });
        let place = (subscription, topic, partition, incarnation);
        let Some((last, falls)) = self.last.get_mut(&place) else {
            self.last.insert(place, (offset, 0));
            return Ok(());
        };
        if offset <= *last {
            *falls += 1;
        }
        let before = std::mem::replace(last, offset);
        ensure(*falls <= resets, || format!("{at:?} was forwarded after {before:?}"))
    }
}
