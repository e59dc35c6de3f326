//! Answers operators about rebuilds: begins one, says how far it is, cancels it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;

use super::Api;
use super::error::ApiError;
use super::query;
use crate::rebuild::{Job, Report, Wanted};
use crate::replay::RATE_MAX;

/// Begins a rebuild.
pub(super) async fn start(
    State(api): State<Api>,
    Path(subscription): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Report>), ApiError> {
    let wanted: Wanted = query::json(&api, body)?;
    if let Some(rate) = wanted.rate.filter(|rate| !(1..=RATE_MAX).contains(rate)) {
        return Err(ApiError::parameter("rate", &rate.to_string(), &format!("1 to {RATE_MAX}")));
    }
    api.accepting()?;
    let (is_dry, rate, snapshot) = (wanted.dry_run, wanted.rate, wanted.from_snapshot.clone());
    let job = api.host.rebuild(&subscription, wanted).await??;
    tracing::info!(target: "gristmill::audit", subscription, is_dry, rate, snapshot,
        "rebuild begun");
    Ok((StatusCode::ACCEPTED, Json(job.report())))
}

/// How far the last rebuild of a subscription is, or came.
pub(super) async fn show(
    State(api): State<Api>,
    Path(subscription): Path<String>,
) -> Result<Json<Report>, ApiError> {
    Ok(Json(found(&api, &subscription)?.report()))
}

/// Ends a rebuild before it has changed anything, and says how far it came.
pub(super) async fn cancel(
    State(api): State<Api>,
    Path(subscription): Path<String>,
) -> Result<Json<Report>, ApiError> {
    Ok(Json(found(&api, &subscription)?.cancel().await))
}

fn found(api: &Api, subscription: &str) -> Result<Arc<Job>, ApiError> {
    api.host.subscription(subscription)?;
    let job = api.host.rebuild_of(subscription);
    job.ok_or_else(|| ApiError::unknown("rebuild of subscription", subscription, &[]))
}
