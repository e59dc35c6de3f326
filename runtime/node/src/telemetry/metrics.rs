//! Tells the collector how the metrics stand, now and then.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::gauges;
use crate::host::Host;

/// Tells for ever, where that is wanted.
pub(crate) async fn tell(host: Host) {
    let otlp = host.shared().config.telemetry.otlp.as_ref();
    let Some(interval) = otlp.and_then(|otlp| otlp.metrics_interval) else { return };
    let mut look = tokio::time::interval(Duration::from_millis(interval.0));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        if let Err(refusal) = gauges::refresh(&host).await {
            tracing::debug!(?refusal, "look at what the gauges show");
        }
        let shared = host.shared();
        shared.telemetry.put_metrics(&shared.metrics.told(shared.telemetry.system()));
    }
}
