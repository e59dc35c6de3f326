//! Owns what a table is and how its database is reached, as whoever opens it says. It decides
//! nothing.

use std::fmt;

use tokio_postgres::Config;

use crate::error::{Cause, Error};

/// A table, and how it is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Parameters of the database, as libpq names them; they may be secret.
    pub database: Vec<(String, String)>,
    /// The table, with its schema before a dot or without.
    pub table: String,
    /// What its columns mean, each role at most once.
    pub columns: Vec<Column>,
    /// What the column of that role holds of a row that is to be published.
    pub pending: String,
    /// What it holds of one that is published.
    pub published: String,
    /// Whether rows are kept when they are published, where a column can say that they are.
    pub keeps: bool,
    /// Who holds its shards: those of one name share them, and others wait.
    pub owner: String,
    /// Parts it is shared out in, 1 to 64.
    pub shards: u32,
    /// Channel on which the database tells of new rows.
    pub notify: Option<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What it means.
    pub role: Role,
    /// What it is called; letters keep their case.
    pub name: String,
    /// Whether it must be there.
    pub is_needed: bool,
}

/// What a column means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Which row it is.
    Id,
    /// What rows are ordered by.
    Order,
    /// What its topic is made of.
    Topic,
    /// The aggregate.
    Key,
    /// The event's type.
    Type,
    /// The event's version.
    Version,
    /// The event's data.
    Payload,
    /// Further headers.
    Headers,
    /// The event's source.
    Source,
    /// When it happened.
    Time,
    /// The correlation id.
    Correlation,
    /// The trace context.
    Trace,
    /// A word for whether it is published.
    Status,
    /// When it was published.
    Published,
    /// Why it cannot be.
    Error,
}

impl Role {
    /// What a row has beside its id, its payload and its time, as text.
    pub(crate) const TEXTS: [Self; 8] = [
        Self::Topic,
        Self::Key,
        Self::Type,
        Self::Version,
        Self::Headers,
        Self::Source,
        Self::Correlation,
        Self::Trace,
    ];
}

impl fmt::Debug for Settings {
    /// Without what may be secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Settings")
            .field("table", &self.table)
            .field("columns", &self.columns)
            .field("owner", &self.owner)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

/// Whether these parameters of a database can be used.
///
/// # Errors
///
/// [`Error::Parameters`].
pub fn check(database: &[(String, String)]) -> Result<(), Error> {
    config(database).map(drop)
}

/// The same as the client takes them.
pub(crate) fn config(database: &[(String, String)]) -> Result<Config, Error> {
    let mut text = String::new();
    for (name, value) in database {
        let value = value.replace('\\', "\\\\").replace('\'', "\\'");
        text = format!("{text}{name} = '{value}' ");
    }
    text.parse().map_err(|error| Error::Parameters { source: Cause::of(&error) })
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::{Host, SslMode};

    use super::*;

    #[test]
    fn parameters_hold_any_text() {
        let pairs = [
            ("host", "db"),
            ("dbname", "shop"),
            ("password", "it's \\ so"),
            ("sslmode", "require"),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = config(&pairs).unwrap();
        assert_eq!(config.get_password(), Some(&b"it's \\ so"[..]));
        assert_eq!(config.get_hosts(), [Host::Tcp("db".to_owned())]);
        assert_eq!(config.get_ssl_mode(), SslMode::Require);
        let wrong = [("port".to_owned(), "many".to_owned())];
        assert!(matches!(check(&wrong), Err(Error::Parameters { .. })));
    }
}
