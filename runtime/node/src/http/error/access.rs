//! How requests fail whose sender may not.

use axum::http::StatusCode;

use super::ApiError;

impl ApiError {
    pub(in crate::http) fn unknown_token(why: &str) -> Self {
        let message = format!("this host asks for a token, and {why}");
        let mut error = Self::new(StatusCode::UNAUTHORIZED, "E0441", message).hint(
            "send `Authorization: Bearer TOKEN`; `gristmill` takes it from GRISTMILL_TOKEN; \
             `gristmill token new` makes one",
        );
        error.0.asks_for_token = true;
        error
    }

    pub(in crate::http) fn short_of_role(token: &str, role: &str) -> Self {
        Self::forbidden(format!("token {token:?} has not the role `{role}`"))
            .hint(format!("its `roles` in [tokens.{token}] would have to name it"))
    }

    pub(in crate::http) fn short_of_topic(token: &str, topic: &str) -> Self {
        Self::forbidden(format!("token {token:?} is not for topic {topic:?}"))
            .hint(format!("its `topics` in [tokens.{token}] would have to match it"))
    }

    pub(in crate::http) fn short_of_all(token: &str) -> Self {
        Self::forbidden(format!("token {token:?} is for some topics only, and this is of no topic"))
            .hint(format!("`topics = [\"*\"]` in [tokens.{token}] would be for everything"))
    }

    fn forbidden(message: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "E0442", message)
    }
}
