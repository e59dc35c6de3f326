//! Answers operators about outboxes and the rows that cannot be published, and does what they ask
//! of these.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::error::ApiError;
use super::query::{self, Parameters};
use crate::outbox::{Relay, Shown};

/// Rows answered at once unless asked otherwise.
const ROWS: usize = 100;
/// Rows answered at once at most.
const ROWS_MAX: usize = 1_000;

/// Which rows are meant.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Meant {
    /// Exactly these.
    ids: Vec<String>,
    /// All that are parked.
    all: bool,
}

/// How every outbox stands.
pub(super) async fn list(State(api): State<Api>) -> Json<Value> {
    let all = api.host.outboxes().into_iter().flat_map(|it| it.all());
    let standing: Vec<_> = all.map(|(_, relay)| relay.standing()).collect();
    Json(json!({ "outboxes": standing }))
}

/// Rows of an outbox that are parked.
pub(super) async fn rows(
    State(api): State<Api>,
    Path(outbox): Path<String>,
    parameters: Parameters,
) -> Result<Json<Value>, ApiError> {
    let limit = parameters.only(&["limit"])?.limit(ROWS, ROWS_MAX)?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let parked = relay(&api, &outbox)?.parked_rows(limit).await?;
    Ok(Json(json!({ "rows": parked })))
}

/// One of them.
pub(super) async fn show(
    State(api): State<Api>,
    Path((outbox, id)): Path<(String, String)>,
) -> Result<Json<Shown>, ApiError> {
    Ok(Json(relay(&api, &outbox)?.parked_row(&id).await?))
}

/// Lets rows be tried again.
pub(super) async fn retry(
    State(api): State<Api>,
    Path(outbox): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let Meant { ids, all } = query::json(&api, body)?;
    if ids.is_empty() != all {
        return Err(ApiError::parameter("ids", &format!("{ids:?}"), "some, or `all` without any"));
    }
    let ids = (!all).then_some(ids.as_slice());
    let retried = relay(&api, &outbox)?.retry(ids).await?;
    Ok(Json(json!({ "outbox": outbox, "retried": retried })))
}

/// Gives rows up.
pub(super) async fn discard(
    State(api): State<Api>,
    Path(outbox): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let Meant { ids, all } = query::json(&api, body)?;
    if ids.is_empty() || all {
        return Err(ApiError::parameter("ids", &format!("{ids:?}"), "the rows to give up, by id"));
    }
    let discarded = relay(&api, &outbox)?.discard(&ids).await?;
    Ok(Json(json!({ "outbox": outbox, "discarded": discarded })))
}

fn relay(api: &Api, name: &str) -> Result<Arc<Relay>, ApiError> {
    let outboxes = api.host.outboxes();
    if let Some(relay) = outboxes.and_then(|it| it.get(name)) {
        return Ok(Arc::clone(relay));
    }
    let known = outboxes.into_iter().flat_map(|it| it.all()).map(|(name, _)| name.clone());
    Err(ApiError::unknown("outbox", name, &known.collect::<Vec<_>>()))
}
