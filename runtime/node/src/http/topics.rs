//! Answers operators about topics: what there is, what it holds, its records; makes and deletes
//! them.

use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use gristmill_engine::{Bytes as Size, Millis, Offset, PartitionId};
use gristmill_store::{ReadLimit, Retention, Topic, TopicSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Api;
use super::error::ApiError;
use super::event_json::EventJson;
use super::query::{self, Parameters, Start};
use crate::broker::{self, Broker};
use crate::topics;

/// Records answered at once, unless asked otherwise.
const RECORDS: usize = 100;
/// Records answered at once at most.
const RECORDS_MAX: usize = 1_000;
/// Bytes of records after which no further one is answered.
const RECORD_BYTES_MAX: Size = Size::mib(8);

/// All topics but the host's own.
pub(super) async fn list(State(api): State<Api>) -> Result<Response, ApiError> {
    let described = api.blocking(|host| {
        host.topics()
            .iter()
            .map(|topic| describe(host.broker(), topic))
            .collect::<Result<Vec<_>, _>>()
    });
    Ok(axum::Json(json!({ "topics": described.await? })).into_response())
}

/// One topic, with the bounds of its partitions.
pub(super) async fn show(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<axum::Json<Value>, ApiError> {
    let topic = api.host.topic(&name, false).await?;
    let used_by = api.host.users_of(topic.id);
    let mut described = api.blocking(move |host| describe(host.broker(), &topic)).await?;
    if let Some(fields) = described.as_object_mut() {
        fields.insert("used_by".to_owned(), json!(used_by));
    }
    Ok(axum::Json(described))
}

/// What a topic is to be. What is left out is as configured for topics of that name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    name: String,
    partitions: Option<u32>,
    retention_ms: Option<u64>,
    retention_bytes: Option<u64>,
    compacted: Option<bool>,
}

/// Makes a topic.
pub(super) async fn create(
    State(api): State<Api>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let mut wanted: Wanted = query::json(&api, body)?;
    let names = &api.host.shared().config.topics.names;
    wanted.name = names.on_broker(&wanted.name).to_owned();
    if wanted.name.starts_with(topics::INTERNAL) {
        let wanted_name = "a name that does not begin with __: those are the host's own";
        return Err(ApiError::parameter("name", &wanted.name, wanted_name));
    }
    if api.host.shared().config.topics.is_local(&wanted.name) {
        return Err(ApiError::local_topic(&wanted.name));
    }
    let usual = topics::spec(&wanted.name, api.host.shared().config.topics.settings(&wanted.name));
    let spec = TopicSpec {
        partitions: wanted.partitions.unwrap_or(usual.partitions),
        retention: Retention {
            age: wanted.retention_ms.map(Millis).or(usual.retention.age),
            bytes: wanted.retention_bytes.map(Size).or(usual.retention.bytes),
        },
        compacted: wanted.compacted.unwrap_or(usual.compacted),
        ..usual
    };
    let described = api
        .blocking(move |host| {
            let topic = topics::create(host.shared(), spec)?;
            describe(host.broker(), &topic)
        })
        .await?;
    Ok((StatusCode::CREATED, axum::Json(described)).into_response())
}

/// How large a topic is to be.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Growth {
    partitions: u32,
}

/// Gives a topic more partitions, unless a subscription keeps state of its keys.
pub(super) async fn grow(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<axum::Json<Value>, ApiError> {
    let Growth { partitions } = query::json(&api, body)?;
    let topic = api.host.topic(&name, false).await?;
    if api.host.broker().kafka().is_none() {
        return Err(ApiError::cannot_grow(&name));
    }
    if partitions < topic.partitions {
        let wanted = format!("{} or more: a topic does not shrink", topic.partitions);
        return Err(ApiError::parameter("partitions", &partitions.to_string(), &wanted));
    }
    let stateful = api.host.stateful_readers_of(topic.id);
    if !stateful.is_empty() {
        return Err(ApiError::has_state(&name, &stateful));
    }
    let declared =
        api.host.shared().config.topics.declared.get(&*topic.name).map(|it| it.partitions);
    let mut described = api
        .blocking(move |host| {
            let topic = match host.broker().kafka() {
                Some(kafka) => topics::grow(host.shared(), kafka, topic, partitions)?,
                None => topic,
            };
            describe(host.broker(), &topic)
        })
        .await?;
    tracing::info!(target: "gristmill::audit", topic = name, partitions, "topic grown");
    if let Some(fields) = described.as_object_mut() {
        fields.insert("declared_partitions".to_owned(), json!(declared));
    }
    Ok(axum::Json(described))
}

/// Deletes a topic that no subscription reads or fills.
pub(super) async fn delete(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let topic = api.host.topic(&name, false).await?;
    let users = api.host.users_of(topic.id);
    if !users.is_empty() {
        return Err(ApiError::topic_in_use(&name, &users));
    }
    api.blocking(move |host| topics::delete(host.shared(), &topic.name)).await?;
    tracing::info!(target: "gristmill::audit", topic = name, "topic deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Records of one partition. Written directly: through a JSON value numbers would lose digits.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    records: Vec<EventJson>,
    next_offset: u64,
    start_offset: u64,
    end_offset: u64,
}

/// Records of one partition from an offset or a moment on.
pub(super) async fn records(
    State(api): State<Api>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<axum::Json<Page>, ApiError> {
    let parameters = parameters.only(&["partition", "offset", "from", "limit", "payload"])?;
    let topic = api.host.topic(&name, false).await?;
    let partition = PartitionId(parameters.partition(topic.partitions)?.unwrap_or(0));
    let offset = parameters.number("offset")?.map(Offset);
    let start = parameters.start()?.unwrap_or(Start::Earliest);
    let limit = parameters.limit(RECORDS, RECORDS_MAX)?;
    let is_exact = match parameters.text("payload") {
        None => false,
        Some("base64") => true,
        Some(other) => return Err(ApiError::parameter("payload", other, "base64")),
    };
    let answer = api.blocking(move |host| {
        let broker = host.broker();
        let from = match offset {
            Some(offset) => offset,
            None => begin(broker, &topic, partition, start)?,
        };
        let events = u32::try_from(limit).unwrap_or(u32::MAX);
        let limit = ReadLimit { events, bytes: RECORD_BYTES_MAX };
        let bounds = broker.bounds(topic.id, partition)?;
        let read = broker.read(topic.id, partition, from, limit)?;
        // Where nothing is read, nothing is left below the end: what else takes offsets in a
        // cluster, such as the end of a transaction, is no event.
        let next = read.last().map_or(from.max(bounds.end), |last| last.offset.next());
        let shown = |stored| {
            let event = EventJson::new(&topic.name, partition.0, stored);
            if is_exact { event.exact(stored) } else { event }
        };
        Ok(Page {
            records: read.iter().map(shown).collect(),
            next_offset: next.0,
            start_offset: bounds.start.0,
            end_offset: bounds.end.0,
        })
    });
    answer.await.map(axum::Json)
}

/// First offset to read where `start` says.
pub(super) fn begin(
    broker: &Broker,
    topic: &Topic,
    partition: PartitionId,
    start: Start,
) -> Result<Offset, broker::Error> {
    match start {
        Start::Earliest => Ok(broker.bounds(topic.id, partition)?.start),
        Start::Latest => Ok(broker.bounds(topic.id, partition)?.end),
        Start::At(moment) => broker.offset_at(topic.id, partition, moment),
    }
}

fn describe(broker: &Broker, topic: &Topic) -> Result<Value, broker::Error> {
    let topic = &broker.described(topic)?;
    let figures = broker.topic_figures(topic.id)?;
    let mut partitions = Vec::new();
    for partition in (0..topic.partitions).map(PartitionId) {
        let bounds = broker.bounds(topic.id, partition)?;
        partitions.push(json!({
            "partition": partition.0,
            "start_offset": bounds.start.0,
            "end_offset": bounds.end.0,
        }));
    }
    Ok(json!({
        "name": topic.name,
        "partitions": partitions,
        "retention_ms": topic.retention.age.map(|age| age.0),
        "retention_bytes": topic.retention.bytes.map(|bytes| bytes.0),
        "compacted": topic.compacted,
        "created_ms": topic.created.0,
        "events": figures.events,
        "bytes": figures.bytes.0,
        "oldest_ms": figures.oldest.map(|oldest| oldest.0),
    }))
}
