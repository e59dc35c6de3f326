//! Answers operators about replays: begins one, says how far it is, cancels it.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Serialize;

use super::Api;
use super::error::ApiError;
use super::query::{self, Parameters};
use crate::replay::{Effect, Job, LIMIT_MAX, RATE_MAX, Report, SHOWN_MAX, Wanted};

/// Effects answered at once.
const PAGE: usize = 100;

/// How a replay stands, with some of what its events did.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    #[serde(flatten)]
    report: Report,
    shown: Vec<Effect>,
}

/// Begins a replay.
pub(super) async fn start(
    State(api): State<Api>,
    Path(subscription): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Answer>), ApiError> {
    let wanted: Wanted = query::json(&api, body)?;
    check(&wanted)?;
    api.accepting()?;
    let topic = api.host.topic(&wanted.topic, false).await?;
    if let Some(number) = wanted.partition.filter(|number| *number >= topic.partitions) {
        let wanted = format!("0 to {}", topic.partitions.saturating_sub(1));
        return Err(ApiError::parameter("partition", &number.to_string(), &wanted));
    }
    let (effects, limit, rate) = (wanted.effects, wanted.limit, wanted.rate);
    let job = api.host.replay(&subscription, wanted).await??;
    tracing::info!(target: "gristmill::audit", subscription, topic = &*topic.name, ?effects, limit,
        rate, "replay begun");
    Ok((StatusCode::ACCEPTED, Json(Answer { report: job.report(), shown: Vec::new() })))
}

/// How far the last replay of a subscription is, or came.
pub(super) async fn show(
    State(api): State<Api>,
    Path(subscription): Path<String>,
    parameters: Parameters,
) -> Result<Json<Answer>, ApiError> {
    let parameters = parameters.only(&["after"])?;
    let after = parameters.number("after")?.unwrap_or(0);
    let job = found(&api, &subscription)?;
    // First how it stands: what it did by then is among what is shown, now or on a later page.
    let report = job.report();
    let shown = job.shown(usize::try_from(after).unwrap_or(usize::MAX), PAGE);
    Ok(Json(Answer { report, shown }))
}

/// Ends a replay, and says how far it came.
pub(super) async fn cancel(
    State(api): State<Api>,
    Path(subscription): Path<String>,
) -> Result<Json<Answer>, ApiError> {
    let report = found(&api, &subscription)?.cancel().await;
    Ok(Json(Answer { report, shown: Vec::new() }))
}

fn found(api: &Api, subscription: &str) -> Result<std::sync::Arc<Job>, ApiError> {
    api.host.subscription(subscription)?;
    let job = api.host.replay_of(subscription);
    job.ok_or_else(|| ApiError::unknown("replay of subscription", subscription, &[]))
}

fn check(wanted: &Wanted) -> Result<(), ApiError> {
    let limit_max = if wanted.show { SHOWN_MAX } else { LIMIT_MAX };
    if !(1..=limit_max).contains(&wanted.limit) {
        let limit = wanted.limit.to_string();
        return Err(ApiError::parameter("limit", &limit, &format!("1 to {limit_max}")));
    }
    if let Some(rate) = wanted.rate.filter(|rate| !(1..=RATE_MAX).contains(rate)) {
        return Err(ApiError::parameter("rate", &rate.to_string(), &format!("1 to {RATE_MAX}")));
    }
    Ok(())
}
