//! Answers for a host that waits for its cluster: it lives, it is not ready, and it says why. It
//! takes nothing in.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gristmill_kafka::Cluster;
use serde_json::json;

use super::error::ApiError;
use super::health;

pub(super) fn router(cluster: Cluster) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(ready))
        .fallback(refuse)
        .with_state(cluster)
}

async fn ready(State(cluster): State<Cluster>) -> Response {
    let trouble = cluster.trouble().map(|trouble| trouble.to_string());
    let reason = trouble.unwrap_or_else(|| "the cluster has not answered yet".to_owned());
    let checks = json!([{ "name": "broker", "ok": false, "reason": reason }]);
    let body = json!({ "ready": false, "checks": checks });
    (StatusCode::SERVICE_UNAVAILABLE, axum::Json(body)).into_response()
}

async fn refuse() -> ApiError {
    ApiError::waiting()
}
