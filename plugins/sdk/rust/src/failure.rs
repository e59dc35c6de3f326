//! Owns how a handler fails: retry or reject. It never decides when a retry happens.

use std::{error::Error, fmt, time::Duration};

use crate::{ConfigError, EmitError, PayloadError, StateError, TimerError};

/// What a handler answers. A failure voids everything it emitted, wrote and set.
pub type Outcome = Result<(), Failure>;

/// How a handler fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Trying again may help.
    Retry {
        /// Why; kept for operators.
        reason: String,
        /// Least delay; without it the subscription's retry policy decides.
        after: Option<Duration>,
    },
    /// Trying again never helps: the event becomes a dead letter now.
    Reject {
        /// Why; becomes `dlq-error-message`.
        reason: String,
        /// A stable word for it, such as `unknown-customer`; becomes `dlq-error-code`.
        code: Option<String>,
    },
}

/// Refuses the event for good, with a stable word for it and the reason.
pub fn reject(code: impl Into<String>, reason: impl fmt::Display) -> Failure {
    Failure::Reject { reason: reason.to_string(), code: Some(code.into()) }
}

/// Asks for another attempt when the subscription's retry policy sees fit.
pub fn retry(reason: impl fmt::Display) -> Failure {
    Failure::Retry { reason: reason.to_string(), after: None }
}

/// Asks for another attempt no earlier than `delay` from now, at most the subscription's
/// `retry_after_max` (default 1 h).
pub fn retry_after(delay: Duration, reason: impl fmt::Display) -> Failure {
    Failure::Retry { reason: reason.to_string(), after: Some(delay) }
}

impl Failure {
    /// The word of a rejection, if this is one that has a word.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Reject { code, .. } => code.as_deref(),
            Self::Retry { .. } => None,
        }
    }

    /// Why, for operators.
    pub fn reason(&self) -> &str {
        match self {
            Self::Reject { reason, .. } | Self::Retry { reason, .. } => reason,
        }
    }

    /// True when another attempt was asked for.
    pub const fn is_retry(&self) -> bool {
        matches!(self, Self::Retry { .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { reason, .. } => write!(out, "retry: {reason}"),
            Self::Reject { reason, code: None } => write!(out, "reject: {reason}"),
            Self::Reject { reason, code: Some(code) } => write!(out, "reject ({code}): {reason}"),
        }
    }
}

impl Error for Failure {}

/// Turns the errors and absences of any library into failures.
pub trait OrFail<T> {
    /// Rejects the event under this code.
    ///
    /// # Errors
    ///
    /// A [`Failure::Reject`] when there is no value.
    fn or_reject(self, code: &str) -> Result<T, Failure>;

    /// Asks for another attempt.
    ///
    /// # Errors
    ///
    /// A [`Failure::Retry`] when there is no value.
    fn or_retry(self) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> OrFail<T> for Result<T, E> {
    fn or_reject(self, code: &str) -> Result<T, Failure> {
        self.map_err(|error| reject(code, error))
    }

    fn or_retry(self) -> Result<T, Failure> {
        self.map_err(retry)
    }
}

impl<T> OrFail<T> for Option<T> {
    fn or_reject(self, code: &str) -> Result<T, Failure> {
        self.ok_or_else(|| reject(code, code.replace('-', " ")))
    }

    fn or_retry(self) -> Result<T, Failure> {
        self.ok_or_else(|| retry("a value is not there yet"))
    }
}

impl From<PayloadError> for Failure {
    fn from(error: PayloadError) -> Self {
        reject("payload", chain(&error))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        reject("json", error)
    }
}

impl From<EmitError> for Failure {
    fn from(error: EmitError) -> Self {
        reject(error.code(), chain(&error))
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        match error.code() {
            Some(code) => reject(code, chain(&error)),
            None => retry(chain(&error)),
        }
    }
}

impl From<TimerError> for Failure {
    fn from(error: TimerError) -> Self {
        reject(error.code(), error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Unavailable(_) => retry(error),
            ConfigError::Missing(_) | ConfigError::Malformed { .. } => reject("config", error),
        }
    }
}

/// The error and its sources in one line: an operator sees nothing but this text.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;

    #[test]
    fn a_payload_of_another_shape_is_a_rejection_that_says_where() {
        let event = Event { payload: b"{\"seat\": 1}".to_vec(), ..Event::default() };
        let read = || -> Result<Vec<u8>, Failure> { Ok(event.json()?) };
        let failure = read().unwrap_err();
        assert_eq!(failure.code(), Some("payload"));
        assert!(failure.reason().starts_with("read payload as JSON: invalid type: map"));
        assert!(failure.reason().ends_with("line 1 column 0"), "{failure}");
    }

    #[test]
    fn an_unavailable_store_is_retried_and_nothing_else() {
        for (failure, code) in [
            (StateError::Unavailable("store is full".into()).into(), None),
            (ConfigError::Unavailable("no answer".into()).into(), None),
            (StateError::TooLarge { bytes_max: 1 }.into(), Some("state-too-large")),
            (EmitError::UnknownTopic("carts".into()).into(), Some("emit-unknown-topic")),
            (TimerError::LimitReached(9).into(), Some("timer-limit")),
            (ConfigError::Missing("limit".into()).into(), Some("config")),
        ] as [(Failure, Option<&str>); 6]
        {
            assert_eq!(failure.code(), code, "{failure}");
            assert_eq!(failure.is_retry(), code.is_none(), "{failure}");
        }
    }

    #[test]
    fn any_error_can_be_rejected_or_retried() {
        assert_eq!("x".parse::<u8>().or_reject("seat").unwrap_err().code(), Some("seat"));
        assert!("x".parse::<u8>().or_retry().unwrap_err().is_retry());
        let absent = None::<u8>.or_reject("no-such-seat").unwrap_err();
        assert_eq!(absent.to_string(), "reject (no-such-seat): no such seat");
        assert!(None::<u8>.or_retry().unwrap_err().is_retry());
        assert_eq!(Some(1).or_retry(), Ok(1));
    }

    #[test]
    fn a_delay_travels_with_the_retry() {
        let failure = retry_after(Duration::from_secs(3), "closed until noon");
        let after = Some(Duration::from_secs(3));
        assert_eq!(failure, Failure::Retry { reason: "closed until noon".into(), after });
        assert_eq!(failure.to_string(), "retry: closed until noon");
    }
}
