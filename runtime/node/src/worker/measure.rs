//! Counts what a worker does. It decides nothing; outcomes are counted when they are durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use gristmill_engine::{
    CheckpointId, Circuit, EventRef, Instant, Observation, Progress, SubscriptionId, Terminal,
    Version,
};
use gristmill_plugin_host::Finished;
use gristmill_store::Change;

use super::Worker;
use super::attempts::Invocation;
use super::part::Content;
use super::stage::Place;
use crate::metrics::{Meter, Outcome, circuit_name};
use crate::plugins::Inbox;
use crate::shared::PausedBy;

/// Outcomes of the checkpoints that are not durable yet.
#[derive(Debug, Default)]
pub(super) struct Tally {
    filling: Vec<Settled>,
    /// Time in the store since it was last told.
    store: Duration,
    committing: VecDeque<(CheckpointId, Moment, Vec<Settled>)>,
}

/// One event that reached its terminal outcome.
#[derive(Debug, Clone, Copy)]
struct Settled {
    subscription: SubscriptionId,
    outcome: Outcome,
    /// The event's own timestamp, for the latency to its durable effects.
    timestamp: Instant,
}

impl Tally {
    /// This worker was in the store since `began`.
    pub(super) fn stored(&mut self, began: Moment) {
        self.store = self.store.saturating_add(began.elapsed());
    }

    /// An event of a local topic was handled, with what caused it.
    pub(super) fn handled(&mut self, subscription: SubscriptionId, timestamp: Instant) {
        self.filling.push(Settled { subscription, outcome: Outcome::Committed, timestamp });
    }

    /// What was counted belongs to `checkpoint`; what follows belongs to the next.
    pub(super) fn close(&mut self, checkpoint: CheckpointId) {
        self.committing.push_back((checkpoint, Moment::now(), std::mem::take(&mut self.filling)));
    }

    /// What `checkpoint` and the filling one settled is undone.
    pub(super) fn drop(&mut self, checkpoint: CheckpointId) {
        self.committing.retain(|(id, ..)| *id != checkpoint);
        self.filling.clear();
    }
}

impl Worker {
    /// An attempt ended.
    pub(super) fn measure(&self, invocation: &Invocation, finished: &Finished) {
        let Some(meter) = self.meters.get(&invocation.subscription) else { return };
        let failure = finished.result.as_ref().err().map(|failure| failure.class);
        meter.attempted(failure, finished.usage.wall);
        meter.used(&finished.usage);
    }

    /// An event reached its terminal outcome.
    pub(super) fn count_outcome(&mut self, place: Place, event: EventRef, outcome: &Terminal) {
        let part = self.parts.get(&place);
        let slot = part.and_then(|part| part.slots.get(&event));
        let timestamp = slot.map_or(Instant(0), |slot| slot.content.event_time());
        let (subscription, _) = place;
        let outcome = match outcome {
            Terminal::Succeeded { .. } => Outcome::Committed,
            Terminal::Duplicate => Outcome::Duplicate,
            Terminal::Filtered => Outcome::Filtered,
            Terminal::Forwarded => Outcome::Forwarded,
            Terminal::FellBack => Outcome::FellBack,
            Terminal::Discarded { .. } => Outcome::Discarded,
            Terminal::DeadLettered { class, .. } => {
                if let Some(part) = part {
                    part.binding.metrics.dead_lettered(*class);
                }
                Outcome::DeadLettered
            }
        };
        self.tally.filling.push(Settled { subscription, outcome, timestamp });
    }

    /// A checkpoint is durable: what it settled counts now.
    pub(super) fn count_committed(&mut self, checkpoint: CheckpointId) {
        if let Some(spans) = &mut self.spans {
            spans.committed(checkpoint);
        }
        let now = self.shared.clock.now();
        while let Some((id, began, settled)) = self.tally.committing.pop_front() {
            if id > checkpoint {
                self.tally.committing.push_front((id, began, settled));
                return;
            }
            self.shared.metrics.checkpointed(began.elapsed());
            for Settled { subscription, outcome, timestamp } in settled {
                if let Some(meter) = self.meters.get(&subscription) {
                    meter.completed(outcome, now, now.since(timestamp));
                }
            }
        }
    }

    /// A checkpoint carries this progress.
    pub(super) fn note_progress(&self, progress: &Progress) {
        let ahead = progress.finished.iter().map(|range| range.to.0.saturating_sub(range.from.0));
        let place = (progress.subscription, progress.topic, progress.partition);
        self.shared.progress.note(place, progress.next, ahead.sum());
    }

    /// Remembers durably, with the checkpoint, which version a subscription uses after it.
    pub(super) fn stage_version(&mut self, place: Place, version: Version) {
        let (subscription, _) = place;
        let Some(bound) = self.versions.get(&(subscription, version)) else { return };
        let digest = bytes::Bytes::copy_from_slice(bound.binding.plugin.digest().as_bytes());
        let name = format!("version/{}/{}", bound.binding.name, self.index);
        self.stage_change(place, Change::Document { name, value: Some(digest) });
    }

    /// An attempt begins after its event waited.
    pub(super) fn measure_wait(meter: &Meter, content: &Content, since: Instant, now: Instant) {
        meter.waited(now.since(since));
        if let Content::Timer(timer) = content {
            meter.instruments().timer_fired(now.since(timer.entry.due));
        }
    }

    /// Tells the instruments what was counted.
    pub(super) fn tell_meters(&mut self) {
        self.meters.values().for_each(|meter| meter.tell());
        self.shared.metrics.stored(std::mem::take(&mut self.tally.store));
        self.tell_spans();
    }

    /// The engine saw something worth counting.
    pub(super) fn observe(&self, observation: Observation) {
        let metrics = |subscription: SubscriptionId| {
            self.current
                .get(&subscription)
                .map(|binding| (&binding.metrics, Arc::clone(&binding.name)))
        };
        match observation {
            Observation::Stale { subscription } => {
                if let Some((metrics, _)) = metrics(subscription) {
                    metrics.stale();
                }
            }
            Observation::Skipped { subscription, topic, partition, count } => {
                if let Some((metrics, name)) = metrics(subscription) {
                    metrics.skipped(count);
                    tracing::error!(code = "E0464", subscription = %name, topic = topic.0,
                        partition = partition.0, count,
                        "retention removed events before the subscription read them");
                }
            }
            Observation::EpochBegan { subscription, topic, partition, epoch } => {
                if let Some((_, name)) = metrics(subscription) {
                    tracing::info!(subscription = %name, topic = topic.0, partition = partition.0,
                        epoch, "a new epoch begins: the group was reset or the topic made anew");
                }
            }
            Observation::LaneParked { subscription } => {
                tracing::debug!(subscription = subscription.0, "lane parked");
            }
            Observation::SubscriptionPaused { subscription, class: _ } => {
                self.shared.tell_supervisor(Inbox::Paused(subscription, PausedBy::Policy));
            }
            Observation::TooManyDead { subscription } => {
                self.shared.tell_supervisor(Inbox::Paused(subscription, PausedBy::Guard));
            }
            Observation::Breaker { subscription, circuit } => {
                if let Some((metrics, name)) = metrics(subscription) {
                    metrics.breaker(circuit);
                    self.tell_breaker(&name, circuit);
                }
            }
            Observation::AttemptFailed { .. } | Observation::AlreadyFinished { .. } => {}
        }
    }

    fn tell_breaker(&self, subscription: &str, circuit: Circuit) {
        let (worker, state) = (self.index, circuit_name(circuit));
        match circuit {
            Circuit::Open => tracing::warn!(
                code = "E0467",
                subscription,
                worker,
                "too many attempts fail: none is made for a while, and no event is given up on"
            ),
            Circuit::HalfOpen | Circuit::Closed => {
                tracing::info!(subscription, worker, state, "breaker");
            }
        }
    }
}
