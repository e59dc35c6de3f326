//! Tells the collector how the metrics stand, now and then.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::host::{Host, SubscriptionView};
use crate::{broker, gauges};

/// Tells for ever, where that is wanted.
pub(crate) async fn tell(host: Host) {
    let otlp = host.shared().config.telemetry.otlp.as_ref();
    let Some(interval) = otlp.and_then(|otlp| otlp.metrics_interval) else { return };
    let mut look = tokio::time::interval(Duration::from_millis(interval.0));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let told = match host.subscriptions().await {
            Ok(views) => {
                let of = host.clone();
                host.wait(move || put(&of, &views)).await
            }
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = told {
            tracing::debug!(?refusal, "look at what the gauges show");
        }
    }
}

/// Hands over how everything stands; what cannot be looked at, as it last was. Waits.
fn put(host: &Host, views: &[SubscriptionView]) -> Result<(), broker::Error> {
    let looked = gauges::refresh(host, views);
    let shared = host.shared();
    shared.telemetry.put_metrics(&shared.metrics.told(shared.telemetry.system()));
    looked
}
