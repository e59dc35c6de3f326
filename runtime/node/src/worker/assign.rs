//! Binds subscriptions to this worker and loads what is durable about their partitions. Which
//! offset reading starts at is the engine's decision; this only brings the figures.

use std::rc::Rc;
use std::sync::Arc;

use gristmill_config::Start;
use gristmill_engine::{
    Assignment, Cursor, Generation, Input, Offset, PartitionId, Policy, Position, SubscriptionId,
    Version,
};
use gristmill_plugin_host::Runner;
use gristmill_store::{Bounds, Scope};

use super::backlog::held_end;
use super::part::Part;
use super::takeover::Found;
use super::{Bound, Worker};
use crate::Error;
use crate::binding::{Binding, Role, Source};

impl Worker {
    /// Takes a version of a subscription: the first starts it, one with the same topics upgrades
    /// it, one with other topics has the partitions given back first.
    pub(super) fn bind(&mut self, binding: Arc<Binding>, is_paused: bool) -> Result<(), Error> {
        let (subscription, version) = (binding.subscription, binding.version);
        let bound = self.bound(&binding)?;
        self.meters.entry(subscription).or_insert_with(|| Rc::clone(&bound.meter));
        self.versions.insert((subscription, version), bound);
        let policy = self.policy_of(&binding);
        let Some(current) = self.current.get(&subscription).map(Arc::clone) else {
            self.current.insert(subscription, Arc::clone(&binding));
            self.feed(Input::Subscribed { subscription, policy, version })?;
            if is_paused {
                self.feed(Input::Paused { subscription })?;
            }
            self.assign_all(&binding)?;
            return self.feed_pending();
        };
        let in_use = current.version;
        self.feed(Input::Subscribed { subscription, policy, version: in_use })?;
        self.feed(Input::Upgraded { subscription, version })?;
        if current.sources != binding.sources {
            self.rebind(binding)?;
        }
        Ok(())
    }

    /// A version as this worker runs it.
    pub(super) fn bound(&self, binding: &Arc<Binding>) -> Result<Bound, Error> {
        let runner = Runner::new(&self.shared.plugins, &binding.plugin, binding.runner.clone())?;
        let meter = Rc::new(binding.metrics.meter());
        Ok(Bound { binding: Arc::clone(binding), runner, meter })
    }

    /// The policy of a subscription on this worker: its part of what the host may do.
    fn policy_of(&self, binding: &Binding) -> Box<Policy> {
        let policy = binding.config.policy();
        let parts = u64::from(self.workers.min(binding.partitions()).max(1));
        let rate = policy.rate.map(|rate| rate.checked_div(parts).unwrap_or(rate).max(1));
        Box::new(Policy { rate, ..policy })
    }

    /// Has every partition given back; the last release assigns under the new topics.
    fn rebind(&mut self, binding: Arc<Binding>) -> Result<(), Error> {
        let subscription = binding.subscription;
        self.rebinding.insert(subscription, binding);
        if let Some(kafka) = &mut self.kafka {
            kafka.call_off_all(subscription);
        }
        for partition in self.partitions_of(subscription) {
            self.feed(Input::Revoked { subscription, partition })?;
        }
        self.assign_when_released(subscription)?;
        self.feed_pending()
    }

    /// Queues the assignments of a rebinding once no partition of the old topics is left.
    pub(super) fn assign_when_released(
        &mut self,
        subscription: SubscriptionId,
    ) -> Result<(), Error> {
        if !self.partitions_of(subscription).is_empty() {
            return Ok(());
        }
        match self.rebinding.remove(&subscription) {
            Some(binding) => self.assign_all(&binding),
            None => Ok(()),
        }
    }

    fn assign_all(&mut self, binding: &Arc<Binding>) -> Result<(), Error> {
        if let Some(kafka) = &self.kafka {
            for partition in kafka.owned(binding.subscription) {
                self.take_over(binding, partition);
            }
            return Ok(());
        }
        for partition in binding.partitions_of(self.index, self.workers) {
            self.assign(binding, partition)?;
        }
        Ok(())
    }

    /// Has one partition assigned from what is durable: at once where that is in the store, else
    /// when it has been brought here.
    pub(super) fn assign(
        &mut self,
        binding: &Arc<Binding>,
        partition: PartitionId,
    ) -> Result<(), Error> {
        if self.kafka.is_some() {
            self.take_over(binding, partition);
            return Ok(());
        }
        if self.is_held((binding.subscription, partition)) {
            return Ok(());
        }
        let mut found = Vec::new();
        for source in binding.sources.iter().filter(|it| partition.0 < it.partitions) {
            let bounds = self.shared.store.bounds(source.topic, partition)?;
            found.push(Found { topic: source.topic, bounds, committed: None });
        }
        self.enter(binding, partition, found)
    }

    /// Loads one partition from the store and queues its assignment.
    pub(super) fn enter(
        &mut self,
        binding: &Arc<Binding>,
        partition: PartitionId,
        found: Vec<Found>,
    ) -> Result<(), Error> {
        let subscription = binding.subscription;
        let loaded = self.shared.store.load(Scope { subscription, partition })?;
        let mut cursors = Vec::new();
        let is_read = !loaded.progress.is_empty();
        for Found { topic, bounds, committed } in found {
            let Some(source) = binding.source(topic) else { continue };
            let stored = loaded
                .progress
                .iter()
                .find(|(topic, _)| *topic == source.topic)
                .map(|(_, progress)| progress.clone());
            cursors.push(Cursor {
                topic: source.topic,
                incarnation: source.incarnation,
                start: bounds.start,
                end: held_end(binding, source.topic, bounds.end),
                committed,
                // One with progress is only begun anew when the topic was made anew.
                initial: if stored.is_some() || binding.came_later(source, partition, is_read) {
                    bounds.start
                } else {
                    initial_offset(binding, source, bounds)
                },
                stored,
            });
        }
        self.generations = self.generations.saturating_add(1);
        let assignment = Assignment {
            subscription,
            partition,
            generation: Generation(self.generations),
            cursors,
            parked: loaded.parked,
            timers: loaded.timers,
        };
        self.parts.insert((subscription, partition), Part::new(binding, &assignment));
        self.inputs.push_back(Input::Assigned(Box::new(assignment)));
        Ok(())
    }

    /// New attempts use `version` from here on, and what is read is decoded by its rules.
    pub(super) fn activate(&mut self, subscription: SubscriptionId, version: Version) {
        let Some(bound) = self.versions.get(&(subscription, version)) else { return };
        let (binding, meter) = (Arc::clone(&bound.binding), Rc::clone(&bound.meter));
        for (_, part) in self.parts.range_mut(span(subscription)) {
            part.binding = Arc::clone(&binding);
        }
        self.meters.insert(subscription, meter);
        // Attempts that run on older versions hold what they need of them, so the entries can go.
        self.versions.retain(|(of, other), _| *of != subscription || *other >= version);
        tracing::info!(worker = self.index, subscription = %binding.name,
            digest = binding.plugin.digest(), "plugin version in use");
        self.current.insert(subscription, binding);
    }

    /// Ends of the topics of a subscription now, on this worker's partitions.
    pub(super) fn ends_of(&self, subscription: SubscriptionId) -> Result<Vec<Position>, Error> {
        let mut ends = Vec::new();
        let Some(binding) = self.current.get(&subscription) else { return Ok(ends) };
        for place in self.positions_of(subscription) {
            let bounds = self.shared.store.bounds(place.topic, place.partition)?;
            ends.push(Position { offset: held_end(binding, place.topic, bounds.end), ..place });
        }
        Ok(ends)
    }

    /// Where reading of a subscription began, on this worker's partitions.
    pub(super) fn positions_of(&self, subscription: SubscriptionId) -> Vec<Position> {
        let mut positions = Vec::new();
        for ((_, partition), part) in self.parts.range(span(subscription)) {
            positions.extend(part.cursors.iter().map(|cursor| Position {
                topic: cursor.topic,
                partition: *partition,
                offset: cursor.finished,
            }));
        }
        positions
    }

    fn partitions_of(&self, subscription: SubscriptionId) -> Vec<PartitionId> {
        self.parts.range(span(subscription)).map(|((_, partition), _)| *partition).collect()
    }
}

/// All partitions of one subscription in the worker's map.
fn span(subscription: SubscriptionId) -> std::ops::RangeInclusive<(SubscriptionId, PartitionId)> {
    (subscription, PartitionId(0))..=(subscription, PartitionId(u32::MAX))
}

/// Where a subscription that never read a topic begins. Its own are always read whole.
fn initial_offset(binding: &Binding, source: &Source, bounds: Bounds) -> Offset {
    let is_latest = binding.config.start == Start::Latest && source.role == Role::Given;
    if is_latest { bounds.end } else { bounds.start }
}
