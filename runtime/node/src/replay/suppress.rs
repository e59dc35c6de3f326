//! Runs a range through handlers whose effects are told and not done, in order, each partition
//! after the one before.

use std::collections::BTreeMap;
use std::sync::Arc;

use gristmill_engine::{Bytes as Size, Offset, PartitionId, Position};
use gristmill_plugin_host::Runner;
use gristmill_store::{ReadLimit, Scope, Stored};

use super::job::Job;
use super::pace::Pace;
use super::range::{Range, Span};
use super::report::{Effect, Status};
use super::{ReplayError, State};
use crate::plugins::SubscriptionStatus;
use crate::shared::Shared;
use crate::worker::{Beneath, Outcome, Scratch, withheld_runner};

/// Events read in one step.
const STEP_EVENTS: u32 = 500;
/// Bytes of them.
const STEP_BYTES: Size = Size::mib(8);
/// Bytes of state that handlers may write in all: a replay keeps them in memory.
const KEPT_MAX: u64 = 256 << 20;

/// A replay whose effects are suppressed.
pub(super) struct Suppressed<'a> {
    shared: &'a Arc<Shared>,
    status: &'a SubscriptionStatus,
    job: &'a Job,
    range: &'a Range,
    runner: Arc<Runner>,
    /// By the number of the partition whose state it stands for.
    scratches: BTreeMap<PartitionId, Scratch>,
    /// Bytes of state written.
    kept: u64,
}

impl<'a> Suppressed<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        status: &'a SubscriptionStatus,
        (job, range): (&'a Job, &'a Range),
    ) -> Result<Self, ReplayError> {
        let runner = withheld_runner(shared, &status.binding)?;
        Ok(Self { shared, status, job, range, runner, scratches: BTreeMap::new(), kept: 0 })
    }

    /// Replays until the end of the range, the limit, or whoever asked has enough.
    pub(super) async fn run(&mut self, pace: &mut Pace) -> Result<Status, ReplayError> {
        let mut left = self.job.wanted.limit;
        for span in &self.range.spans {
            let status = self.partition(*span, &mut left, pace).await?;
            if status != Status::Done {
                return Ok(status);
            }
        }
        Ok(Status::Done)
    }

    async fn partition(
        &mut self,
        span: Span,
        left: &mut u64,
        pace: &mut Pace,
    ) -> Result<Status, ReplayError> {
        let (topic, partition) = (self.range.topic.id, PartitionId(span.partition));
        let mut from = Offset(span.from);
        while from.0 < span.to {
            let limit = ReadLimit { events: STEP_EVENTS, bytes: STEP_BYTES };
            let read = self.shared.broker.read(topic, partition, from, limit)?;
            let Some(last) = read.last().map(|stored| stored.offset) else { break };
            for stored in read.into_iter().filter(|stored| stored.offset.0 < span.to) {
                if *left == 0 {
                    return Ok(Status::Limited);
                }
                if !pace.wait(1).await {
                    return Ok(Status::Cancelled);
                }
                *left = left.saturating_sub(1);
                self.event(partition, stored).await?;
            }
            from = last.next();
        }
        // What is left of it holds no event.
        self.job.change(|report| report.reach(span.partition, span.to));
        Ok(Status::Done)
    }

    async fn event(&mut self, partition: PartitionId, stored: Stored) -> Result<(), ReplayError> {
        let (topic, offset) = (&self.range.topic, stored.offset);
        let binding = &self.status.binding;
        let number = binding.number_of(stored.key.as_deref(), partition);
        let beneath = match self.job.wanted.state {
            State::Empty => Beneath::Empty,
            State::Live => Beneath::Live,
        };
        let scratch = self.scratches.entry(number).or_insert_with(|| {
            let scope = Scope { subscription: self.status.id, partition: number };
            Scratch::new(self.shared, (binding, &self.runner), scope, beneath)
        });
        let mut rans = Vec::new();
        while let Some(record) = scratch.take_due(stored.timestamp).map_err(read)? {
            rans.push(scratch.fire(record).await);
        }
        let at = Position { topic: topic.id, partition, offset };
        rans.push(scratch.event((&topic.name, at), stored, false).await);
        for ran in &rans {
            if let Outcome::Succeeded(did) = &ran.outcome {
                let written = did.state.iter().map(|(name, value)| {
                    let value = value.as_ref().map_or(0, |(value, _)| value.len());
                    name.len().saturating_add(ran.key.len()).saturating_add(value)
                });
                let written = u64::try_from(written.sum::<usize>()).unwrap_or(u64::MAX);
                self.kept = self.kept.saturating_add(written);
            }
        }
        self.job.change(|report| {
            for ran in &rans {
                report.count((partition.0, offset.0), ran);
            }
            report.reach(partition.0, offset.next().0);
        });
        if self.job.wanted.show {
            let place = (&*topic.name, partition.0, offset.0);
            self.job.show(rans.iter().map(|ran| Effect::of(place, ran)));
        }
        if self.kept > KEPT_MAX {
            return Err(ReplayError::Full { bytes: KEPT_MAX });
        }
        Ok(())
    }
}

fn read(error: gristmill_store::Error) -> ReplayError {
    ReplayError::Read(error.into())
}
