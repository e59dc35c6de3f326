//! Has a range handled once more by one subscription alone: puts its events on the subscription's
//! redrive topic, which dedupe lets through and whose emissions have the ids they had at first.

use std::sync::Arc;

use gristmill_engine::{Bytes as Size, Offset, PartitionId};
use gristmill_store::{Append, Batch, ReadLimit, Stored};

use super::ReplayError;
use super::job::Job;
use super::pace::Pace;
use super::range::{Range, Span};
use super::report::Status;
use crate::envelope::{self, OriginBuf};
use crate::plugins::SubscriptionStatus;
use crate::shared::Shared;

/// Events put back in one write.
const WRITE_EVENTS: u64 = 500;
/// Bytes of them.
const WRITE_BYTES: Size = Size::mib(8);

/// A replay whose effects are applied.
pub(super) struct Applied<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) status: &'a SubscriptionStatus,
    pub(super) job: &'a Job,
    pub(super) range: &'a Range,
}

impl Applied<'_> {
    /// Puts events back until the end of the range, the limit, or whoever asked has enough.
    pub(super) async fn run(&self, pace: &mut Pace) -> Result<Status, ReplayError> {
        let mut left = self.job.wanted.limit;
        for span in &self.range.spans {
            let mut from = span.from;
            while from < span.to {
                let turn = pace.turn(WRITE_EVENTS).min(left.max(1));
                let read = self.read(*span, from, turn)?;
                let Some(last) = read.last().map(|stored| stored.offset) else { break };
                let count = u64::try_from(read.len()).unwrap_or(u64::MAX);
                if left == 0 {
                    return Ok(Status::Limited);
                }
                if !pace.wait(count).await {
                    return Ok(Status::Cancelled);
                }
                self.put_back(*span, read)?;
                left = left.saturating_sub(count);
                from = last.next().0;
                self.job.change(|report| {
                    report.events = report.events.saturating_add(count);
                    report.applied = report.applied.saturating_add(count);
                    report.reach(span.partition, from);
                });
            }
            // What is left of it holds no event.
            self.job.change(|report| report.reach(span.partition, span.to));
        }
        Ok(Status::Done)
    }

    fn read(&self, span: Span, from: u64, most: u64) -> Result<Vec<Stored>, ReplayError> {
        let (topic, partition) = (self.range.topic.id, PartitionId(span.partition));
        let events = u32::try_from(most).unwrap_or(u32::MAX);
        let limit = ReadLimit { events, bytes: WRITE_BYTES };
        let mut read = self.shared.broker.read(topic, partition, Offset(from), limit)?;
        read.retain(|stored| stored.offset.0 < span.to);
        Ok(read)
    }

    fn put_back(&self, span: Span, events: Vec<Stored>) -> Result<(), ReplayError> {
        let redrive = &self.range.redrive;
        let mut batch = Batch { ingest: true, ..Batch::default() };
        for stored in events {
            let origin = OriginBuf {
                topic: self.range.topic.name.clone(),
                partition: span.partition,
                offset: stored.offset.0,
                timer: None,
            };
            let binding = &self.status.binding;
            let number = binding.number_of(stored.key.as_deref(), PartitionId(span.partition));
            batch.appends.push(Append {
                topic: redrive.topic,
                partition: PartitionId(number.0.checked_rem(redrive.partitions).unwrap_or(0)),
                timestamp: stored.timestamp,
                key: stored.key,
                headers: envelope::wrapped(stored.headers.to_vec(), &origin),
                payload: stored.payload,
            });
        }
        self.shared.write_now(batch)?;
        Ok(())
    }
}
