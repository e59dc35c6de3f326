//! Holds overdue timers until what their topics held has been forwarded: an event that lies in one
//! of them must be handled first, whichever worker of whichever host reads it. It never decides
//! which timers are overdue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use gristmill_engine::{Input, Offset, PartitionId, Position, SubscriptionId, TopicId};
use tokio::task::AbortHandle;

use super::ownership::Told;
use super::{Command, Worker};
use crate::Error;
use crate::binding::{Binding, Role};
use crate::broker::Failed;
use crate::repartition;
use crate::shared::Shared;

/// Pause before the first look at how far the topics were forwarded. Assignments come in a row:
/// only the look after the last of them is taken.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest pause before another: each is longer than the one before by half.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Timers that are held longer than this are told of, once.
const TOLD_AFTER: Duration = Duration::from_secs(30);

/// Where the end of a topic is not known yet, and timers wait whatever is read.
const UNKNOWN: Offset = Offset(u64::MAX);

/// How far timers of an assignment wait for a topic that ends at `end`: for what was forwarded
/// until they know how much that will be.
pub(super) fn held_end(binding: &Binding, topic: TopicId, end: Offset) -> Offset {
    let is_forwarded = binding.forwards_to().is_some_and(|source| source.topic == topic);
    // Without state there are no timers.
    if is_forwarded && binding.config.stateful() { UNKNOWN } else { end }
}

/// The subscription of which an input leaves open where a topic ends.
pub(super) fn left_open(input: &Input) -> Option<SubscriptionId> {
    if let Input::Assigned(assignment) = input {
        let is_open = assignment.cursors.iter().any(|cursor| cursor.end == UNKNOWN);
        return is_open.then_some(assignment.subscription);
    }
    let (Input::Resumed { subscription, ends } | Input::Probed { subscription, ends }) = input
    else {
        return None;
    };
    ends.iter().any(|end| end.offset == UNKNOWN).then_some(*subscription)
}

/// A watch over a backlog. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    number: u64,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Worker {
    /// Finds out what [`left_open`] tells of: waits until what the topics of a subscription hold
    /// now has been forwarded, for all its partitions on this worker.
    pub(super) fn await_backlog(&mut self, subscription: SubscriptionId) {
        let own = || self.parts.iter().filter(|((of, _), _)| *of == subscription);
        let Some((_, part)) = own().next() else { return };
        let binding = Arc::clone(&part.binding);
        let numbers: Vec<PartitionId> = own().map(|((_, number), _)| *number).collect();
        self.watches = self.watches.saturating_add(1);
        let (number, answer) = (self.watches, self.sender.clone());
        let shared = Arc::clone(&self.shared);
        let watching = tokio::spawn(async move {
            let ends = forwarded(shared, binding, numbers).await;
            // The worker has ended when nobody takes it.
            drop(answer.send(Command::Told(Told::Forwarded(subscription, number, ends))));
        });
        let task = watching.abort_handle();
        self.backlogs.insert(subscription, Watch { number, task });
    }

    /// A backlog has been forwarded. One that an older watch was for says nothing of this one.
    pub(super) fn forwarded(
        &mut self,
        subscription: SubscriptionId,
        watch: u64,
        ends: Vec<Position>,
    ) -> Result<(), Error> {
        if self.backlogs.get(&subscription).is_none_or(|present| present.number != watch) {
            return Ok(());
        }
        self.backlogs.remove(&subscription);
        self.feed(Input::Ends { subscription, ends })
    }
}

/// What is still to be forwarded, by partition.
type Left = BTreeMap<(TopicId, PartitionId), Offset>;

/// What a look at a backlog has shown.
enum Looked {
    /// All has been forwarded, and ends there.
    Forwarded(Vec<Position>),
    /// This is left.
    Left(Left),
}

/// Waits until all that the topics hold now has been forwarded. Where what was forwarded ends then.
async fn forwarded(
    shared: Arc<Shared>,
    binding: Arc<Binding>,
    numbers: Vec<PartitionId>,
) -> Vec<Position> {
    let (mut left, mut began) = (None, Some(Moment::now()));
    let mut pause = PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        pause = pause.mul_f64(1.5).min(PAUSE_MAX);
        let (shared, bound, own) = (Arc::clone(&shared), Arc::clone(&binding), numbers.clone());
        let before = left.take();
        let looking = tokio::task::spawn_blocking(move || look(&shared, &bound, &own, before));
        match looking.await {
            Ok(Ok(Looked::Forwarded(ends))) => return ends,
            Ok(Ok(Looked::Left(still))) => left = Some(still),
            Ok(Err(error)) => tracing::debug!(subscription = %binding.name, %error,
                "look how far topics were forwarded"),
            Err(_panicked) => {}
        }
        if began.is_some_and(|began| began.elapsed() >= TOLD_AFTER) {
            began = None;
            tracing::info!(subscription = %binding.name, partitions = left.as_ref().map(Left::len),
                "overdue timers wait: their topics have not been forwarded as far as they reached");
        }
    }
}

/// Looks once, at what was left before or at all there is now.
fn look(
    shared: &Shared,
    binding: &Binding,
    numbers: &[PartitionId],
    before: Option<Left>,
) -> Result<Looked, Failed> {
    let mut left = match before {
        Some(left) => left,
        None => reach(shared, binding)?,
    };
    let finished = repartition::finished(shared, binding)?;
    left.retain(|(topic, partition), end| {
        let next = finished.get(&(*topic, *partition)).copied().unwrap_or_default();
        // What was deleted is not waited for.
        next < *end && shared.broker.topic_by_id(*topic).is_some()
    });
    if left.is_empty() {
        Ok(Looked::Forwarded(ends(shared, binding, numbers)?))
    } else {
        Ok(Looked::Left(left))
    }
}

/// How far the given topics of a subscription reach now.
fn reach(shared: &Shared, binding: &Binding) -> Result<Left, Failed> {
    let mut reach = Left::new();
    for source in binding.sources.iter().filter(|source| source.role == Role::Given) {
        for partition in (0..source.partitions).map(PartitionId) {
            if shared.broker.topic_by_id(source.topic).is_some() {
                let bounds = shared.broker.bounds(source.topic, partition)?;
                reach.insert((source.topic, partition), bounds.end);
            }
        }
    }
    Ok(reach)
}

/// Where what was forwarded to these partitions ends now.
fn ends(
    shared: &Shared,
    binding: &Binding,
    numbers: &[PartitionId],
) -> Result<Vec<Position>, Failed> {
    let Some(source) = binding.forwards_to() else { return Ok(Vec::new()) };
    let mut ends = Vec::new();
    for partition in numbers.iter().copied().filter(|number| number.0 < source.partitions) {
        let offset = shared.broker.bounds(source.topic, partition)?.end;
        ends.push(Position { topic: source.topic, partition, offset });
    }
    Ok(ends)
}
