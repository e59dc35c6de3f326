//! Checks that committed progress never passes an unfinished event, leaves no finished one out,
//! and only moves forward within an epoch.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_engine::{Offset, Progress as Claim, Staged, StoredProgress};

use super::{Checker, Fact, Scene, ensure};
use crate::topic::EventId;
use crate::world::durable::{Batch, CursorId, Item};

/// Watches progress.
#[derive(Debug, Default)]
pub(super) struct Progress {
    finished: BTreeMap<CursorId, BTreeSet<Offset>>,
    claimed: BTreeMap<CursorId, Claim>,
}

impl Checker for Progress {
    fn name(&self) -> &'static str {
        "progress"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        let Fact::Durable(batch) = fact else { return Ok(()) };
        for claim in &batch.progress {
            self.advance(claim)?;
        }
        self.finish(batch)?;
        for claim in &batch.progress {
            self.compare(claim, scene)?;
        }
        Ok(())
    }
}

impl Progress {
    /// Checks a claim against the one before.
    fn advance(&mut self, claim: &Claim) -> Result<(), String> {
        let cursor = (claim.subscription, claim.topic, claim.partition);
        let finished = self.finished.entry(cursor).or_default();
        if let Some(before) = self.claimed.get(&cursor) {
            let same = before.incarnation == claim.incarnation && before.epoch == claim.epoch;
            ensure(same || claim.epoch > before.epoch, || {
                format!("{cursor:?}: the epoch fell from {} to {}", before.epoch, claim.epoch)
            })?;
            ensure(!same || claim.next >= before.next, || {
                format!("{cursor:?}: progress fell from {:?} to {:?}", before.next, claim.next)
            })?;
            if before.incarnation != claim.incarnation {
                finished.clear();
            } else if before.epoch != claim.epoch {
                finished.retain(|offset| *offset < claim.epoch_start);
            }
        }
        self.claimed.insert(cursor, claim.clone());
        let mut last = claim.next;
        for range in &claim.finished {
            ensure(last < range.from && range.from < range.to, || {
                format!("{cursor:?}: finished ranges are not ascending and apart: {claim:?}")
            })?;
            last = range.to;
        }
        Ok(())
    }

    /// Notes what the batch finishes; all of it must be claimed by the same batch.
    fn finish(&mut self, batch: &Batch) -> Result<(), String> {
        for item in &batch.items {
            let Some((cursor, incarnation, offset)) = finished_by(item) else { continue };
            let claim = batch.progress.iter().find(|claim| {
                (claim.subscription, claim.topic, claim.partition) == cursor
                    && claim.incarnation == incarnation
            });
            ensure(claim.is_some_and(|claim| claims(claim, offset)), || {
                format!("{cursor:?}: {offset:?} is finished and its checkpoint does not say so")
            })?;
            self.finished.entry(cursor).or_default().insert(offset);
        }
        Ok(())
    }

    /// Checks a claim against what is finished and what was stored.
    fn compare(&self, claim: &Claim, scene: Scene<'_>) -> Result<(), String> {
        let cursor = (claim.subscription, claim.topic, claim.partition);
        if scene.topics.topic(claim.topic).incarnation != claim.incarnation {
            return Ok(());
        }
        let finished = &self.finished[&cursor];
        let log = scene.topics.log(claim.topic, claim.partition);
        for offset in log.records.keys() {
            let done = finished.contains(offset) || *offset < log.start;
            ensure(done || !claims(claim, *offset), || {
                format!("{cursor:?}: progress passes {offset:?}, which is not finished: {claim:?}")
            })?;
        }
        for offset in finished {
            ensure(claims(claim, *offset), || {
                format!("{cursor:?}: progress leaves out {offset:?}, which is finished: {claim:?}")
            })?;
        }
        let stored = scene.durable.progress.get(&cursor);
        ensure(stored.is_some_and(|stored| is_stored(claim, stored)), || {
            format!("{cursor:?}: {claim:?} was committed, {stored:?} is stored")
        })
    }
}

/// The position an item finishes for progress: settled from the topic, or parked.
fn finished_by(item: &Item) -> Option<(CursorId, u128, Offset)> {
    let from_topic =
        matches!(item.staged, Staged::Settled { parked: None, .. } | Staged::Parked { .. });
    match item.event {
        Some(EventId::Record { position, incarnation }) if from_topic => {
            let cursor = (item.home.0, position.topic, position.partition);
            Some((cursor, incarnation, position.offset))
        }
        Some(EventId::Record { .. } | EventId::Timer { .. }) | None => None,
    }
}

fn claims(claim: &Claim, offset: Offset) -> bool {
    let within = |range: &gristmill_engine::OffsetRange| range.from <= offset && offset < range.to;
    offset < claim.next || claim.finished.iter().any(within)
}

fn is_stored(claim: &Claim, stored: &StoredProgress) -> bool {
    (claim.incarnation, claim.epoch, claim.epoch_start, claim.next)
        == (stored.incarnation, stored.epoch, stored.epoch_start, stored.next)
        && claim.finished == stored.finished
}
