//! Notices what could be lost, or was: records that are removed here before they are copied. It
//! brings nothing back.

use std::time::{Duration, Instant as Moment};

use gristmill_engine::{Bytes as Size, Millis};
use gristmill_store::{Bounds, ReadLimit};

use super::error::{GONE_BACK, LOST, SOON_LOST};
use super::flow::{Flow, Misplaced};
use super::look::There;
use super::progress::Place;
use super::runner::Runner;
use super::slots::Standing;

/// Records that are looked up in one look, only to know how old they are.
const PEEKS_MAX: usize = 16;
/// One record.
const ONE: ReadLimit = ReadLimit { events: 1, bytes: Size(1) };
/// How long what a topic's retention is, is believed.
const RETENTION_KEPT: Duration = Duration::from_mins(1);
/// Records younger than this are soon lost nowhere.
const YOUNG: Millis = Millis::seconds(1);

impl Runner {
    /// Looks at every partition that this host tells of.
    pub(super) fn judge(&mut self) {
        let places: Vec<Place> = self.flows.keys().cloned().collect();
        let mut peeks = PEEKS_MAX;
        for place in &places {
            self.replace(place);
            if peeks > 0 && self.peek(place) {
                peeks -= 1;
            }
            self.warn(place);
        }
    }

    /// Goes on from what is there, where that is not what was to be copied next, and says so.
    fn replace(&mut self, place: &Place) {
        let Some(flow) = self.flows.get_mut(place) else { return };
        if self.slots.of(flow.slot) != Some(Standing::Ready) || !flow.is_placed() {
            return;
        }
        let to = match flow.misplaced() {
            None => return,
            Some(Misplaced::Lost(from, to)) => {
                let lost = to.saturating_sub(from);
                tracing::error!(
                    code = LOST,
                    replication = self.name,
                    topic = place.topic,
                    partition = place.partition,
                    from,
                    to,
                    lost,
                    "records were removed here before they were copied"
                );
                self.shared.metrics.replication_lost(&self.name, &place.topic, lost);
                to
            }
            Some(Misplaced::Back(copied, to)) => {
                tracing::error!(
                    code = GONE_BACK,
                    replication = self.name,
                    topic = place.topic,
                    partition = place.partition,
                    copied,
                    end = to,
                    "a partition ends before what was copied of it; it is copied from there on"
                );
                to
            }
        };
        flow.pass(to);
        self.filling.mark(place, &flow.id, to);
    }

    /// Looks up how old the first record is that waits, where nothing is read of its partition.
    fn peek(&mut self, place: &Place) -> bool {
        let Some(flow) = self.flows.get(place) else { return false };
        let is_ready = |there: &There| there.is_ready();
        let is_there = self.topics.get(&place.topic).is_some_and(|it| is_ready(&it.there));
        let is_own = self.slots.of(flow.slot) == Some(Standing::Ready);
        let is_read = self.link.is_some() && is_own && is_there && flow.refused().is_none();
        let Some(from) = flow.look_at().filter(|_| !is_read) else { return false };
        let end = flow.bounds().end.0;
        let found = self.source.read(&flow.topic, place, from, ONE);
        // Where it cannot be read, the look says why.
        let Ok(found) = found else { return true };
        let first = found.first().map(|record| (record.offset.0, record.timestamp.0));
        if let Some(flow) = self.flows.get_mut(place) {
            flow.looked(first, end);
        }
        true
    }

    /// Warns once of records that will be removed here soon and are not copied.
    fn warn(&mut self, place: &Place) {
        let Some(flow) = self.flows.get(place) else { return };
        let tells = self.slots.tells_of(flow.slot);
        if flow.is_warned || !tells || flow.lag().is_none_or(|lag| lag == 0) {
            return;
        }
        let age = flow.oldest().map(|at| Millis(self.shared.clock.now().0.saturating_sub(at)));
        let is_short = is_near_start(flow);
        let kept = age.filter(|age| *age >= YOUNG).and_then(|_| self.retention(place));
        let is_old = age.zip(kept).is_some_and(|(age, kept)| age.0 >= kept.0 / 4 * 3);
        if !is_short && !is_old {
            return;
        }
        let Some(flow) = self.flows.get_mut(place) else { return };
        flow.is_warned = true;
        tracing::warn!(
            code = SOON_LOST,
            replication = self.name,
            topic = place.topic,
            partition = place.partition,
            lag = flow.lag(),
            age_seconds = age.map(|age| age.0 / 1_000),
            retention_seconds = kept.map(|kept| kept.0 / 1_000),
            "records will be removed here soon that are not copied yet"
        );
    }

    /// How long a topic keeps its records here.
    fn retention(&mut self, place: &Place) -> Option<Millis> {
        let topic = self.topics.get_mut(&place.topic)?;
        if let Some((at, kept)) = topic.retention
            && at.elapsed() < RETENTION_KEPT
        {
            return kept;
        }
        // Where it cannot be asked, it is asked again.
        let kept = self.source.retention(&topic.found.topic).ok()?;
        topic.retention = Some((Moment::now(), kept));
        kept
    }
}

/// Whether a partition loses its beginning, and what is to be copied next is in the first quarter
/// of what is left.
fn is_near_start(flow: &Flow) -> bool {
    let Bounds { start, end } = flow.bounds();
    let Some(next) = flow.next() else { return false };
    let ahead = next.saturating_sub(start.0);
    start.0 > flow.start_first && ahead < end.0.saturating_sub(start.0) / 4
}
