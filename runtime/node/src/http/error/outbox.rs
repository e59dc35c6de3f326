//! How questions about outboxes fail.

use axum::http::StatusCode;
use gristmill_outbox::Class;

use super::{ApiError, RETRY_SOON};
use crate::outbox::DeskError;

impl From<DeskError> for ApiError {
    fn from(error: DeskError) -> Self {
        let message = error.to_string();
        match error {
            DeskError::NotParked(_) => Self::new(StatusCode::NOT_FOUND, "E0420", message)
                .hint("GET /api/v1/outbox/{outbox}/rows lists those that are"),
            DeskError::Database(error) => {
                let answer = Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), message);
                let mut answer = answer.hint("GET /api/v1/outbox says how the outbox stands");
                answer.0.retry_after = (error.class() == Class::Retry).then_some(RETRY_SOON);
                answer
            }
        }
    }
}
