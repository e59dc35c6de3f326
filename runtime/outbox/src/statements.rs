//! Owns the SQL that a table is asked with: looks at its columns once, and says what each of our
//! questions is in its terms. It runs nothing else.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use crate::connect::{answer, quoted};
use crate::error::Error;
use crate::settings::{Role, Settings};

/// Told apart from other uses of advisory locks in the same database.
const LOCKS: u32 = 0x6772_6973;

/// What a table is asked. `$1` and further are what each method of a session says.
#[derive(Debug)]
pub(crate) struct Statements {
    /// First half of every advisory lock of the table.
    pub(crate) class: i32,
    /// Whether published rows stay.
    pub(crate) keeps: bool,
    /// Claims rows: shard, aggregates that are left out, rows at most.
    pub(crate) claim: String,
    /// Marks rows as published, or deletes them: ids.
    pub(crate) mark: String,
    /// Those of these rows that are still to be published: ids.
    pub(crate) still: String,
    /// One row: id.
    pub(crate) row: String,
    /// How many rows wait, at most as many as the limit.
    pub(crate) backlog: String,
    /// The oldest row that waits.
    pub(crate) oldest: String,
    /// Deletes rows that were published long ago: seconds, rows at most.
    pub(crate) clean: Option<String>,
    /// What needs a column for reasons.
    pub(crate) parking: Option<Parking>,
}

/// What a table with a column for reasons is asked.
#[derive(Debug)]
pub(crate) struct Parking {
    /// Writes a reason down: id, reason.
    pub(crate) park: String,
    /// Rows with a reason: shard or null, rows at most.
    pub(crate) list: String,
    /// Takes reasons away: ids, or null for all.
    pub(crate) retry: String,
}

/// A table as it was found.
struct Found<'a> {
    settings: &'a Settings,
    /// Quoted.
    table: String,
    /// Types of columns, by their names.
    types: BTreeMap<String, String>,
}

impl Statements {
    /// Looks at the table.
    pub(crate) async fn of(client: &Client, settings: &Settings) -> Result<Self, Error> {
        let table = match settings.table.split_once('.') {
            Some((schema, table)) => format!("{}.{}", quoted(schema), quoted(table)),
            None => quoted(&settings.table),
        };
        let doing = format!("look at table {:?}", settings.table);
        let look = "SELECT attrelid, attname::text, format_type(atttypid, atttypmod) \
            FROM pg_attribute WHERE attrelid = to_regclass($1::text) AND attnum > 0 \
            AND NOT attisdropped";
        let columns = answer(&doing, client.query(look, &[&table])).await?;
        let Some(first) = columns.first() else {
            let what = "there is none that this user sees".to_owned();
            return Err(Error::Table { table: settings.table.clone(), what });
        };
        let id: u32 = first.get(0);
        let types = columns.iter().map(|row| (row.get(1), row.get(2))).collect();
        Found { settings, table, types }.statements(id)
    }
}

impl Found<'_> {
    fn statements(&self, id: u32) -> Result<Statements, Error> {
        let missing = self
            .settings
            .columns
            .iter()
            .find(|column| column.is_needed && !self.types.contains_key(&column.name));
        if let Some(column) = missing {
            return Err(self.wrong(format!("it has no column {:?}", column.name)));
        }
        let (id_column, table) = (self.needed(Role::Id)?, &self.table);
        let order = self.order()?;
        let aggregate = self.aggregate();
        let ids = format!("{id_column} = ANY($1::text[]::{}[])", self.kind(Role::Id));
        let pending = self.pending();
        let keeps = self.settings.keeps && self.done().is_some();
        let mark = match self.marking().filter(|_| keeps) {
            Some(marking) => format!("UPDATE {table} SET {marking} WHERE {ids} AND {pending}"),
            None => format!("DELETE FROM {table} WHERE {ids} AND {pending}"),
        };
        let shown = self.shown()?;
        let error = self.column(Role::Error);
        let unparked = error.as_ref().map(|it| format!(" AND {it} IS NULL")).unwrap_or_default();
        let age = self.time(Role::Time).map_or_else(
            || "NULL::float8".to_owned(),
            |time| format!("extract(epoch FROM now() - {time})::float8"),
        );
        Ok(Statements {
            // Half of what an id can be, so that it is positive on both sides.
            class: i32::try_from((id ^ LOCKS) & 0x7fff_ffff).unwrap_or(0),
            keeps,
            claim: self.claim(&shown, (&order, &aggregate), (&pending, &unparked)),
            mark,
            still: format!("SELECT {id_column}::text FROM {table} WHERE {ids} AND {pending}"),
            row: format!("SELECT {shown} FROM {table} WHERE {ids}"),
            backlog: format!(
                "SELECT count(*) FROM (SELECT FROM {table} WHERE {pending}{unparked} LIMIT $1) it"
            ),
            oldest: format!(
                "SELECT {id_column}::text, {age} FROM {table} WHERE {pending}{unparked} \
                 ORDER BY {order} LIMIT 1"
            ),
            clean: keeps.then(|| self.clean()).flatten(),
            parking: error.map(|error| Parking {
                park: format!("UPDATE {table} SET {error} = $2::text WHERE {ids}"),
                list: format!(
                    "SELECT {id_column}::text, {aggregate}, {error}::text FROM {table} \
                     WHERE {pending} AND {error} IS NOT NULL \
                     AND ($1::int4 IS NULL OR {} = $1) ORDER BY {order} LIMIT $2",
                    self.shard(&aggregate)
                ),
                retry: format!(
                    "UPDATE {table} SET {error} = NULL WHERE ($1::text[] IS NULL OR {ids}) \
                     AND {pending} AND {error} IS NOT NULL RETURNING {id_column}::text"
                ),
            }),
        })
    }

    /// Rows in their order that nobody has locked, each with whether an earlier one of its
    /// aggregate is left behind: because somebody has that locked, or it has a reason.
    fn claim(
        &self,
        shown: &str,
        (order, aggregate): (&str, &str),
        (pending, unparked): (&str, &str),
    ) -> String {
        let (table, shard) = (&self.table, self.shard(aggregate));
        let id = self.column(Role::Id).unwrap_or_default();
        let wanted = format!("{pending} AND {shard} = $1::int4 AND {aggregate} <> ALL($2::text[])");
        format!(
            "WITH claimed AS MATERIALIZED (
                SELECT {shown}, {id} AS own_id, {order} AS place FROM {table}
                WHERE {wanted}{unparked} ORDER BY {order} LIMIT $3 FOR UPDATE SKIP LOCKED
            ), behind AS MATERIALIZED (
                SELECT {aggregate} AS aggregate, {order} AS place FROM {table}
                WHERE {wanted}
                AND {order} <= (SELECT place FROM claimed ORDER BY place DESC LIMIT 1)
                AND NOT EXISTS (SELECT FROM claimed WHERE own_id = {id})
            )
            SELECT claimed.*, EXISTS (
                SELECT FROM behind WHERE behind.aggregate = claimed.shown_aggregate
                AND behind.place <= claimed.place
            ) AS is_held FROM claimed ORDER BY place"
        )
    }

    /// What a row is read as, under names that no column has by chance.
    fn shown(&self) -> Result<String, Error> {
        let id = self.needed(Role::Id)?;
        let payload = self.needed(Role::Payload)?;
        let payload = match self.kind(Role::Payload) {
            "bytea" => payload,
            _ => format!("convert_to({payload}::text, 'UTF8')"),
        };
        let time = self.time(Role::Time).map_or_else(
            || "NULL::int8".to_owned(),
            |time| format!("(extract(epoch FROM {time}) * 1000)::int8"),
        );
        let aggregate = self.aggregate();
        let mut shown = format!(
            "{id}::text AS shown_id, {aggregate} AS shown_aggregate, {payload} AS shown_payload, \
             {time} AS shown_time"
        );
        for (number, role) in Role::TEXTS.into_iter().enumerate() {
            let value = self
                .column(role)
                .map_or_else(|| "NULL::text".to_owned(), |column| format!("{column}::text"));
            shown = format!("{shown}, {value} AS shown_{number}");
        }
        Ok(shown)
    }

    /// What orders a row beside others.
    fn aggregate(&self) -> String {
        let columns = [Role::Key, Role::Topic].map(|role| self.column(role));
        let columns: Vec<String> =
            columns.into_iter().flatten().map(|it| format!("{it}::text, ")).collect();
        format!("coalesce({}'')", columns.concat())
    }

    fn shard(&self, aggregate: &str) -> String {
        format!("((hashtext({aggregate}) & 2147483647) % {})", self.settings.shards.max(1))
    }

    /// What rows are ordered by. Ids that are drawn by chance are in no order.
    fn order(&self) -> Result<String, Error> {
        if let Some(order) = self.column(Role::Order) {
            return Ok(order);
        }
        let kind = self.kind(Role::Id);
        if !kind.starts_with("uuid") && !kind.starts_with("text") && !kind.starts_with("char") {
            return self.needed(Role::Id);
        }
        let usual = self.settings.columns.iter().find(|column| column.role == Role::Order);
        let name = usual.map_or("sequence", |column| column.name.as_str());
        Err(self.wrong(format!(
            "its rows have no order: the id is {kind}. Give it one, ALTER TABLE {} ADD COLUMN {} \
             bigint GENERATED ALWAYS AS IDENTITY, or name one as `order` in `columns`",
            self.table,
            quoted(name)
        )))
    }

    /// Whether a row is still to be published.
    fn pending(&self) -> String {
        if let Some(status) = self.column(Role::Status) {
            return format!("{status} = {}", literal(&self.settings.pending));
        }
        match self.column(Role::Published) {
            Some(column) if self.is_flag() => format!("{column} IS NOT TRUE"),
            Some(column) => format!("{column} IS NULL"),
            None => "true".to_owned(),
        }
    }

    /// Whether it is published, where a column says so.
    fn done(&self) -> Option<String> {
        if let Some(status) = self.column(Role::Status) {
            return Some(format!("{status} = {}", literal(&self.settings.published)));
        }
        let column = self.column(Role::Published)?;
        Some(if self.is_flag() { column } else { format!("{column} IS NOT NULL") })
    }

    /// What says that it is.
    fn marking(&self) -> Option<String> {
        let status = self
            .column(Role::Status)
            .map(|column| format!("{column} = {}", literal(&self.settings.published)));
        let published = self.column(Role::Published).map(|column| {
            let value = if self.is_flag() { "true" } else { "now()" };
            format!("{column} = {value}")
        });
        match (status, published) {
            (Some(status), Some(published)) => Some(format!("{status}, {published}")),
            (status, published) => status.or(published),
        }
    }

    /// Deletes what was published long ago, where a column says when that was, or the row is as
    /// old.
    fn clean(&self) -> Option<String> {
        let (done, table) = (self.done()?, &self.table);
        let time = self.time(Role::Published).or_else(|| self.time(Role::Time))?;
        Some(format!(
            "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {done} \
             AND {time} < now() - $1::float8 * interval '1 second' LIMIT $2 \
             FOR UPDATE SKIP LOCKED))"
        ))
    }

    /// The column of a role, where the table has it; quoted.
    fn column(&self, role: Role) -> Option<String> {
        let column = self.settings.columns.iter().find(|column| column.role == role)?;
        self.types.contains_key(&column.name).then(|| quoted(&column.name))
    }

    fn needed(&self, role: Role) -> Result<String, Error> {
        self.column(role).ok_or_else(|| self.wrong(format!("it has no column for {role:?}")))
    }

    /// The same where it holds a moment.
    fn time(&self, role: Role) -> Option<String> {
        self.column(role).filter(|_| self.kind(role).starts_with("timestamp"))
    }

    fn is_flag(&self) -> bool {
        self.kind(Role::Published) == "boolean"
    }

    /// Type of a role's column; empty without one.
    fn kind(&self, role: Role) -> &str {
        let column = self.settings.columns.iter().find(|column| column.role == role);
        column.and_then(|it| self.types.get(&it.name)).map_or("", String::as_str)
    }

    fn wrong(&self, what: String) -> Error {
        Error::Table { table: self.settings.table.clone(), what }
    }
}

/// A text as SQL has it, of whatever type it is compared with.
fn literal(text: &str) -> String {
    let escaped = text.replace('\'', "''");
    if text.contains('\\') {
        format!("E'{}'", escaped.replace('\\', "\\\\"))
    } else {
        format!("'{escaped}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Column;

    fn found<'a>(settings: &'a Settings, types: &[(&str, &str)]) -> Found<'a> {
        let types = types.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned()));
        Found { settings, table: quoted(&settings.table), types: types.collect() }
    }

    fn settings(columns: &[(Role, &str)]) -> Settings {
        let column = |(role, name): &(Role, &str)| Column {
            role: *role,
            name: (*name).to_owned(),
            is_needed: *role == Role::Payload,
        };
        Settings {
            database: Vec::new(),
            table: "out\"box".to_owned(),
            columns: columns.iter().map(column).collect(),
            pending: "it's".to_owned(),
            published: "a\\b".to_owned(),
            keeps: true,
            owner: "host".to_owned(),
            shards: 4,
            notify: None,
        }
    }

    #[test]
    fn rows_that_say_nothing_of_themselves_are_deleted() {
        let settings = settings(&[(Role::Id, "id"), (Role::Payload, "p"), (Role::Published, "at")]);
        let of = |types: &[(&str, &str)]| found(&settings, types).statements(7).unwrap();
        let bare = of(&[("id", "bigint"), ("p", "jsonb")]);
        assert!(!bare.keeps && bare.clean.is_none() && bare.parking.is_none());
        assert!(bare.mark.starts_with("DELETE FROM \"out\"\"box\""), "{}", bare.mark);
        let dated = of(&[("id", "bigint"), ("p", "bytea"), ("at", "timestamp with time zone")]);
        assert!(dated.mark.contains("SET \"at\" = now()") && dated.clean.is_some());
        let flagged = of(&[("id", "bigint"), ("p", "bytea"), ("at", "boolean")]);
        assert!(flagged.mark.contains("SET \"at\" = true") && flagged.clean.is_none());
    }

    #[test]
    fn words_are_quoted_and_what_is_missing_is_said() {
        let settings = settings(&[(Role::Id, "id"), (Role::Payload, "p"), (Role::Status, "state")]);
        let types = [("id", "bigint"), ("p", "bytea"), ("state", "text")];
        let made = found(&settings, &types).statements(7).unwrap();
        assert!(made.mark.contains("\"state\" = E'a\\\\b'"), "{}", made.mark);
        assert!(made.mark.contains("\"state\" = 'it''s'"), "{}", made.mark);
        let wrong = |types: &[(&str, &str)]| found(&settings, types).statements(7).unwrap_err();
        assert!(wrong(&[("id", "bigint")]).to_string().contains("no column \"p\""));
        let chance = wrong(&[("id", "uuid"), ("p", "bytea")]).to_string();
        assert!(chance.contains("ADD COLUMN \"sequence\" bigint"), "{chance}");
    }
}
