//! Answers whether the host lives, is ready and what it counts.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::error::ApiError;
use crate::gauges;

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
            gauges::refresh(host, &views)?;
            Ok(host.shared().metrics.render())
        })
        .await?;
    let media = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((media, text).into_response())
}
