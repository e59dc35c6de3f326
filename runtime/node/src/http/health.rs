//! Answers whether the host lives, is ready and what it counts.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use gristmill_engine::PartitionId;

use super::Api;
use super::error::ApiError;
use crate::host::{Host, SubscriptionView};
use crate::{broker, letters};

/// Alive: the process answers.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// Ready: every check holds; otherwise 503, with a reason per check.
pub(super) async fn ready(State(api): State<Api>) -> Response {
    let checks = api.host.checks();
    let is_ready = checks.iter().all(|check| check.ok);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "ready": is_ready, "checks": checks });
    (status, axum::Json(body)).into_response()
}

/// Every instrument in Prometheus' text format.
pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, ApiError> {
    let views = api.host.subscriptions().await?;
    let text = api
        .blocking(move |host| {
            for view in &views {
                show(host, view)?;
            }
            let shared = host.shared();
            shared.metrics.set_store(shared.store.figures(), shared.store.space());
            Ok(shared.metrics.render())
        })
        .await?;
    let media = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((media, text).into_response())
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
    for topic in letters::topics_of(shared, status) {
        let Some(backlog) = broker::if_there(letters::backlog(shared, &topic))? else { continue };
        shared.metrics.set_dlq_backlog(&view.name, &topic.name, backlog);
    }
    Ok(())
}
