//! How commands fail that are not sent, not answered, or answered with a failure.

use std::time::Duration;

use axum::http::StatusCode;

use super::{ApiError, RETRY_LATER, RETRY_SOON};
use crate::envelope::DeadLetterView;

/// Code of a command that was not answered in time.
const LATE: &str = "E0436";

impl ApiError {
    pub(in crate::http) fn command_media_type(media: &str) -> Self {
        let message = format!("a command is no CloudEvent of its own: {media:?}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "E0423", message)
            .hint("send its data, and attributes as `ce-` headers; the host gives it an id")
    }

    pub(in crate::http) fn no_handler(reason: &str) -> Self {
        let message = format!("the command cannot be handled: {reason}");
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "E0435", message)
            .hint("nothing was published; GET /api/v1/plugins says what is loaded, and why not");
        error.0.retry_after = Some(RETRY_SOON);
        error
    }

    pub(in crate::http) fn late(command: &str, patience: Duration, paused: Option<&str>) -> Self {
        let after = patience.as_secs_f64();
        let why = paused.map(|by| format!(": its subscription is paused ({by})"));
        let why = why.unwrap_or_default();
        let message = format!("command {command:?} was not answered within {after} s{why}");
        Self::new(StatusCode::GATEWAY_TIMEOUT, LATE, message).hint(
            "it is published and will be handled; sent again with the same Idempotency-Key it is \
             answered with what came of it",
        )
    }

    /// Whether a command was not answered in time.
    pub(in crate::http) fn is_late(&self) -> bool {
        self.0.body.code == LATE
    }

    pub(in crate::http) fn given_up(letter: &DeadLetterView) -> Self {
        let is_senders = matches!(letter.class.as_str(), "rejected" | "invalid");
        let status =
            if is_senders { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_GATEWAY };
        let code = letter.code.as_ref().map(|code| format!("{code}: ")).unwrap_or_default();
        let message =
            format!("the handler gave up on it, {}: {code}{}", letter.class, letter.message);
        Self::new(status, "E0437", message)
            .hint(format!("GET /api/v1/dlq/{}/events shows its dead letter", letter.subscription))
    }

    pub(in crate::http) fn fell_back(subscription: &str) -> Self {
        let message = format!("the breaker of subscription {subscription:?} is open");
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "E0438", message).hint(
            "the command went to the topic that the subscription falls back to; \
             `fallback_reply` of [commands] would answer it",
        );
        error.0.retry_after = Some(RETRY_LATER);
        error
    }

    pub(in crate::http) fn not_sent(command: &str, patience: Duration) -> Self {
        let after = patience.as_secs_f64();
        let message = format!("command {command:?} was not known to be published within {after} s");
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "E0439", message)
            .hint("send it again with the same Idempotency-Key: it is handled once");
        error.0.retry_after = Some(RETRY_SOON);
        error
    }

    pub(in crate::http) fn too_many_commands(max: u32) -> Self {
        let message = format!("{max} senders of commands wait, which is all there may be");
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "E0440", message)
            .hint("nothing was published; send it later, or raise `waiting_max` of [commands]");
        error.0.retry_after = Some(RETRY_SOON);
        error
    }

    pub(in crate::http) fn stopping_unanswered() -> Self {
        let mut error = Self::stopping();
        let hint = "it is published and will be handled; send it again with the same \
                    Idempotency-Key when the host is back";
        error.0.body.hint = Some(hint.to_owned());
        error
    }
}
