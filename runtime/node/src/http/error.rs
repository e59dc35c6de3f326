//! Owns how a request fails: status, stable code, message and hint, always as JSON. It never
//! decides that one does.

mod access;
mod commands;
mod outbox;
mod snapshots;

use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gristmill_kafka::{Class as KafkaClass, Error as KafkaError};
use gristmill_store::{Class, Error as StoreError, Failed};
use serde::Serialize;

use crate::broker;
use crate::commands::Unroutable;
use crate::consumer_groups::GroupsError;
use crate::envelope::Invalid;
use crate::plugins::Refusal;
use crate::rebuild::RebuildError;
use crate::replay::{Class as ReplayClass, ReplayError};
use crate::schemas::Away;

/// Seconds after which a host that stops, or lacks space, may be asked again.
const RETRY_LATER: u32 = 30;
/// Seconds after which a busy store may be asked again.
const RETRY_SOON: u32 = 1;

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError(Box<Refused>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Refused {
    status: StatusCode,
    body: Body,
    retry_after: Option<u32>,
    /// Methods that would be answered.
    allow: Option<HeaderValue>,
    /// Whether a token would help.
    asks_for_token: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Body {
    code: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<String>,
}

impl ApiError {
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let body = Body { code: code.to_owned(), message, hint: None, violations: Vec::new() };
        let (retry_after, allow, asks_for_token) = (None, None, false);
        Self(Box::new(Refused { status, body, retry_after, allow, asks_for_token }))
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.body.hint = Some(hint.into());
        self
    }

    pub(super) fn no_route(method: &str, path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "E0410", format!("nothing answers {method} {path}"))
            .hint("GET /api/v1/openapi.json describes every path")
    }

    pub(super) fn wrong_method<'a>(
        method: &str,
        path: &str,
        methods: impl Iterator<Item = &'a str>,
    ) -> Self {
        let allow = methods.collect::<Vec<_>>().join(", ").to_ascii_uppercase();
        let message = format!("{path} does not answer {method}");
        let mut error = Self::new(StatusCode::METHOD_NOT_ALLOWED, "E0411", message)
            .hint(format!("it answers {allow}"));
        error.0.allow = HeaderValue::try_from(allow).ok();
        error
    }

    pub(super) fn body(rejection: &BytesRejection, max: u64) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let message = format!("the body is larger than {max} bytes");
            return Self::new(StatusCode::PAYLOAD_TOO_LARGE, "E0412", message)
                .hint("send less at once, or raise `body_bytes_max` of [http]");
        }
        Self::new(StatusCode::BAD_REQUEST, "E0416", "read the body: it ended early")
    }

    pub(super) fn event_too_large(topic: &str, size: u64, max: u64) -> Self {
        let message = format!("an event of {size} bytes; topic {topic:?} takes at most {max}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "E0413", message)
            .hint("send a reference to the data, or raise the topic's `max_event_bytes`")
    }

    pub(super) fn parameter(name: &str, value: &str, wanted: &str) -> Self {
        let message = format!("parameter {name:?} is {value:?}, not {wanted}");
        Self::new(StatusCode::BAD_REQUEST, "E0415", message)
    }

    pub(super) fn json(what: &str, reason: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "E0416", format!("read {what}: {reason}"))
    }

    pub(super) fn stopping() -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "E0417", "the host is stopping")
            .hint("send it again when the host is back");
        error.0.retry_after = Some(RETRY_LATER);
        error
    }

    pub(super) fn waiting() -> Self {
        let message = "the host waits for its Kafka cluster";
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "E0426", message)
            .hint("GET /readyz says why");
        error.0.retry_after = Some(RETRY_SOON);
        error
    }

    pub(super) fn too_many_streams(max: usize) -> Self {
        let message = format!("{max} event streams are open, which is all there may be");
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "E0418", message)
            .hint("close one, or raise `readers_max` of [http]");
        error.0.retry_after = Some(RETRY_LATER);
        error
    }

    pub(super) fn topic_in_use(topic: &str, by: &[String]) -> Self {
        let message = format!("topic {topic:?} is used by {}", by.join(", "));
        Self::new(StatusCode::CONFLICT, "E0419", message)
            .hint("remove the subscriptions, or their manifests, first")
    }

    pub(super) fn cannot_grow(topic: &str) -> Self {
        let message = format!("the partitions of topic {topic:?} cannot change");
        Self::new(StatusCode::CONFLICT, "E0428", message)
            .hint("make a topic with more partitions and read that; on Kafka topics can grow")
    }

    pub(super) fn has_state(topic: &str, readers: &[String]) -> Self {
        let readers = readers.join(", ");
        let message = format!("topic {topic:?} is read with state by {readers}");
        Self::new(StatusCode::CONFLICT, "E0429", message).hint(
            "keys would leave their state behind, and the plugin would be refused (E0466): \
             set `repartition` in their manifests to the partitions it has now, and it may grow",
        )
    }

    pub(super) fn unknown(kind: &str, name: &str, known: &[String]) -> Self {
        let error =
            Self::new(StatusCode::NOT_FOUND, "E0420", format!("there is no {kind} {name:?}"));
        if known.is_empty() {
            return error;
        }
        error.hint(format!("there is: {}", known.join(", ")))
    }

    pub(super) fn stateless(subscription: &str) -> Self {
        let message = format!("subscription {subscription:?} may keep no state");
        Self::new(StatusCode::CONFLICT, "E0432", message)
            .hint("its manifest grants none: `state = true` in [subscription.grants]")
    }

    pub(super) fn no_state(subscription: &str, key: &str, elsewhere: &[u32]) -> Self {
        let message = format!("subscription {subscription:?} keeps nothing of key {key:?} here");
        let error = Self::new(StatusCode::NOT_FOUND, "E0433", message);
        if elsewhere.is_empty() {
            return error.hint(format!("GET /state/{subscription} lists what there is"));
        }
        let partitions: Vec<String> = elsewhere.iter().map(ToString::to_string).collect();
        error.hint(format!("other hosts may: partitions {} are not here", partitions.join(", ")))
    }

    pub(super) fn unknown_topic(name: &str, near: &[String]) -> Self {
        let message = format!("there is no topic {name:?}");
        let error = Self::new(StatusCode::NOT_FOUND, "E0414", message);
        if near.is_empty() {
            return error.hint("GET /api/v1/topics lists those there are");
        }
        error.hint(format!("did you mean {}?", near.join(" or ")))
    }

    /// The schema of an event is not here, and may come.
    pub(super) fn away(away: Away) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, away.code, away.reason)
            .hint("GET /readyz says when all schemas are here");
        error.0.retry_after = Some(RETRY_SOON);
        error
    }

    pub(super) fn local_topic(name: &str) -> Self {
        let message = format!("topic {name:?} is local: only handlers publish and read there");
        Self::new(StatusCode::CONFLICT, "E0443", message)
            .hint("publish to the topic whose handler emits to it")
    }

    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "E0422", "the request was not finished")
            .hint("the host's log says more")
    }

    pub(super) fn media_type(media: &str) -> Self {
        let message = format!("CloudEvents as {media:?} are not understood");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "E0423", message)
            .hint("send application/cloudevents+json, its batch form, or binary mode")
    }

    pub(super) fn no_key(pointer: &str) -> Self {
        let message = format!("the event has no key at {pointer:?}, where its topic looks");
        Self::new(StatusCode::BAD_REQUEST, "E0424", message)
            .hint("send it there, as the extension `partitionkey`, or as ?key=")
    }

    pub(super) fn foreign_origin(origin: &str) -> Self {
        let message = format!("a page of {origin} may not change or follow this host");
        Self::new(StatusCode::FORBIDDEN, "E0425", message).hint(
            "call it from a server, or from a page of its own origin or of `origins` of [http]",
        )
    }

    pub(super) fn header(name: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "E0403", format!("header {name:?} is not UTF-8"))
            .hint("percent-encode what is not ASCII")
    }

    /// All violations of an invalid CloudEvent.
    pub(super) fn invalid(invalid: Invalid) -> Self {
        let mut error = Self::new(StatusCode::BAD_REQUEST, invalid.code, invalid.to_string());
        error.0.body.violations = invalid.violations;
        error
    }
}

impl From<Unroutable> for ApiError {
    fn from(unroutable: Unroutable) -> Self {
        match unroutable {
            Unroutable::Unknown(refusal) => Self::from(refusal),
            Unroutable::NotReady(reason) => Self::no_handler(&reason),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let status = match (error.code(), error.class()) {
            ("E0209", _) => StatusCode::INSUFFICIENT_STORAGE,
            ("E0210" | "E0211", _) => StatusCode::SERVICE_UNAVAILABLE,
            ("E0212", _) => StatusCode::CONFLICT,
            ("E0213" | "E0214", _) => StatusCode::NOT_FOUND,
            (_, Class::Reject) => StatusCode::BAD_REQUEST,
            (_, Class::Retry | Class::Fatal) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut answer =
            Self::new(status, error.code(), crate::error::chain(&error)).hint(error.hint());
        answer.0.retry_after = match status {
            StatusCode::INSUFFICIENT_STORAGE => Some(RETRY_LATER),
            StatusCode::SERVICE_UNAVAILABLE => Some(RETRY_SOON),
            _ => None,
        };
        answer
    }
}

impl From<broker::Error> for ApiError {
    fn from(error: broker::Error) -> Self {
        match error {
            broker::Error::Store(error) => Self::from(error),
            broker::Error::Kafka(error) => Self::from(error),
        }
    }
}

impl From<broker::Failed> for ApiError {
    fn from(failed: broker::Failed) -> Self {
        match failed {
            broker::Failed::Store(failed) => Self::from(failed),
            broker::Failed::Kafka(error) => Self::from(error),
        }
    }
}

impl From<KafkaError> for ApiError {
    fn from(error: KafkaError) -> Self {
        let status = match error.class() {
            KafkaClass::Retry | KafkaClass::Fatal => StatusCode::SERVICE_UNAVAILABLE,
            KafkaClass::Reject => match error.code() {
                "E0605" => StatusCode::FORBIDDEN,
                "E0606" | "E0609" | "E0610" => StatusCode::NOT_FOUND,
                "E0607" | "E0611" => StatusCode::CONFLICT,
                "E0612" => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            },
        };
        let mut answer =
            Self::new(status, error.code(), crate::error::chain(&error)).hint(error.hint());
        answer.0.retry_after = (error.class() == KafkaClass::Retry).then_some(RETRY_SOON);
        answer
    }
}

impl From<GroupsError> for ApiError {
    fn from(error: GroupsError) -> Self {
        let status = match error {
            GroupsError::Kafka(error) => return Self::from(error),
            GroupsError::Embedded | GroupsError::Nothing { .. } | GroupsError::NoState { .. } => {
                StatusCode::CONFLICT
            }
            GroupsError::StateShared { .. } | GroupsError::Forwarded { .. } => {
                StatusCode::BAD_REQUEST
            }
            GroupsError::Secret(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let answer = Self::new(status, error.code(), error.to_string());
        match error.hint() {
            Some(hint) => answer.hint(hint),
            None => answer,
        }
    }
}

impl From<ReplayError> for ApiError {
    fn from(error: ReplayError) -> Self {
        let status = match error.class() {
            ReplayClass::Reject => StatusCode::BAD_REQUEST,
            ReplayClass::Conflict => StatusCode::CONFLICT,
            ReplayClass::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.code(), crate::error::chain(&error)).hint(error.hint())
    }
}

impl From<RebuildError> for ApiError {
    fn from(error: RebuildError) -> Self {
        if let RebuildError::Snapshot(error) = error {
            return Self::from(error);
        }
        // What is found out later is told with the rebuild itself.
        Self::new(StatusCode::CONFLICT, error.code(), crate::error::chain(&error))
            .hint(error.hint())
    }
}

impl From<Failed> for ApiError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Closed => Self::stopping(),
            Failed::Low(error)
            | Failed::Busy(error)
            | Failed::Rejected(error)
            | Failed::Io(error) => Self::from(error),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown { kind: "topic", name, known } => Self::unknown_topic(&name, &known),
            Refusal::Unknown { kind, name, known } => Self::unknown(kind, &name, &known),
            Refusal::Local(topic) => Self::local_topic(&topic),
            Refusal::Impossible(reason) => Self::new(StatusCode::CONFLICT, "E0421", reason),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Refused { status, body, retry_after, allow, asks_for_token } = *self.0;
        let body = axum::Json(serde_json::json!({ "error": body }));
        let mut response = (status, body).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        if asks_for_token {
            let challenge = HeaderValue::from_static("Bearer realm=\"gristmill\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
