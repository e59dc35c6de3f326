//! Answers operators about plugins and subscriptions, and does what they ask of them.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use bytes::Bytes;
use gristmill_config::TopicSelector;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::error::ApiError;
use super::query;
use crate::binding::{Role, Source};
use crate::host::SubscriptionView;
use crate::metrics::circuit_name;
use crate::plugins::PluginStatus;

/// All plugins, with their versions and what was refused.
pub(super) async fn plugins(State(api): State<Api>) -> Json<Value> {
    Json(json!({ "plugins": api.host.plugins() }))
}

/// The versions kept of a plugin, newest first.
pub(super) async fn history(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let PluginStatus { name, digest, pinned, history, .. } = plugin(&api, &name)?;
    Ok(Json(json!({ "plugin": name, "digest": digest, "pinned": pinned, "history": history })))
}

/// Which version to go back to.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    /// Digest, or its beginning; the version before without it.
    to: Option<String>,
}

/// Goes back to an earlier version.
pub(super) async fn rollback(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let Rollback { to } = query::json(&api, body)?;
    let digest = api.host.rollback(&name, to).await?;
    tracing::info!(target: "gristmill::audit", plugin = name, digest, "plugin rolled back");
    Ok(Json(json!({ "plugin": name, "digest": digest })))
}

/// All subscriptions, with what the engines hold of them.
pub(super) async fn subscriptions(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let views = api.host.subscriptions().await?;
    let shown: Vec<Value> = views.iter().map(|view| shown(&api, view)).collect();
    Ok(Json(json!({ "subscriptions": shown })))
}

/// Pauses a subscription.
pub(super) async fn pause(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    set_paused(&api, name, true).await
}

/// Resumes a subscription.
pub(super) async fn resume(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    set_paused(&api, name, false).await
}

async fn set_paused(api: &Api, name: String, is_paused: bool) -> Result<Json<Value>, ApiError> {
    api.host.set_paused(&name, is_paused).await?;
    tracing::info!(target: "gristmill::audit", subscription = name, is_paused, "by an operator");
    let paused = api.host.subscription(&name)?.paused;
    Ok(Json(json!({ "subscription": name, "paused": paused })))
}

fn plugin(api: &Api, name: &str) -> Result<PluginStatus, ApiError> {
    let mut plugins = api.host.plugins();
    if let Some(place) = plugins.iter().position(|plugin| plugin.name == name) {
        return Ok(plugins.swap_remove(place));
    }
    let known: Vec<String> = plugins.into_iter().map(|plugin| plugin.name).collect();
    Err(ApiError::unknown("plugin", name, &known))
}

fn shown(api: &Api, view: &SubscriptionView) -> Value {
    let SubscriptionView { name, status, figures, lag, dead_letters } = view;
    let binding = &status.binding;
    let is_given = |source: &&Source| source.role == Role::Given;
    let mut topics: Vec<&str> =
        binding.sources.iter().filter(is_given).map(|it| &*it.name).collect();
    if binding.config.local {
        topics.extend(binding.config.topics.iter().map(TopicSelector::as_str));
    }
    let lag: Vec<Value> =
        lag.iter().map(|(topic, events)| json!({ "topic": **topic, "events": events })).collect();
    let last = api.host.shared().metrics.last_processed(name);
    json!({
        "name": name,
        "plugin": status.plugin,
        "component_digest": binding.plugin.digest(),
        "topics": topics,
        "local": binding.config.local,
        "paused": status.paused,
        "lag": lag,
        "dead_letters": dead_letters,
        "last_processed_ms": last.map(|at| at.0),
        "lanes_active": figures.lanes_active,
        "lanes_parked": figures.lanes_parked,
        "parked_events": figures.parked_events,
        "oldest_parked_ms": figures.oldest_parked.map(|at| at.0),
        "events_in_flight": figures.events_in_flight,
        "retries_scheduled": figures.retries_scheduled,
        "timers_pending": figures.timers_pending,
        "outcomes_uncommitted": figures.outcomes_uncommitted,
        "breaker": circuit_name(figures.circuit),
    })
}
