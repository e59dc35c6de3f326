//! One session with a database: what a shard's holder does with rows, and what operators ask. It
//! decides nothing; after an error it must not be used again.

use std::fmt;
use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row as Native, Statement};

use crate::connect::answer;
use crate::error::Error;
use crate::row::{Claimed, Parked, Row};
use crate::settings::{Role, Settings};
use crate::statements::Statements;

/// A session. Dropping it ends it, and gives up whatever it holds.
pub struct Session {
    pub(crate) client: Client,
    pub(crate) settings: Arc<Settings>,
    pub(crate) statements: Statements,
    claim: OnceCell<Statement>,
    mark: OnceCell<Statement>,
}

impl Session {
    pub(crate) fn new(client: Client, settings: Arc<Settings>, statements: Statements) -> Self {
        let (claim, mark) = (OnceCell::new(), OnceCell::new());
        Self { client, settings, statements, claim, mark }
    }

    /// Whether reasons are written into the table.
    pub fn writes_reasons(&self) -> bool {
        self.statements.parking.is_some()
    }

    /// Whether published rows stay in the table for a while.
    pub fn keeps(&self) -> bool {
        self.statements.keeps
    }

    /// Takes a shard for as long as the session lives; false when somebody else has it.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and the like.
    pub async fn hold(&self, shard: u32) -> Result<bool, Error> {
        let shard = number(shard);
        let lock = "SELECT pg_try_advisory_lock($1, $2)";
        let rows = self.ask("hold a shard of", lock, &[&self.statements.class, &shard]).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// Begins a transaction, and claims up to `limit` rows of a shard in their order, none of the
    /// aggregates `without`. They stay locked until [`Session::commit`] or the session's end.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and the like.
    pub async fn claim(
        &self,
        shard: u32,
        limit: u32,
        without: &[String],
    ) -> Result<Claimed, Error> {
        let doing = self.doing("claim rows of");
        let preparing = || self.client.prepare(&self.statements.claim);
        let claim = answer(&doing, self.claim.get_or_try_init(preparing)).await?;
        let (shard, limit) = (number(shard), i64::from(limit));
        // Whatever the database's own default is: a row is seen as it is now, not as it was.
        answer(&doing, self.client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED")).await?;
        let rows = answer(&doing, self.client.query(claim, &[&shard, &without, &limit])).await?;
        let mut claimed = Claimed::default();
        for row in rows {
            let is_held: bool =
                row.try_get("is_held").map_err(|error| Error::of(&*doing, &error))?;
            let row = read(&row).map_err(|error| Error::of(&*doing, &error))?;
            if !is_held {
                claimed.rows.push(row);
            } else if !claimed.held.contains(&row.aggregate) {
                claimed.held.push(row.aggregate);
            }
        }
        Ok(claimed)
    }

    /// Marks rows as published, or deletes them, where they are still pending. How many it was.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and the like.
    pub async fn mark(&self, ids: &[String]) -> Result<u64, Error> {
        if ids.is_empty() {
            return Ok(0);
        }
        let doing = self.doing("mark rows of");
        let preparing = || self.client.prepare(&self.statements.mark);
        let mark = answer(&doing, self.mark.get_or_try_init(preparing)).await?;
        answer(&doing, self.client.execute(mark, &[&ids])).await
    }

    /// Writes down why a row cannot be published, where the table has a column for that.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and the like.
    pub async fn park(&self, id: &str, reason: &str) -> Result<(), Error> {
        let Some(parking) = &self.statements.parking else { return Ok(()) };
        self.change("park a row of", &parking.park, &[&[id].as_slice(), &reason]).await.map(drop)
    }

    /// Ends the transaction: what was marked in it is so.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and the like: nobody knows whether it is.
    pub async fn commit(&self) -> Result<(), Error> {
        answer(&self.doing("commit marks of"), self.client.batch_execute("COMMIT")).await
    }

    /// Ends the transaction: nothing was done in it.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and the like.
    pub async fn roll_back(&self) -> Result<(), Error> {
        answer(&self.doing("let go of rows of"), self.client.batch_execute("ROLLBACK")).await
    }

    /// Up to `limit` rows of a shard, or of all, that have a reason, in their order. None where the
    /// table has no column for reasons.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and the like.
    pub async fn parked(&self, shard: Option<u32>, limit: u32) -> Result<Vec<Parked>, Error> {
        let Some(parking) = &self.statements.parking else { return Ok(Vec::new()) };
        let (shard, limit) = (shard.map(number), i64::from(limit));
        let rows = self.ask("list parked rows of", &parking.list, &[&shard, &limit]).await?;
        let parked =
            |row: &Native| Parked { id: row.get(0), aggregate: row.get(1), reason: row.get(2) };
        Ok(rows.iter().map(parked).collect())
    }

    /// Takes the reasons of these rows away, or of all. Ids of those that had one.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and the like.
    pub async fn retry(&self, ids: Option<&[String]>) -> Result<Vec<String>, Error> {
        let Some(parking) = &self.statements.parking else { return Ok(Vec::new()) };
        let rows = self.ask("retry rows of", &parking.retry, &[&ids]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Those of these rows that are still to be published.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and the like.
    pub async fn still(&self, ids: &[String]) -> Result<Vec<String>, Error> {
        let rows = self.ask("look for rows of", &self.statements.still, &[&ids]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// One row, published or not.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and the like.
    pub async fn row(&self, id: &str) -> Result<Option<Row>, Error> {
        let what = "read a row of";
        let rows = self.ask(what, &self.statements.row, &[&[id].as_slice()]).await?;
        rows.first().map(read).transpose().map_err(|error| Error::of(self.doing(what), &error))
    }

    /// Rows that a question is answered with.
    pub(crate) async fn ask(
        &self,
        what: &str,
        question: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Native>, Error> {
        answer(&self.doing(what), self.client.query(question, values)).await
    }

    /// How many rows a change changes.
    pub(crate) async fn change(
        &self,
        what: &str,
        change: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        answer(&self.doing(what), self.client.execute(change, values)).await
    }

    /// What is being done to the table.
    pub(crate) fn doing(&self, what: &str) -> String {
        format!("{what} table {:?}", self.settings.table)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Session").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A number as PostgreSQL has it; those of shards are small.
pub(crate) fn number(shard: u32) -> i32 {
    i32::try_from(shard).unwrap_or(i32::MAX)
}

fn read(row: &Native) -> Result<Row, tokio_postgres::Error> {
    let text = |role: Role| {
        let place = Role::TEXTS.iter().position(|it| *it == role).unwrap_or_default();
        row.try_get::<_, Option<String>>(&*format!("shown_{place}"))
    };
    let time: Option<i64> = row.try_get("shown_time")?;
    Ok(Row {
        id: row.try_get("shown_id")?,
        aggregate: row.try_get("shown_aggregate")?,
        topic: text(Role::Topic)?,
        key: text(Role::Key)?,
        kind: text(Role::Type)?,
        version: text(Role::Version)?,
        payload: row.try_get("shown_payload")?,
        headers: text(Role::Headers)?,
        source: text(Role::Source)?,
        time_ms: time.and_then(|it| u64::try_from(it).ok()),
        correlation: text(Role::Correlation)?,
        trace: text(Role::Trace)?,
    })
}
