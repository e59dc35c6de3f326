//! Turns what the engine stages into changes of the store, and what a lane may see of them before
//! they are durable. It never decides what is staged.

use std::sync::Arc;
use std::time::Instant as Moment;

use bytes::Bytes;
use gristmill_engine::{
    Bytes as Size, CheckpointId, EventRef, IdHash, Instant, KeyHash, Mark, Millis, ParkedEvent,
    PartitionId, Progress, Staged, StoredProgress, SubscriptionId, Terminal, TimerEntry, TimerHash,
};
use gristmill_plugin_host::{Handled, StateChange, TimerRequest};
use gristmill_store::{Append, Batch, Change, ParkedRecord, Scope, TimerRecord};
use gristmill_telemetry::TraceContext;

use super::attempts::{LocalDone, Outgoing, Succeeded};
use super::dead_letter::Death;
use super::filling::Cause;
use super::overlay::StateValue;
use super::part::{Content, Slot, stored_size};
use super::request::TimerContext;
use super::{Command, Worker};
use crate::Error;
use crate::binding::Binding;
use crate::envelope::{self, Emitter, Hasher128};
use crate::shared::CLOCK;
use crate::telemetry;

/// Names a partition of a subscription on this worker.
pub(super) type Place = (SubscriptionId, PartitionId);

/// A settled event, as the engine stages it.
struct Settled {
    event: EventRef,
    key: Option<KeyHash>,
    outcome: Terminal,
    mark: Option<IdHash>,
    epoch: u32,
    parked: Option<u64>,
}

impl Worker {
    /// Adds to the filling checkpoint.
    pub(super) fn stage(
        &mut self,
        checkpoint: CheckpointId,
        place: Place,
        staged: Staged,
    ) -> Result<(), Error> {
        match staged {
            Staged::Settled { event, key, outcome, mark, epoch, parked } => {
                let settled = Settled { event, key, outcome, mark, epoch, parked };
                self.settle(checkpoint, place, settled)
            }
            Staged::Parked { event, key, sequence, attempts, first_failure, due, id, redriven } => {
                let figures = ParkedEvent {
                    sequence,
                    event,
                    attempts,
                    first_failure,
                    due,
                    size: Size(0),
                    id,
                    redriven,
                };
                self.park(checkpoint, place, key, &figures)
            }
            Staged::Retried { key, sequence, attempts, first_failure, due } => {
                let error = std::mem::take(&mut self.failing);
                self.filling.changes(place).push(Change::ParkedUpdate {
                    scope: scope(place),
                    lane: key,
                    sequence,
                    attempts,
                    first_failure,
                    due,
                    error,
                });
                Ok(())
            }
            Staged::Upgraded { version } => {
                self.stage_version(place, version);
                Ok(())
            }
        }
    }

    /// Makes the filling checkpoint true; how that ended comes back as a command.
    pub(super) fn commit(
        &mut self,
        checkpoint: CheckpointId,
        progress: Vec<Progress>,
    ) -> Result<(), Error> {
        let mut taken = self.filling.take();
        self.tally.close(checkpoint);
        if let Some(spans) = &mut self.spans {
            spans.close(checkpoint);
        }
        for progress in progress {
            let place = (progress.subscription, progress.partition);
            self.note_progress(&progress);
            self.move_on(place, &progress);
            taken.places.push(place);
            let topic = progress.topic;
            let progress = StoredProgress {
                incarnation: progress.incarnation,
                epoch: progress.epoch,
                epoch_start: progress.epoch_start,
                next: progress.next,
                finished: progress.finished,
            };
            taken.batch.changes.push(Change::Progress { scope: scope(place), topic, progress });
        }
        let now = Bytes::copy_from_slice(&self.shared.clock.now().0.to_be_bytes());
        taken.batch.changes.push(Change::Document { name: CLOCK.to_owned(), value: Some(now) });
        if self.kafka.is_some() {
            return self.transact(checkpoint, taken);
        }
        self.store(checkpoint, taken.batch);
        Ok(())
    }

    /// Hands a checkpoint to the store.
    pub(super) fn store(&mut self, checkpoint: CheckpointId, batch: Batch) {
        let answer = self.sender.clone();
        let done = move |result: Result<_, _>| {
            // The worker has ended when nobody takes it.
            drop(answer.send(Command::Committed(checkpoint, result.map(drop))));
        };
        let began = Moment::now();
        self.shared.store.submit(batch, Box::new(done));
        self.tally.stored(began);
    }

    /// Remembers where a partition stands in a topic.
    fn move_on(&mut self, place: Place, progress: &Progress) {
        let part = self.parts.get_mut(&place);
        let cursors = part.map(|part| part.cursors.iter_mut()).into_iter().flatten();
        for cursor in cursors.filter(|cursor| cursor.topic == progress.topic) {
            cursor.finished = progress.next;
        }
    }

    fn settle(
        &mut self,
        checkpoint: CheckpointId,
        place: Place,
        settled: Settled,
    ) -> Result<(), Error> {
        let scope = scope(place);
        let Settled { event, key, outcome, mark, epoch, parked } = settled;
        self.count_outcome(place, event, &outcome);
        let changes = self.filling.changes(place);
        if let Some(id) = mark
            && let EventRef::Record(position) = event
        {
            let at = self.shared.clock.now();
            changes.push(Change::MarkSet { scope, id, mark: Mark { position, epoch }, at });
        }
        if let (Some(sequence), Some(lane)) = (parked, key) {
            changes.push(Change::ParkedDelete { scope, lane, sequence });
        }
        if let EventRef::Timer { timer, .. } = event {
            changes.push(Change::TimerDelete { scope, timer });
            if let Some(part) = self.parts.get(&place) {
                part.lock_overlay().write_timer(checkpoint, timer, None);
            }
        }
        match outcome {
            Terminal::Succeeded { attempt, timer_sequence } => {
                let Some(succeeded) = self.attempts.take(attempt) else {
                    return Err(Error::broken("a success whose effects are gone"));
                };
                self.apply(checkpoint, place, event, (succeeded, timer_sequence))
            }
            Terminal::DeadLettered { class, attempts, first_failure, last_failure } => {
                let death = Death { class, attempts, first_failure, last_failure };
                self.dead_letter(place, event, death)
            }
            Terminal::Discarded { class, attempts } => {
                tracing::warn!(target: "gristmill::audit", subscription = place.0.0, ?event,
                    ?class, attempts, "event discarded, as the subscription's policy says");
                Ok(())
            }
            Terminal::Forwarded => self.forward(place, event),
            Terminal::FellBack => self.fall_back(place, event),
            Terminal::Duplicate | Terminal::Filtered => Ok(()),
        }
    }

    /// Stages the effects of a successful attempt, and lets its lane see them at once.
    fn apply(
        &mut self,
        checkpoint: CheckpointId,
        place: Place,
        event: EventRef,
        (succeeded, timer_sequence): (Succeeded, u64),
    ) -> Result<(), Error> {
        let Some(part) = self.parts.get(&place) else {
            return Err(Error::broken("a success in a partition that is not assigned"));
        };
        let slot = part.slots.get(&event);
        let known = |slot: &Slot| Some((slot.content.clone(), slot.handled.as_ref()?.1.clone()));
        let Some((content, handled)) = slot.and_then(known) else {
            return Err(Error::broken("a success of an event whose bytes are gone"));
        };
        let Succeeded { state, timers, emissions, local, binding, span } = succeeded;
        let key = content.owner();
        let cause = Cause { place, event, is_letter: false };
        self.publish(cause, (&content, &handled, &binding), (emissions, local, span));
        let Some(part) = self.parts.get(&place) else { return Ok(()) };
        let changes = self.filling.changes(place);
        let mut overlay = part.lock_overlay();
        let scope = scope(place);
        for change in state {
            let (name, value) = state_value(change, content.event_time());
            overlay.write_state(checkpoint, key.clone(), name.clone(), value.clone());
            let key = key.clone();
            changes.push(match value {
                Some((value, expires)) => Change::StateSet { scope, key, name, value, expires },
                None => Change::StateDelete { scope, key, name },
            });
        }
        let mut sequence = timer_sequence;
        for request in timers {
            let lane = (&self.shared.hasher, &key);
            let carried = || inherited(&content, &handled).to_bytes();
            let (timer, record) = timer_change(lane, request, &mut sequence, carried);
            overlay.write_timer(checkpoint, timer, record.clone().map(Arc::new));
            changes.push(match record {
                Some(record) => Change::TimerSet { scope, record },
                None => Change::TimerDelete { scope, timer },
            });
        }
        Ok(())
    }

    /// Stages what a handler emitted, and then what handlers of local topics did because of it.
    fn publish(
        &mut self,
        cause: Cause,
        (content, handled, binding): (&Content, &Handled, &Binding),
        (emissions, local, span): (Vec<Outgoing>, Vec<LocalDone>, Option<TraceContext>),
    ) {
        let now = self.shared.clock.now();
        let (key, text) = (content.key(), self.stamp.text(now));
        let (key, time) = (Some(&key).filter(|key| !key.is_empty()), (now, &text));
        let counted = self.shared.config.telemetry.counts_published();
        let system = self.shared.telemetry.system();
        let mut append = |emitter: &Emitter<'_>, of: &Binding, within, emissions: Vec<Outgoing>| {
            let meter = self.meters.get(&of.subscription);
            if let Some(meter) = meter {
                meter.emitted(emissions.len());
            }
            for Outgoing { index, emission, topic } in emissions {
                if let Some(meter) = meter.filter(|_| counted) {
                    meter.published(&topic.name);
                }
                let append = emitter.encode(index, emission, &topic);
                if let (Some(within), Some(spans)) = (within, &mut self.spans)
                    && let Some(span) = telemetry::emitted(&append, &topic.name, (system, within))
                {
                    spans.stage(span);
                }
                self.filling.append(cause, append);
            }
        };
        let emitter = emitter(binding, (origin(content), handled), key, time);
        append(&emitter, binding, span, emissions);
        for LocalDone { binding, id, handled, emissions, span } in local {
            self.tally.handled(binding.subscription, content.event_time());
            let of = envelope::Cause::Local { event: id };
            let emitter = self::emitter(&binding, (of, &handled), key, time);
            append(&emitter, &binding, span, emissions);
        }
    }

    fn park(
        &mut self,
        checkpoint: CheckpointId,
        place: Place,
        lane: KeyHash,
        figures: &ParkedEvent,
    ) -> Result<(), Error> {
        let scope = scope(place);
        let Some(part) = self.parts.get(&place) else {
            return Err(Error::broken("an event parked in a partition that is not assigned"));
        };
        let Some(slot) = part.slots.get(&figures.event) else {
            return Err(Error::broken("a parked event whose bytes are gone"));
        };
        let source = slot.content.to_parked();
        let size = match &source {
            gristmill_store::Parked::Event { stored, .. } => stored_size(stored),
            gristmill_store::Parked::Timer(timer) => timer_size(timer),
        };
        let error = slot.failure.as_ref().map(|it| it.reason.clone()).unwrap_or_default();
        let (event, sequence) = (figures.event, figures.sequence);
        let record = ParkedRecord { event: ParkedEvent { size, ..figures.clone() }, source, error };
        let kept = Arc::new(record.clone());
        let mut overlay = part.lock_overlay();
        overlay.write_parked(checkpoint, lane, sequence, kept);
        let changes = self.filling.changes(place);
        if let EventRef::Timer { timer, .. } = event {
            overlay.write_timer(checkpoint, timer, None);
            changes.push(Change::TimerDelete { scope, timer });
        }
        changes.push(Change::ParkedPut { scope, lane, record });
        Ok(())
    }

    /// Adds an append to what is staged for a partition.
    pub(super) fn stage_append(&mut self, cause: Cause, append: Append) {
        self.trace_append(&append);
        self.filling.append(cause, append);
    }

    /// Adds a change that belongs to a subscription as a whole.
    pub(super) fn stage_change(&mut self, place: Place, change: Change) {
        self.filling.changes(place).push(change);
    }
}

pub(super) fn scope((subscription, partition): Place) -> Scope {
    Scope { subscription, partition }
}

/// Emitter of a handler that was given an event or timer.
pub(super) fn emitter<'a>(
    binding: &'a Binding,
    (cause, handled): (envelope::Cause<'a>, &'a Handled),
    key: Option<&'a Bytes>,
    time: (Instant, &'a Bytes),
) -> Emitter<'a> {
    Emitter {
        subscription: &binding.name,
        source: &binding.event_source,
        cause,
        event_id: handled.id(),
        correlation_id: handled.correlation_id(),
        trace_parent: handled.trace_parent(),
        key,
        time,
    }
}

/// What tells the event's emissions from those of any other.
pub(super) fn origin(content: &Content) -> envelope::Cause<'_> {
    match content {
        Content::Timer(timer) => envelope::Cause::Timer {
            key: &timer.key,
            name: &timer.name,
            due: timer.entry.due,
            sequence: timer.entry.sequence,
        },
        Content::Record(held) => match &held.origin.timer {
            // A redriven timer: the event that set it stands for the number of its setting, so
            // that two timers of one name and moment stay apart however often they are redriven.
            Some(timer) => envelope::Cause::Timer {
                key: held.stored.key.as_deref().unwrap_or_default(),
                name: &timer.name,
                due: Instant(timer.due_ms),
                sequence: held.origin.offset,
            },
            None => envelope::Cause::Record {
                topic: &held.origin.topic,
                partition: held.origin.partition,
                offset: held.origin.offset,
            },
        },
    }
}

/// A state change as name and value; its time to live counts from the event's own time.
pub(super) fn state_value(change: StateChange, event_time: Instant) -> (String, StateValue) {
    match change {
        StateChange::Delete { name } => (name, None),
        StateChange::Set { name, value, ttl_ms } => {
            (name, Some((value, ttl_ms.map(|ttl| event_time.after(Millis(ttl))))))
        }
    }
}

/// A timer's name in the store, and its setting; none where it is cancelled. Settings are numbered
/// in call order.
pub(super) fn timer_change(
    (hasher, key): (&Hasher128, &Bytes),
    request: TimerRequest,
    sequence: &mut u64,
    context: impl FnOnce() -> Bytes,
) -> (TimerHash, Option<TimerRecord>) {
    let (name, due_ms, payload) = match request {
        TimerRequest::Cancel { name } => return (hasher.timer(key, &name), None),
        TimerRequest::Set { name, due_ms, payload } => (name, due_ms, payload),
    };
    let timer = hasher.timer(key, &name);
    let due = Instant(due_ms);
    let entry = TimerEntry { timer, key: hasher.key(key), due, sequence: *sequence };
    *sequence = sequence.saturating_add(1);
    (timer, Some(TimerRecord { entry, key: key.clone(), name, payload, context: context() }))
}

/// What a timer set by this event carries with it.
pub(super) fn inherited(content: &Content, handled: &Handled) -> TimerContext {
    let mut carried = match content {
        // A timer set by a timer names the event that began it.
        Content::Timer(timer) => TimerContext::read(timer),
        Content::Record(held) => TimerContext {
            set_by: String::new(),
            correlation_id: String::new(),
            trace_parent: None,
            topic: held.origin.topic.to_string(),
            partition: held.origin.partition,
            offset: held.origin.offset,
        },
    };
    carried.set_by = handled.id().to_string();
    carried.correlation_id = handled.correlation_id().to_string();
    carried.trace_parent = handled.trace_parent().map(ToString::to_string);
    carried
}

/// Size of a timer's bytes, as a parked lane counts it.
fn timer_size(timer: &TimerRecord) -> Size {
    let bytes = [timer.key.len(), timer.name.len(), timer.payload.len(), timer.context.len()];
    Size(bytes.into_iter().map(|length| u64::try_from(length).unwrap_or(u64::MAX)).sum())
}
