//! Owns how reading or writing topics fails, wherever they live. It decides nothing.

use gristmill_kafka::Error as KafkaError;
use gristmill_store::Error as StoreError;

/// Why topics or state cannot be read or changed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    /// The store says so.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Kafka says so.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

impl Error {
    /// Stable code, whoever says so.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Kafka(error) => error.code(),
        }
    }
}

/// Why a write did not become durable.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failed {
    /// The store says so.
    #[error(transparent)]
    Store(#[from] gristmill_store::Failed),
    /// Kafka says so.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => Self::Store(gristmill_store::Failed::Io(error)),
            Error::Kafka(error) => Self::Kafka(error),
        }
    }
}

/// What was asked about a topic; `None` when that is gone, because somebody deleted it.
///
/// # Errors
///
/// Whatever else went wrong.
pub(crate) fn if_there<T>(asked: Result<T, Error>) -> Result<Option<T>, Error> {
    match asked {
        Err(
            Error::Store(StoreError::TopicUnknown { .. })
            | Error::Kafka(KafkaError::TopicUnknown { .. }),
        ) => Ok(None),
        asked => asked.map(Some),
    }
}
