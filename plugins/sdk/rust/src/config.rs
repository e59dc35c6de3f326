//! Owns a handler's view of its manifest's configuration. It never reads the environment.

use std::{error::Error, fmt, str::FromStr};

use crate::host::Imports;

/// The manifest's `grants.config`, read-only.
#[derive(Debug)]
pub struct Config<'host> {
    pub(crate) imports: &'host Imports,
}

impl Config<'_> {
    /// The value of `key`, if the manifest has one.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unavailable`] when the host cannot answer; `?` retries the event.
    pub fn get(&self, key: &str) -> Result<Option<String>, ConfigError> {
        self.imports.config_get(key)
    }

    /// The value of `key` read as `T`, or `default` without one.
    ///
    /// # Errors
    ///
    /// As [`Config::get`], and [`ConfigError::Malformed`]; `?` rejects the event.
    pub fn get_or<T: FromStr>(&self, key: &str, default: T) -> Result<T, ConfigError> {
        let Some(value) = self.get(key)? else {
            return Ok(default);
        };
        value.parse().map_err(|_| ConfigError::Malformed { key: key.to_owned(), value })
    }

    /// The value of `key` read as `T`.
    ///
    /// # Errors
    ///
    /// As [`Config::get_or`], and [`ConfigError::Missing`]; `?` rejects the event.
    pub fn require<T: FromStr>(&self, key: &str) -> Result<T, ConfigError> {
        let Some(value) = self.get(key)? else {
            return Err(ConfigError::Missing(key.to_owned()));
        };
        value.parse().map_err(|_| ConfigError::Malformed { key: key.to_owned(), value })
    }

    /// Every key and its value.
    ///
    /// # Errors
    ///
    /// As [`Config::get`].
    pub fn all(&self) -> Result<Vec<(String, String)>, ConfigError> {
        self.imports.config_all()
    }
}

/// Why a configured value cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The host cannot answer; why.
    Unavailable(String),
    /// The manifest's `grants.config` lacks this key.
    Missing(String),
    /// The value is not of the type the handler asks for.
    Malformed {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(out, "configuration is unavailable: {why}"),
            Self::Missing(key) => write!(out, "configuration lacks {key:?} in grants.config"),
            Self::Malformed { key, value } => {
                write!(out, "configuration {key:?} cannot be {value:?}")
            }
        }
    }
}

impl Error for ConfigError {}
