//! What a relay asks beside its rows: who else is here, how much waits, and what may be deleted. It
//! decides nothing.

use std::time::Duration;

use crate::connect::{answer, quoted};
use crate::error::Error;
use crate::session::Session;

/// Rows that are counted at most: beyond, there are just too many.
const COUNTED_MAX: i64 = 1_000_000;
/// Locks below this are of shards, those from here on of relays.
const OWNERS: u32 = 64;

/// Who relays a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Relays {
    /// How many there are of this one's owner, this one with them.
    pub count: u32,
    /// This one's place among them, from 0.
    pub place: u32,
    /// How many there are of others.
    pub strangers: u32,
    /// Shards that somebody holds.
    pub held: Vec<u32>,
}

/// What waits in a table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Backlog {
    /// Rows that wait to be published, a million at most; none of those that are parked.
    pub pending: u64,
    /// Id of the one that has waited longest.
    pub oldest: Option<String>,
    /// Seconds since that row says that it happened, where it says so.
    pub age: Option<f64>,
}

impl Session {
    /// Tells other relays of the table that this one is there, for as long as the session lives;
    /// and hears of new rows.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and the like.
    pub async fn appear(&self) -> Result<(), Error> {
        let lock = "SELECT pg_advisory_lock_shared($1, $2)";
        let doing = "appear beside other relays of";
        self.ask(doing, lock, &[&self.statements.class, &self.owner()]).await?;
        if let Some(channel) = &self.settings.notify {
            let listen = format!("LISTEN {}", quoted(channel));
            answer(&self.doing(doing), self.client.batch_execute(&listen)).await?;
        }
        Ok(())
    }

    /// Who relays the table.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and the like.
    pub async fn relays(&self) -> Result<Relays, Error> {
        let locks = "SELECT objid::int8, pid, mode = 'ShareLock', pid = pg_backend_pid() \
            FROM pg_locks JOIN pg_database ON pg_database.oid = database \
            WHERE locktype = 'advisory' AND datname = current_database() \
            AND classid::int8 = $1 AND objsubid = 2 AND granted ORDER BY pid";
        let class = i64::from(self.statements.class);
        let rows = self.ask("look who relays", locks, &[&class]).await?;
        let mut relays = Relays::default();
        for row in rows {
            let object: i64 = row.get(0);
            match (row.get(2), row.get(3)) {
                (false, _) => relays.held.extend(u32::try_from(object)),
                (true, _) if object != i64::from(self.owner()) => {
                    relays.strangers = relays.strangers.saturating_add(1);
                }
                (true, is_own) => {
                    if is_own {
                        relays.place = relays.count;
                    }
                    relays.count = relays.count.saturating_add(1);
                }
            }
        }
        Ok(relays)
    }

    /// What waits.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and the like.
    pub async fn backlog(&self) -> Result<Backlog, Error> {
        let doing = "count rows of";
        let counted = self.ask(doing, &self.statements.backlog, &[&COUNTED_MAX]).await?;
        let pending: i64 = counted.first().map_or(0, |row| row.get(0));
        let oldest = self.ask(doing, &self.statements.oldest, &[]).await?;
        let oldest = oldest.first();
        Ok(Backlog {
            pending: u64::try_from(pending).unwrap_or(0),
            age: oldest.and_then(|row| row.get(1)),
            oldest: oldest.map(|row| row.get(0)),
        })
    }

    /// Deletes up to `limit` rows that were published longer ago than `keep`. How many it was.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and the like.
    pub async fn clean(&self, keep: Duration, limit: u32) -> Result<u64, Error> {
        let Some(clean) = &self.statements.clean else { return Ok(0) };
        let (keep, limit) = (keep.as_secs_f64(), i64::from(limit));
        self.change("delete published rows of", clean, &[&keep, &limit]).await
    }

    /// Second half of the lock that its owner's relays share. Whoever shares out otherwise is
    /// another owner.
    fn owner(&self) -> i32 {
        let text = format!("{}/{}", self.settings.owner, self.settings.shards);
        // FNV-1a: the same in every release.
        let hash = text
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let half = (hash & 0x7fff_ffff).max(OWNERS);
        i32::try_from(half).unwrap_or(i32::MAX)
    }
}
