//! Answers operators about rows that cannot be published, and does what they ask of them. It
//! publishes nothing.

use std::fmt;

use gristmill_outbox::{Error as DatabaseError, Row};
use serde::Serialize;

use super::event::Misfit;
use super::relay::Relay;

/// A row that is parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ParkedRow {
    pub(crate) id: String,
    /// Its key, or its topic where it has none: what waits behind it.
    pub(crate) aggregate: String,
    pub(crate) code: String,
    pub(crate) reason: String,
}

/// A row as it stands in its table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    pub(crate) parked: ParkedRow,
    pub(crate) topic: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) r#type: Option<String>,
    pub(crate) headers: Option<String>,
    /// Its data, as far as it is text.
    pub(crate) payload: Option<String>,
}

/// Why an operator is not answered.
#[derive(Debug)]
pub(crate) enum DeskError {
    /// The database says so.
    Database(DatabaseError),
    /// No such row is parked: in the table, or, where that has no column for reasons, on this host.
    NotParked(String),
}

impl Relay {
    /// Up to `limit` rows that are parked: of the table where that has a column for reasons, else
    /// of this host's shards.
    pub(crate) async fn parked_rows(&self, limit: u32) -> Result<Vec<ParkedRow>, DeskError> {
        let session = self.database.session().await?;
        if !session.writes_reasons() {
            let state = self.state();
            let own = state.parked.iter();
            let own =
                own.map(|(id, held)| parked(id.clone(), held.aggregate.clone(), &held.misfit));
            return Ok(own.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect());
        }
        let found = session.parked(None, limit).await?;
        let row = |it: gristmill_outbox::Parked| {
            parked(it.id, it.aggregate, &Misfit::from_text(&it.reason))
        };
        Ok(found.into_iter().map(row).collect())
    }

    /// One of them, with what its columns hold.
    pub(crate) async fn parked_row(&self, id: &str) -> Result<Shown, DeskError> {
        let parked = self.find(std::slice::from_ref(&id.to_owned())).await?.pop();
        let session = self.database.session().await?;
        let (Some(parked), Some(row)) = (parked, session.row(id).await?) else {
            return Err(DeskError::NotParked(id.to_owned()));
        };
        let Row { topic, key, kind, headers, payload, .. } = row;
        let payload = payload.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Shown { parked, topic, key, r#type: kind, headers, payload })
    }

    /// Lets these rows be tried again, or all. How many it was.
    pub(crate) async fn retry(&self, ids: Option<&[String]>) -> Result<u64, DeskError> {
        let session = self.database.session().await?;
        if let Some(ids) = ids {
            self.find(ids).await?;
        }
        let mut retried = session.retry(ids).await?;
        let mut state = self.state();
        let is_meant = |id: &String| ids.is_none_or(|ids| ids.contains(id));
        retried.extend(state.parked.keys().filter(|id| is_meant(id)).cloned());
        state.parked.retain(|id, _| !is_meant(id));
        drop(state);
        retried.sort_unstable();
        retried.dedup();
        tracing::info!(target: "gristmill::audit", outbox = self.name, rows = ?retried,
            "parked rows are tried again, by an operator");
        self.database.tell();
        Ok(u64::try_from(retried.len()).unwrap_or(u64::MAX))
    }

    /// Gives these rows up: they are marked as published, or deleted, and never are. How many it
    /// was.
    pub(crate) async fn discard(&self, ids: &[String]) -> Result<u64, DeskError> {
        self.find(ids).await?;
        let session = self.database.session().await?;
        let discarded = session.mark(ids).await?;
        self.state().parked.retain(|id, _| !ids.contains(id));
        tracing::warn!(target: "gristmill::audit", outbox = self.name, rows = ?ids,
            "parked rows are discarded, by an operator");
        self.database.tell();
        Ok(discarded)
    }

    /// These rows, each of which must be parked.
    async fn find(&self, ids: &[String]) -> Result<Vec<ParkedRow>, DeskError> {
        let parked = self.parked_rows(u32::MAX).await?;
        let missing = ids.iter().find(|id| parked.iter().all(|row| row.id != **id));
        if let Some(missing) = missing {
            return Err(DeskError::NotParked(missing.clone()));
        }
        Ok(parked.into_iter().filter(|row| ids.contains(&row.id)).collect())
    }
}

fn parked(id: String, aggregate: String, misfit: &Misfit) -> ParkedRow {
    let Misfit { code, reason } = misfit.clone();
    ParkedRow { id, aggregate, code, reason }
}

impl From<DatabaseError> for DeskError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for DeskError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => out.write_str(&crate::error::chain(error)),
            Self::NotParked(id) => write!(out, "no row {id:?} is parked"),
        }
    }
}
