//! Owns the topics that events are forwarded to where a subscription sets `repartition`: makes
//! them, says how far they were read, and removes what was. What is forwarded is the workers'.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gristmill_config::SubscriptionConfig;
use gristmill_engine::{Offset, PartitionId, TopicId};
use gristmill_store::{Scope, Topic};

use crate::binding::{Binding, Role};
use crate::broker::{self, Failed};
use crate::shared::Shared;
use crate::topics;

/// Pause between two looks at what may be removed.
const SWEEP_PAUSE: Duration = Duration::from_secs(10);

/// What was removed already, or could not be; and of which subscriptions it was told that nothing
/// can.
#[derive(Debug, Default)]
struct Swept {
    before: BTreeMap<(TopicId, PartitionId), Offset>,
    told: BTreeSet<Arc<str>>,
}

/// The topic of a subscription for forwarded events: made where it sets `repartition`. One that
/// is there from before is read to its end.
pub(crate) fn topic(
    shared: &Shared,
    config: &SubscriptionConfig,
) -> Result<Option<Topic>, broker::Error> {
    let name = topics::repartition_name(shared, &config.name);
    if let Some(topic) = shared.broker.topic(&name) {
        return Ok(Some(topic));
    }
    let Some(partitions) = config.repartition else { return Ok(None) };
    // What is not read yet must not grow too old; what was read is removed instead.
    let spec = topics::kept(name, partitions);
    match shared.broker.kafka() {
        Some(kafka) => Ok(Some(kafka.repartition(&spec)?)),
        None => topics::ensure(shared, spec).map(Some),
    }
}

/// How far a subscription has durably come in its topics, whoever reads them.
pub(crate) fn finished(
    shared: &Shared,
    binding: &Binding,
) -> Result<BTreeMap<(TopicId, PartitionId), Offset>, Failed> {
    let mut finished = BTreeMap::new();
    let Some(kafka) = shared.broker.kafka() else {
        for partition in (0..binding.partitions()).map(PartitionId) {
            let scope = Scope { subscription: binding.subscription, partition };
            let progress = shared.store.progress(scope).map_err(broker::Error::from)?;
            let next = |(topic, progress): (TopicId, gristmill_engine::StoredProgress)| {
                ((topic, partition), progress.next)
            };
            finished.extend(progress.into_iter().map(next));
        }
        return Ok(finished);
    };
    let committed = kafka.cluster().committed_all(&[&binding.group])?;
    for found in committed.into_iter().flatten() {
        let source = binding.sources.iter().find(|source| *source.name == *found.topic);
        if let Some(source) = source {
            finished.insert((source.topic, PartitionId(found.partition)), found.offset);
        }
    }
    Ok(finished)
}

/// Removes what was forwarded and has been handled since, now and then.
pub(crate) async fn sweep(shared: Arc<Shared>) {
    let mut swept = Swept::default();
    loop {
        tokio::time::sleep(SWEEP_PAUSE).await;
        let (shared, before) = (Arc::clone(&shared), std::mem::take(&mut swept));
        // A look that panicked is not repeated by the next, which begins anew.
        let looking = tokio::task::spawn_blocking(move || sweep_all(&shared, before));
        swept = looking.await.unwrap_or_default();
    }
}

fn sweep_all(shared: &Shared, mut swept: Swept) -> Swept {
    let bindings: Vec<Arc<Binding>> = {
        let board = shared.board.read();
        board.subscriptions.values().map(|status| Arc::clone(&status.binding)).collect()
    };
    for binding in bindings {
        let Err(error) = sweep_one(shared, &binding, &mut swept.before) else { continue };
        // What is away comes back; what is not allowed needs somebody.
        if let Failed::Kafka(refused) = &error
            && !refused.is_retriable()
            && swept.told.insert(Arc::clone(&binding.name))
        {
            tracing::warn!(code = refused.code(), subscription = %binding.name, %error,
                "forwarded events that were handled cannot be removed, and take up room");
        } else {
            tracing::debug!(subscription = %binding.name, %error,
                "remove forwarded events that were handled");
        }
    }
    swept
}

/// Removes what one subscription has handled, in the partitions that this host reads.
fn sweep_one(
    shared: &Shared,
    binding: &Binding,
    swept: &mut BTreeMap<(TopicId, PartitionId), Offset>,
) -> Result<(), Failed> {
    let Some(source) = binding.own(Role::Repartition) else { return Ok(()) };
    let finished = finished(shared, binding)?;
    let is_ours = |partition| {
        shared.progress.finished(binding.subscription, source.topic, partition).is_some()
    };
    let mut due = Vec::new();
    for partition in (0..source.partitions).map(PartitionId).filter(|number| is_ours(*number)) {
        let place = (source.topic, partition);
        let next = finished.get(&place).copied().unwrap_or_default();
        if next > swept.get(&place).copied().unwrap_or_default() {
            due.push((partition, next));
        }
    }
    if !due.is_empty() {
        shared.broker.trim(source.topic, &due)?;
        tracing::debug!(subscription = %binding.name, partitions = due.len(),
            "removed forwarded events that were handled");
        swept.extend(due.iter().map(|(partition, next)| ((source.topic, *partition), *next)));
    }
    Ok(())
}
