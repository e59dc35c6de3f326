//! Takes events in over HTTP and answers when they are durable. A request is one write: all of its
//! events, or none.

use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use gristmill_config::{KeyRule, KeyTemplate, TopicConfig};
use gristmill_engine::Offset;
use gristmill_store::{Append, Batch, Store, Topic};
use serde::Serialize;

use super::Api;
use super::error::ApiError;
use super::incoming::{self, Arrived, Incoming};
use super::query::{self, Parameters};
use super::traced::{self, Published, Trace};
use crate::admission;
use crate::encryption::Encryption;
use crate::envelope::Invalid;
use crate::schemas::{Broken, Schemas};

/// Where an event went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Placed {
    topic: String,
    partition: u32,
    offset: u64,
    id: String,
}

/// Appends one event, or a batch, to a topic.
pub(super) async fn publish(
    State(api): State<Api>,
    Path(topic): Path<String>,
    parameters: Parameters,
    (headers, trace): (HeaderMap, Trace),
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    api.accepting()?;
    let parameters = parameters.only(&["key"])?;
    let arrived = incoming::read(&headers, query::body(&api, body)?)?;
    let topic = api.host.topic(&topic, true).await?;
    let to = (&topic, parameters.text("key"));
    match arrived {
        Arrived::One(event) => {
            let mut placed = append(&api, to, vec![*event], trace).await?;
            let placed = placed.pop().ok_or_else(ApiError::internal)?;
            Ok((StatusCode::ACCEPTED, axum::Json(placed)).into_response())
        }
        Arrived::Batch(events) => {
            let placed = append(&api, to, events, trace).await?;
            let body = serde_json::json!({ "events": placed });
            Ok((StatusCode::ACCEPTED, axum::Json(body)).into_response())
        }
    }
}

/// Appends events to a topic; all of one call are one write. `key` goes before what the events and
/// the topic say.
pub(super) async fn append(
    api: &Api,
    (topic, key): (&Topic, Option<&str>),
    events: Vec<Incoming>,
    trace: Trace,
) -> Result<Vec<Placed>, ApiError> {
    let shared = api.host.shared();
    let settings = shared.config.topics.settings(&topic.name);
    let now = shared.clock.now();
    let mut ids = Vec::with_capacity(events.len());
    let mut appends = Vec::with_capacity(events.len());
    let mut events = judged((&shared.schemas, &shared.encryption), topic, events)?;
    let marks = traced::mark(&mut events, trace.as_ref().map(|trace| &trace.0));
    for mut event in events {
        ids.push(event.id.take());
        let spread = event.spread.unwrap_or_else(turn);
        let key = match key {
            Some(key) => Some(Bytes::from(key.to_owned())),
            None => key_of(topic, settings, &mut event)?,
        };
        let append = Append {
            topic: topic.id,
            partition: Store::partition_for(topic, key.as_deref(), spread),
            timestamp: now,
            key,
            headers: event.headers,
            payload: event.payload,
        };
        check_size(topic, settings, &append)?;
        appends.push(append);
    }
    if appends.is_empty() {
        return Ok(Vec::new());
    }
    let partitions: Vec<u32> = appends.iter().map(|append| append.partition.0).collect();
    let published = Published::begin((&marks, &ids), (topic, &appends), &shared.telemetry);
    let batch = Batch { ingest: true, appends, changes: Vec::new() };
    let written = api.host.write(batch).await;
    published.end(&written, &shared.telemetry);
    let receipt = written?;
    let count = u64::try_from(partitions.len()).unwrap_or(u64::MAX);
    shared.metrics.ingested(&topic.name, count);
    if shared.config.telemetry.counts_published() {
        shared.metrics.published(&topic.name, &shared.config.name, count);
    }
    let places = ids.into_iter().zip(partitions).zip(receipt.offsets);
    Ok(places.map(|((id, partition), offset)| placed(topic, id, partition, offset)).collect())
}

/// The events as their schemas have them written; all violations of all events otherwise.
fn judged(
    (judging, encryption): (&Schemas, &Encryption),
    topic: &Topic,
    mut events: Vec<Incoming>,
) -> Result<Vec<Incoming>, ApiError> {
    if !judging.judges(&topic.name) && !encryption.is_of(&topic.name) {
        return Ok(events);
    }
    let (is_batch, mut found) = (events.len() > 1, Vec::new());
    let mut code = Invalid::SCHEMA;
    for (number, event) in events.iter_mut().enumerate() {
        let Incoming { headers, payload, .. } = event;
        match admission::admit((judging, encryption), &topic.name, (headers, payload)) {
            Ok(()) => {}
            Err(Broken::Away(away)) => return Err(ApiError::away(away)),
            Err(Broken::Invalid(invalid)) => {
                code = invalid.code;
                let named = |violation: String| {
                    if is_batch { format!("event {number}: {violation}") } else { violation }
                };
                found.extend(invalid.violations.into_iter().map(named));
            }
        }
    }
    if found.is_empty() {
        Ok(events)
    } else {
        Err(ApiError::invalid(Invalid { code, violations: found }))
    }
}

fn placed(topic: &Topic, id: Option<String>, partition: u32, offset: Offset) -> Placed {
    let Offset(offset) = offset;
    let topic = topic.name.to_string();
    // The id that readers will see where the producer gave none.
    let id = id.unwrap_or_else(|| format!("{topic}/{partition}/{offset}"));
    Placed { topic, partition, offset, id }
}

/// Turn of an event without key: events of one request and of many clients spread alike.
fn turn() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static TURNS: AtomicU64 = AtomicU64::new(0);
    TURNS.fetch_add(1, Ordering::Relaxed)
}

fn key_of(
    topic: &Topic,
    settings: &TopicConfig,
    event: &mut Incoming,
) -> Result<Option<Bytes>, ApiError> {
    if let Some(key) = event.partition_key.take() {
        return Ok(Some(Bytes::from(key)));
    }
    match &settings.key {
        KeyRule::None => Ok(None),
        KeyRule::Of(rule) => key_by(topic, rule, event).map(|key| Some(Bytes::from(key))),
    }
}

/// The key that a rule makes of an event.
pub(super) fn key_by(
    topic: &Topic,
    rule: &KeyTemplate,
    event: &Incoming,
) -> Result<String, ApiError> {
    let key = admission::key_by(&topic.name, rule, event.payload.as_ref());
    key.map_err(|missing| ApiError::no_key(missing.as_str()))
}

fn check_size(topic: &Topic, settings: &TopicConfig, append: &Append) -> Result<(), ApiError> {
    let size = admission::size(append);
    let max = settings.max_event_bytes.0;
    if size > max { Err(ApiError::event_too_large(&topic.name, size, max)) } else { Ok(()) }
}
