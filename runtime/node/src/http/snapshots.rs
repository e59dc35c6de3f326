//! Answers operators about snapshots: takes one, lists them, deletes one.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Api;
use super::error::ApiError;
use super::query;
use crate::snapshots::{self, Kept, NAME_MAX, Taken};

/// How a snapshot is to be taken.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    name: Option<String>,
}

/// Snapshots of this host.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    snapshots: Vec<Kept>,
}

/// Takes a snapshot, and answers when it is on disk.
pub(super) async fn take(
    State(api): State<Api>,
    Path(subscription): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Taken>), ApiError> {
    let Wanted { name } = query::json(&api, body)?;
    if let Some(name) = name.as_deref().filter(|name| !snapshots::is_name(name)) {
        let wanted = format!("1 to {NAME_MAX} of a-z, 0-9 and -");
        return Err(ApiError::parameter("name", name, &wanted));
    }
    api.accepting()?;
    let taken = api.host.take_snapshot(&subscription, name).await??;
    let (name, deleted) = (&taken.name, &taken.deleted);
    tracing::info!(target: "gristmill::audit", subscription, name, ?deleted, "snapshot taken");
    Ok((StatusCode::CREATED, Json(taken)))
}

/// Those of all subscriptions.
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Listed>, ApiError> {
    let snapshots = api.host.snapshots(|shared| Ok(snapshots::list(shared, None)?)).await??;
    Ok(Json(Listed { snapshots }))
}

/// Those of a subscription, which may be gone.
pub(super) async fn list_of(
    State(api): State<Api>,
    Path(subscription): Path<String>,
) -> Result<Json<Listed>, ApiError> {
    let of = subscription.clone();
    let found = api.host.snapshots(move |shared| Ok(snapshots::list(shared, Some(&of))?)).await??;
    if found.is_empty() {
        api.host.subscription(&subscription)?;
    }
    Ok(Json(Listed { snapshots: found }))
}

/// Deletes one.
pub(super) async fn delete(
    State(api): State<Api>,
    Path((subscription, snapshot)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let (of, name) = (subscription.clone(), snapshot.clone());
    api.host.snapshots(move |shared| snapshots::remove(shared, &of, &name)).await??;
    tracing::info!(target: "gristmill::audit", subscription, snapshot, "snapshot deleted");
    Ok(Json(json!({ "deleted": snapshot })))
}
