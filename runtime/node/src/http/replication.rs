//! Answers operators about topics that are copied to other clusters.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Api;

/// Every replication, as of its last look.
pub(super) async fn list(State(api): State<Api>) -> Json<Value> {
    Json(json!({ "replications": api.host.replications() }))
}
