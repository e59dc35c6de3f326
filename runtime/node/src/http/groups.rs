//! Answers operators about consumer groups, and resets what nobody reads.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::error::ApiError;
use super::query;
use crate::consumer_groups::{
    ConsumerGroups, GroupReport, GroupsError, Reset, ResetTo, StateChoice,
};

/// All consumer groups of the cluster.
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let groups = ask(&api, ConsumerGroups::list).await?;
    Ok(Json(json!({ "groups": groups })))
}

/// One group, with its members and what it committed.
pub(super) async fn describe(
    State(api): State<Api>,
    Path(group): Path<String>,
) -> Result<Json<GroupReport>, ApiError> {
    ask(&api, move |groups| groups.describe(&group)).await.map(Json)
}

/// What to reset, and where to.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    to: Option<ResetTo>,
    topic: Option<String>,
    partition: Option<u32>,
    state: Option<StateChoice>,
    dry_run: bool,
}

/// Resets a group without members, or says what that would do.
pub(super) async fn reset(
    State(api): State<Api>,
    Path(group): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Reset>, ApiError> {
    let Wanted { to, topic, partition, state, dry_run } = query::json(&api, body)?;
    let Some(to) = to else {
        let wanted = "\"earliest\", \"latest\", {\"timestamp_ms\": N} or {\"offset\": N}";
        return Err(ApiError::parameter("to", "", wanted));
    };
    if let (None, Some(partition)) = (&topic, partition) {
        let wanted = "given together with a topic";
        return Err(ApiError::parameter("partition", &partition.to_string(), wanted));
    }
    let planned = {
        let group = group.clone();
        let plan = move |groups: &ConsumerGroups| {
            groups.plan(&group, to, topic.as_deref().map(|topic| (topic, partition)))
        };
        ask(&api, plan).await?
    };
    if dry_run {
        return Ok(Json(planned));
    }
    planned.must_be_idle()?;
    // Only a subscription's group has state behind it.
    let state = match (state, &planned.subscription) {
        (Some(state), _) => state,
        (None, None) => StateChoice::Keep,
        (None, Some(_)) => return Err(ApiError::parameter("state", "", "\"keep\" or \"clear\"")),
    };
    let done = ask(&api, move |groups| groups.carry_out(planned, state)).await?;
    tracing::info!(target: "gristmill::audit", group, ?to, ?state, "consumer group reset");
    Ok(Json(done))
}

/// Asks the cluster on a thread that may wait.
async fn ask<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce(&ConsumerGroups) -> Result<T, GroupsError> + Send + 'static,
) -> Result<T, ApiError> {
    let shared = api.host.shared();
    let Some(kafka) = shared.broker.kafka() else { return Err(GroupsError::Embedded.into()) };
    let groups = ConsumerGroups::of(kafka.cluster().clone(), &shared.config)?;
    let done = tokio::task::spawn_blocking(move || work(&groups)).await;
    done.map_err(|_stopped| ApiError::internal())?.map_err(ApiError::from)
}
