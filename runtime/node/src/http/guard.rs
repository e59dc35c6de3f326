//! Stands before and behind every handler: counts answers, refuses what no handler wants and what
//! a foreign web page sends. It never looks into a body.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gristmill_config::HttpOrigin;

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

/// Refuses changes, and WebSockets, that a web page of another origin asks a browser for, unless
/// the configuration admits it. Without credentials a host on loopback would otherwise obey any
/// page its operator opens, and tell it everything: what comes over a WebSocket a browser shows to
/// any page. Answers to a page that is admitted say so, or the browser would keep them from it.
pub(super) async fn pages(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Some(page) = foreign_page(request.headers()) else { return next.run(request).await };
    if !is_admitted(&page, &api.host.shared().config.http.origins) {
        if request.method().is_safe() && !stream::asks_for_socket(request.headers()) {
            return next.run(request).await;
        }
        return ApiError::foreign_origin(&page).into_response();
    }
    let mut response = match allowances(&request) {
        Some(allowed) => (StatusCode::NO_CONTENT, allowed).into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    if let Ok(page) = HeaderValue::from_str(&page) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, page);
    }
    response
}

pub(super) async fn no_route(method: Method, uri: Uri) -> ApiError {
    ApiError::no_route(method.as_str(), uri.path())
}

/// The origin of the page that a request comes from, where it is not this host's own.
fn foreign_page(headers: &HeaderMap) -> Option<String> {
    let origin = String::from_utf8_lossy(headers.get(header::ORIGIN)?.as_bytes()).into_owned();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    (authority.is_none() || authority != host).then_some(origin)
}

fn is_admitted(page: &str, origins: &[HttpOrigin]) -> bool {
    // A page without an origin, such as a file, says `null`.
    HttpOrigin::new(page).is_some_and(|page| origins.iter().any(|it| it.covers(&page)))
}

/// What a page may send, where a browser asks before it does (source: Fetch, CORS-preflight
/// request). Headers are as asked for: `*` would leave out `authorization`.
fn allowances(request: &Request) -> Option<HeaderMap> {
    let asked = request.headers();
    let is_question = request.method() == Method::OPTIONS
        && asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    is_question.then(|| {
        let mut allowed = HeaderMap::new();
        let methods = HeaderValue::from_static("GET, POST, DELETE");
        allowed.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            allowed.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        allowed
    })
}
