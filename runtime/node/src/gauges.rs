//! Brings the gauges up to date that show what was last set: looks at engines, topics, dead
//! letters, snapshots and the store. It is asked before metrics are told, and keeps nothing.

use gristmill_engine::{Instant, PartitionId};

use crate::broker;
use crate::host::{Host, SubscriptionView};
use crate::{letters, snapshots};

/// Sets every gauge, of these subscriptions. Waits.
pub(crate) fn refresh(host: &Host, views: &[SubscriptionView]) -> Result<(), broker::Error> {
    for view in views {
        show(host, view)?;
    }
    let shared = host.shared();
    shared.metrics.set_store(shared.store.figures(), shared.store.space());
    Ok(())
}

/// Sets the gauges of one subscription.
fn show(host: &Host, view: &SubscriptionView) -> Result<(), broker::Error> {
    let (shared, status) = (host.shared(), &view.status);
    shared.metrics.set_figures(&view.name, &view.figures);
    for source in &status.binding.sources {
        for partition in 0..source.partitions {
            let place = (status.id, source.topic, PartitionId(partition));
            let finished = shared.progress.finished(place.0, place.1, place.2);
            if finished.is_none() && shared.broker.kafka().is_some() {
                // Another host's, which tells of it.
                shared.metrics.forget_lag(&view.name, &source.name, partition);
                continue;
            }
            let bounds = shared.broker.bounds(source.topic, PartitionId(partition));
            let Some(bounds) = broker::if_there(bounds)? else {
                shared.metrics.forget_lag(&view.name, &source.name, partition);
                continue;
            };
            let (next, ahead) = finished.unwrap_or((bounds.start, 0));
            let behind = bounds.end.0.saturating_sub(next.max(bounds.start).0);
            let lag = behind.saturating_sub(ahead);
            shared.metrics.set_lag(&view.name, &source.name, partition, lag);
        }
    }
    if status.binding.config.stateful() {
        let kept = snapshots::list(shared, Some(&view.name))?;
        let newest = kept.iter().map(|it| it.taken_at_ms).max().unwrap_or(0);
        let bytes = kept.iter().map(|it| it.bytes).sum();
        shared.metrics.set_snapshots(&view.name, Instant(newest), bytes);
    }
    for topic in letters::topics_of(shared, status) {
        let Some(backlog) = broker::if_there(letters::backlog(shared, status, &topic))? else {
            continue;
        };
        shared.metrics.set_dlq_backlog(&view.name, &topic.name, backlog);
    }
    Ok(())
}
