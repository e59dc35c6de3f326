//! Stands before and behind every handler: counts answers, refuses what no handler wants and what
//! a foreign web page sends. It never looks into a body.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::{Api, stream};

/// Counts every answer by route and status.
pub(super) async fn count(State(api): State<Api>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let method = request.method().clone();
    let response = next.run(request).await;
    // Paths nobody serves are one route: whoever invents them must not invent label values.
    let route = path.map_or_else(|| "unknown".to_owned(), |path| format!("{method} {path}"));
    api.host.shared().metrics.http_answered(&route, response.status().as_u16());
    response
}

/// Refuses changes, and WebSockets, that a web page of another origin asks a browser for. Without
/// credentials a host on loopback would otherwise obey any page its operator opens, and tell it
/// everything: what comes over a WebSocket a browser shows to any page.
pub(super) async fn same_origin(request: Request, next: Next) -> Response {
    match foreign_origin(request.method(), request.headers()) {
        Some(origin) => ApiError::foreign_origin(&origin).into_response(),
        None => next.run(request).await,
    }
}

pub(super) async fn no_route(method: Method, uri: Uri) -> ApiError {
    ApiError::no_route(method.as_str(), uri.path())
}

fn foreign_origin(method: &Method, headers: &HeaderMap) -> Option<String> {
    if method.is_safe() && !stream::asks_for_socket(headers) {
        return None;
    }
    let origin = String::from_utf8_lossy(headers.get(header::ORIGIN)?.as_bytes()).into_owned();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    (authority.is_none() || authority != host).then_some(origin)
}
