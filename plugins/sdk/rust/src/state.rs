//! Owns a handler's view of its key's state. It never shows the state of another key.

use std::{error::Error, fmt, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{host::Imports, time::millis};

/// Names asked for at a time by [`State::names`]; the most one page may have.
const PAGE_NAMES: u32 = 1_000;

/// State of the handled event's key.
///
/// Reads see the writes of this call and of events before it in the lane; writes become durable
/// with the event's checkpoint.
#[derive(Debug)]
pub struct State<'host> {
    pub(crate) imports: &'host mut Imports,
}

/// One page of names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Names in byte order.
    pub names: Vec<String>,
    /// Give it to the next call; none at the end.
    pub cursor: Option<String>,
}

impl State<'_> {
    /// The value under `name`, unless there is none or its time to live has passed.
    ///
    /// # Errors
    ///
    /// [`StateError`]; `?` retries or rejects as its kind asks for. The same holds for every
    /// function here.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.imports.state_get(name)
    }

    /// The JSON value under `name`.
    ///
    /// # Errors
    ///
    /// As [`State::get`], and [`StateError::Json`] when the value has another shape.
    pub fn get_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let Some(value) = self.get(name)? else {
            return Ok(None);
        };
        match serde_json::from_slice(&value) {
            Ok(value) => Ok(Some(value)),
            Err(source) => Err(StateError::Json { name: name.to_owned(), source }),
        }
    }

    /// Sets `name` to `value`, at most 1 MiB.
    ///
    /// # Errors
    ///
    /// As [`State::get`], and [`StateError::TooLarge`].
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), StateError> {
        self.imports.state_set(name, value, None)
    }

    /// Sets `name` to `value` until `time_to_live` after the handled event's time.
    ///
    /// # Errors
    ///
    /// As [`State::set`].
    pub fn set_for(
        &mut self,
        name: &str,
        value: &[u8],
        time_to_live: Duration,
    ) -> Result<(), StateError> {
        self.imports.state_set(name, value, Some(millis(time_to_live)))
    }

    /// Sets `name` to `value` as JSON.
    ///
    /// # Errors
    ///
    /// As [`State::set`], and [`StateError::Json`] when `value` has no JSON form.
    pub fn set_json<T: Serialize + ?Sized>(
        &mut self,
        name: &str,
        value: &T,
    ) -> Result<(), StateError> {
        match serde_json::to_vec(value) {
            Ok(value) => self.set(name, &value),
            Err(source) => Err(StateError::Json { name: name.to_owned(), source }),
        }
    }

    /// Deletes `name`; nothing happens when there is none.
    ///
    /// # Errors
    ///
    /// As [`State::get`].
    pub fn delete(&mut self, name: &str) -> Result<(), StateError> {
        self.imports.state_delete(name)
    }

    /// All names that begin with `prefix`, in byte order.
    ///
    /// # Errors
    ///
    /// As [`State::get`].
    pub fn names(&self, prefix: &str) -> Result<Vec<String>, StateError> {
        let mut page = self.page(prefix, None, PAGE_NAMES)?;
        let mut names = page.names;
        while let Some(cursor) = page.cursor {
            page = self.page(prefix, Some(&cursor), PAGE_NAMES)?;
            names.append(&mut page.names);
        }
        Ok(names)
    }

    /// Names that begin with `prefix`, at most `limit` (1 to 1,000) from `cursor` on.
    ///
    /// # Errors
    ///
    /// As [`State::get`].
    pub fn page(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Page, StateError> {
        self.imports.state_page(prefix, cursor, limit)
    }
}

/// Why a state call was refused.
#[derive(Debug)]
pub enum StateError {
    /// The manifest does not grant state; the text is the line that would.
    NotGranted(String),
    /// Larger than one value may be.
    TooLarge {
        /// The bytes it may have (default 1 MiB).
        bytes_max: u64,
    },
    /// The name is empty, longer than 1,024 bytes or begins with `local:`.
    InvalidName,
    /// The store is unavailable; `?` retries the event.
    Unavailable(String),
    /// A value is not the JSON that was expected, or has no JSON form.
    Json {
        /// Name of the value.
        name: String,
        /// How it differs.
        source: serde_json::Error,
    },
}

impl StateError {
    /// The stable word that `?` rejects the event with; none when `?` retries it.
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::NotGranted(_) => Some("state-not-granted"),
            Self::TooLarge { .. } => Some("state-too-large"),
            Self::InvalidName => Some("state-name"),
            Self::Json { .. } => Some("state-json"),
            Self::Unavailable(_) => None,
        }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted(line) => write!(out, "state is not granted; grant: {line}"),
            Self::TooLarge { bytes_max } => write!(out, "state value is over {bytes_max} bytes"),
            Self::InvalidName => out.write_str(
                "name of a state value is not 1 to 1,024 bytes, or begins with `local:`",
            ),
            Self::Unavailable(why) => write!(out, "state is unavailable: {why}"),
            Self::Json { name, .. } => write!(out, "state value {name:?} as JSON"),
        }
    }
}

impl Error for StateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Json { source, .. } => Some(source),
            Self::NotGranted(_)
            | Self::TooLarge { .. }
            | Self::InvalidName
            | Self::Unavailable(_) => None,
        }
    }
}
