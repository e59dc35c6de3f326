//! Decides who may use which route: whoever has a token with the role that it needs, for the topic
//! that it names. It never keeps or shows a token.

use std::collections::BTreeMap;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gristmill_config::{HostConfig, Role, TokenConfig, TopicNames};
use gristmill_engine::Instant;
use sha2::{Digest, Sha256};

use super::Api;
use super::error::ApiError;

/// Who is admitted, and what each route needs.
#[derive(Debug)]
pub(super) struct Access {
    /// Name and rights of each token, by its hash.
    tokens: BTreeMap<[u8; 32], (String, TokenConfig)>,
    /// Methods with their roles, by path.
    needs: BTreeMap<&'static str, &'static [super::Method]>,
    /// What topics are called on the broker.
    names: TopicNames,
    /// The topic that each command goes to.
    commands: BTreeMap<String, String>,
}

/// What a request is about, as far as access depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About<'a> {
    /// A topic, or a command's.
    Topic(&'a str),
    /// Anything else.
    Host,
}

impl Access {
    /// As the configuration says, for routes that need these roles.
    pub(super) fn new(
        config: &HostConfig,
        needs: impl IntoIterator<Item = (&'static str, &'static [super::Method])>,
    ) -> Self {
        let tokens = config.tokens.iter();
        let commands = config.commands.named.iter();
        Self {
            tokens: tokens.map(|(name, it)| (it.hash, (name.clone(), it.clone()))).collect(),
            needs: needs.into_iter().collect(),
            names: config.topics.names.clone(),
            commands: commands.map(|(name, it)| (name.clone(), it.topic.clone())).collect(),
        }
    }

    /// The name of the token that admits a request, and the role it needs; `None` where nobody
    /// needs one.
    fn check(
        &self,
        (path, method): (&str, &Method),
        params: &[(&str, &str)],
        (headers, now): (&HeaderMap, Instant),
    ) -> Result<Option<(&str, Role)>, ApiError> {
        if self.tokens.is_empty() {
            return Ok(None);
        }
        let method = method.as_str().to_ascii_lowercase();
        // The body of an answer to HEAD is left out after the handler of GET.
        let method = if method == "head" { "get" } else { method.as_str() };
        let mut methods = self.needs.get(path).copied().unwrap_or_default().iter();
        let need = methods.find(|(name, _)| *name == method).and_then(|(_, role)| *role);
        let Some(role) = need else { return Ok(None) };
        let (name, token) = self.token(headers)?;
        if token.expires.is_some_and(|end| now >= end) {
            return Err(ApiError::unknown_token("it has expired"));
        }
        if !token.roles.contains(&role) {
            return Err(ApiError::short_of_role(name, role.name()));
        }
        match self.about(path, params) {
            About::Topic(topic) if token.topics.iter().any(|it| it.matches(topic)) => {
                Ok(Some((name, role)))
            }
            About::Topic(topic) => Err(ApiError::short_of_topic(name, topic)),
            About::Host if token.is_unbounded() => Ok(Some((name, role))),
            About::Host => Err(ApiError::short_of_all(name)),
        }
    }

    /// The token that comes with a request (source: RFC 6750, section 2.1).
    fn token(&self, headers: &HeaderMap) -> Result<(&str, &TokenConfig), ApiError> {
        let Some(given) = headers.get(header::AUTHORIZATION) else {
            let offered = bearer_protocol(headers);
            return self.known(offered.ok_or_else(|| ApiError::unknown_token("there is none"))?);
        };
        let (scheme, token) =
            given.to_str().ok().and_then(|it| it.split_once(' ')).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(ApiError::unknown_token("it is no bearer token"));
        }
        self.known(token.trim())
    }

    fn known(&self, token: &str) -> Result<(&str, &TokenConfig), ApiError> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let known = self.tokens.get(&hash).map(|(name, token)| (name.as_str(), token));
        known.ok_or_else(|| ApiError::unknown_token("it is not known here"))
    }

    fn about<'a>(&'a self, path: &str, params: &[(&str, &'a str)]) -> About<'a> {
        let param = |name: &str| params.iter().find(|(it, _)| *it == name).map(|(_, value)| *value);
        let of_topic = ["/topics/{topic}", "/api/v1/topics/{topic}"];
        if of_topic.iter().any(|prefix| path.starts_with(prefix)) {
            let topic = param("topic").map(|topic| self.names.on_broker(topic));
            return topic.map_or(About::Host, About::Topic);
        }
        if path.starts_with("/commands/") {
            let topic = param("command").and_then(|name| self.commands.get(name));
            return topic.map_or(About::Host, |topic| About::Topic(topic));
        }
        About::Host
    }
}

/// The token that a WebSocket offers as a protocol, `bearer.TOKEN`: a browser lets no page set a
/// header of it.
fn bearer_protocol(headers: &HeaderMap) -> Option<&str> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let mut offered = offered.split(',').map(str::trim);
    offered.find_map(|protocol| protocol.strip_prefix("bearer."))
}

/// Refuses whoever may not.
pub(super) async fn admit(
    State(api): State<Api>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    // A path that no route matches has none.
    let params: Vec<(&str, &str)> = params.iter().flatten().collect();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let path = matched.as_ref().map_or("", MatchedPath::as_str);
    let now = api.host.shared().clock.now();
    match api.access.check((path, request.method()), &params, (request.headers(), now)) {
        Ok(admitted) => {
            if let Some((token, Role::Operate)) = admitted {
                let (method, uri) = (request.method(), request.uri());
                tracing::info!(token, %method, %uri, "an operator's change is asked for");
            }
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}
