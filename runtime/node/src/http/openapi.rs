//! Serves the description of the HTTP surface. A test holds it against the routes.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The document of this version, as it is in `docs`.
pub(super) const DOCUMENT: &str = include_str!("../../../../docs/openapi.json");

/// The OpenAPI document.
pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
