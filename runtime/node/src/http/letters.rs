//! Answers operators about dead letters and drives them again.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Api;
use super::error::ApiError;
use super::event_json::EventJson;
use super::query::{self, Parameters};
use crate::envelope::{DeadLetterView, original_headers};
use crate::letters::{self, Letter, LetterId, Selection};

/// Dead letters answered, or driven again, at once unless asked otherwise.
const LETTERS: usize = 100;
/// Dead letters answered at once at most.
const LETTERS_MAX: usize = 1_000;
/// Dead letters driven again by one request at most.
const REDRIVE_MAX: usize = 100_000;
/// Dead letters of one dry run at most: each is a call of the plugin.
const REHEARSE_MAX: usize = 1_000;

/// One dead letter: what is known of its failure, and the event as it first was.
#[derive(Debug, Serialize)]
pub(super) struct LetterJson {
    id: LetterId,
    redriven: bool,
    failure: DeadLetterView,
    event: EventJson,
}

impl From<Letter> for LetterJson {
    fn from(letter: Letter) -> Self {
        let Letter { id, view, stored, is_redriven } = letter;
        let headers = original_headers(&stored.headers);
        let event = EventJson::with_headers(&id.topic, id.partition, &stored, headers);
        Self { id, redriven: is_redriven, failure: view, event }
    }
}

/// Dead letters, a page at a time.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    events: Vec<LetterJson>,
    /// The last one, when there may be more after it.
    next: Option<LetterId>,
}

/// How many dead letters each subscription has, and where.
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let views = api.host.subscriptions().await?;
    let listed = api.blocking(move |host| {
        let shared = host.shared();
        let mut listed = Vec::with_capacity(views.len());
        for view in views {
            let mut topics = Vec::new();
            for topic in letters::topics_of(shared, &view.status) {
                let waiting = letters::backlog(shared, &view.status, &topic)?;
                let held = shared.broker.count(&topic)?;
                topics.push(json!({ "topic": topic.name, "waiting": waiting, "held": held }));
            }
            listed.push(json!({
                "subscription": view.name,
                "waiting": view.dead_letters,
                "topics": topics,
            }));
        }
        Ok(listed)
    });
    Ok(Json(json!({ "dead_letters": listed.await? })))
}

/// Dead letters of a subscription, a page at a time.
pub(super) async fn events(
    State(api): State<Api>,
    Path(subscription): Path<String>,
    parameters: Parameters,
) -> Result<Json<Page>, ApiError> {
    let names =
        ["limit", "after", "class", "code", "event_id", "since_ms", "before_ms", "redriven"];
    let parameters = parameters.only(&names)?;
    let limit = parameters.limit(LETTERS, LETTERS_MAX)?;
    let after = match parameters.text("after") {
        Some(text) => Some(letter_id("after", text)?),
        None => None,
    };
    let text = |name| parameters.text(name).map(str::to_owned);
    let selection = Selection {
        ids: Vec::new(),
        class: text("class"),
        code: text("code"),
        event_id: text("event_id"),
        since_ms: parameters.number("since_ms")?,
        before_ms: parameters.number("before_ms")?,
        redriven: parameters.is_set("redriven")?,
    };
    let found = api.host.letters(&subscription, selection, (after, limit)).await?;
    let last = found.last().filter(|_| found.len() == limit).map(|letter| letter.id.clone());
    let found: Vec<LetterJson> = found.into_iter().map(LetterJson::from).collect();
    Ok(Json(Page { events: found, next: last }))
}

/// One dead letter.
pub(super) async fn show(
    State(api): State<Api>,
    Path((subscription, topic, partition, offset)): Path<(String, String, String, String)>,
) -> Result<Json<LetterJson>, ApiError> {
    let text = format!("{topic}/{partition}/{offset}");
    let id = letter_id("id", &text)?;
    let selection = Selection { ids: vec![id], redriven: true, ..Selection::default() };
    let found = api.host.letters(&subscription, selection, (None, 1)).await?;
    let letter = found.into_iter().next();
    let letter = letter.ok_or_else(|| ApiError::unknown("dead letter", &text, &[]))?;
    Ok(Json(LetterJson::from(letter)))
}

/// Which dead letters to drive again.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Redrive {
    filter: Selection,
    dry_run: bool,
    limit: Option<usize>,
}

/// Drives dead letters again, or says what would come of it.
pub(super) async fn redrive(
    State(api): State<Api>,
    Path(subscription): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let Redrive { filter, dry_run, limit } = query::json(&api, body)?;
    let max = if dry_run { REHEARSE_MAX } else { REDRIVE_MAX };
    let limit = limit.unwrap_or(if dry_run { LETTERS } else { REDRIVE_MAX });
    if !(1..=max).contains(&limit) {
        return Err(ApiError::parameter("limit", &limit.to_string(), &format!("1 to {max}")));
    }
    if api.host.is_stopping() {
        return Err(ApiError::stopping());
    }
    if dry_run {
        let rehearsed = api.host.rehearse(&subscription, filter, limit).await?;
        return Ok(Json(json!({ "dry_run": true, "result": rehearsed })));
    }
    let redriven = api.host.redrive(&subscription, filter, limit).await?;
    Ok(Json(json!({ "dry_run": false, "result": redriven })))
}

fn letter_id(name: &str, text: &str) -> Result<LetterId, ApiError> {
    let wanted = "topic/partition/offset";
    LetterId::try_from(text.to_owned()).map_err(|_no_id| ApiError::parameter(name, text, wanted))
}
