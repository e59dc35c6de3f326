//! Reads parameters of a request: the query, JSON bodies, places in a topic. It knows no topic.

use std::collections::BTreeMap;

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use bytes::Bytes;
use gristmill_engine::Instant;
use serde::de::DeserializeOwned;

use super::Api;
use super::error::ApiError;
use crate::envelope::time;

/// The query of a request, by name; of a repeated name the last holds.
#[derive(Debug, Default)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl FromRequestParts<Api> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, ApiError> {
        let pairs: Query<Vec<(String, String)>> = Query::try_from_uri(&parts.uri)
            .map_err(|rejection| ApiError::json("the query", rejection.body_text()))?;
        Ok(Self(pairs.0.into_iter().collect()))
    }
}

impl Parameters {
    /// Refuses names that are not among `names`: a misspelt filter must not be ignored.
    pub(super) fn only(self, names: &[&str]) -> Result<Self, ApiError> {
        match self.0.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            Some((name, value)) => {
                Err(ApiError::parameter(name, value, &format!("one of {}", names.join(", "))))
            }
            None => Ok(self),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let read = |text: &str| {
            text.parse().map_err(|_no_number| ApiError::parameter(name, text, "a number from 0"))
        };
        self.text(name).map(read).transpose()
    }

    pub(super) fn is_set(&self, name: &str) -> Result<bool, ApiError> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(other) => Err(ApiError::parameter(name, other, "true or false")),
        }
    }

    /// A number between 1 and `max`.
    pub(super) fn limit(&self, default: usize, max: usize) -> Result<usize, ApiError> {
        let Some(text) = self.text("limit") else { return Ok(default) };
        text.parse()
            .ok()
            .filter(|limit| (1..=max).contains(limit))
            .ok_or_else(|| ApiError::parameter("limit", text, &format!("1 to {max}")))
    }

    /// A partition below `count`.
    pub(super) fn partition(&self, count: u32) -> Result<Option<u32>, ApiError> {
        let Some(text) = self.text("partition") else { return Ok(None) };
        let partition = text.parse().ok().filter(|partition| *partition < count);
        let wanted = || ApiError::parameter("partition", text, &format!("0 to {}", count - 1));
        partition.ok_or_else(wanted).map(Some)
    }

    /// Where to begin in a topic.
    pub(super) fn start(&self) -> Result<Option<Start>, ApiError> {
        let Some(text) = self.text("from") else { return Ok(None) };
        let moment = || text.parse().ok().map(Instant).or_else(|| time::parse(text));
        match text {
            "earliest" => Ok(Some(Start::Earliest)),
            "latest" => Ok(Some(Start::Latest)),
            _ => moment().map(|at| Some(Start::At(at))).ok_or_else(|| {
                let wanted = "earliest, latest, RFC 3339 or milliseconds since 1970";
                ApiError::parameter("from", text, wanted)
            }),
        }
    }
}

/// Where to begin in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// At the oldest event kept.
    Earliest,
    /// After the newest.
    Latest,
    /// At the first event not older than this.
    At(Instant),
}

/// The body of a request, at most as large as configured.
pub(super) fn body(api: &Api, body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    let max = api.host.shared().config.http.body_bytes_max.0;
    body.map_err(|rejection| ApiError::body(&rejection, max))
}

/// A JSON body; an empty one stands for the default.
pub(super) fn json<T: DeserializeOwned + Default>(
    api: &Api,
    body: Result<Bytes, BytesRejection>,
) -> Result<T, ApiError> {
    let bytes = self::body(api, body)?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&bytes).map_err(|error| ApiError::json("the body", error))
}
