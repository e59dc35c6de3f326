//! Shares the shards of a table out among hosts: takes as many as are this host's share, gives up
//! what is more, and tells how the table stands. What is done with a shard is in `shard`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Moment};

use bytestring::ByteString;
use gristmill_config::{OutboxConfig, Retention};
use gristmill_outbox::{Database, Error as DatabaseError, Relays, Session};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::publisher;
use super::shard;
use super::state::{Standing, State, Trouble};
use crate::host::Host;

/// Time between two looks at who else relays the table and at what waits.
const LOOK: Duration = Duration::from_secs(1);
/// Longest time between two looks for rows that may be deleted.
const CLEAN: Duration = Duration::from_secs(10);
/// Rows deleted at once: a lock on a few, held for milliseconds.
const CLEAN_ROWS: u32 = 1_000;
/// First pause after a failure; it doubles.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// One `[outbox.NAME]`.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(super) name: String,
    pub(super) config: OutboxConfig,
    pub(super) database: Database,
    pub(super) host: Host,
    /// Source of events whose rows name none.
    pub(super) source: ByteString,
    state: Mutex<State>,
}

/// A shard's task, and what ends it.
struct Working {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Grows with each failure in a row.
pub(super) struct Pause(Duration);

impl Relay {
    pub(super) fn new(name: &str, config: OutboxConfig, database: Database, host: Host) -> Self {
        let source = format!("/{}/outbox/{name}", host.shared().config.name).into();
        let state = Mutex::default();
        Self { name: name.to_owned(), config, database, host, source, state }
    }

    /// Relays until the host stops, and then until what is in hand is done.
    pub(super) async fn run(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        let mut working = BTreeMap::new();
        let mut pause = Pause::default();
        while !*stopping.borrow() {
            let Err(trouble) = self.look_on(&mut working, &mut stopping, &mut pause).await else {
                break;
            };
            self.trouble(None, trouble);
            pause.wait(&mut stopping).await;
        }
        for shard in working.values() {
            shard.stop.send_replace(true);
        }
        for shard in working.into_values() {
            // One that panicked has said so.
            drop(shard.task.await);
        }
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> Standing {
        let state = self.state();
        let state_word = match (state.troubles.is_empty(), state.shards.is_empty()) {
            (false, _) => "troubled",
            (true, true) => "waiting",
            (true, false) => "running",
        };
        let told = |it: &Trouble| format!("{}: {}", it.code, it.reason);
        let mut troubles: Vec<String> = state.troubles.values().map(told).collect();
        troubles.sort_unstable();
        troubles.dedup();
        Standing {
            name: self.name.clone(),
            table: self.config.table.clone(),
            state: state_word,
            troubles,
            shards: state.shards.iter().copied().collect(),
            shards_total: self.config.shards,
            pending: state.pending,
            lag_seconds: state.lag,
            parked: u64::try_from(state.parked.len()).unwrap_or(u64::MAX),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Every change is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is wrong, and says so where nobody was told yet.
    pub(super) fn trouble(&self, with: Option<u32>, trouble: Trouble) {
        self.host.shared().metrics.outbox_failed(&self.name);
        let Trouble { code, reason, passes } = trouble.clone();
        if !self.state().trouble(with, trouble) {
            return;
        }
        let outbox = &self.name;
        if passes {
            tracing::warn!(code, outbox, reason, "rows wait; it is tried again until it passes");
        } else {
            tracing::error!(code, outbox, reason, "rows wait until somebody acts");
        }
    }

    /// Nothing is wrong with that any more.
    pub(super) fn well(&self, with: Option<u32>) {
        let passed = self.state().well(with);
        if let Some(Trouble { code, .. }) = passed {
            tracing::info!(code, outbox = self.name, "rows go on");
        }
    }

    /// Looks after the table until the host stops, or something fails.
    async fn look_on(
        self: &Arc<Self>,
        working: &mut BTreeMap<u32, Working>,
        stopping: &mut watch::Receiver<bool>,
        pause: &mut Pause,
    ) -> Result<(), Trouble> {
        let session = self.database.session().await?;
        session.appear().await?;
        let mut cleaned = Moment::now();
        loop {
            let relays = session.relays().await?;
            self.share(&session, &relays, working).await?;
            self.count(&session).await?;
            self.well(None);
            *pause = Pause::default();
            let keep = match self.config.keep {
                Retention::For(keep) => Duration::from_millis(keep.0),
                Retention::Forever => CLEAN,
            };
            if cleaned.elapsed() >= keep.min(CLEAN) {
                cleaned = Moment::now();
                self.clean(&session).await?;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _stop = stopping.wait_for(|stop| *stop) => return Ok(()),
            }
        }
    }

    /// Takes or gives up shards, so that this host has its share.
    async fn share(
        self: &Arc<Self>,
        session: &Session,
        relays: &Relays,
        working: &mut BTreeMap<u32, Working>,
    ) -> Result<(), Trouble> {
        working.retain(|_, shard| !shard.task.is_finished());
        if relays.strangers > 0 && working.is_empty() {
            // Whoever has shards already keeps them, and whoever comes later waits.
            let table = &self.config.table;
            let reason = format!(
                "hosts of another name or cluster, or with other `shards`, relay table {table:?}"
            );
            return Err(Trouble { code: "E0483", reason, passes: true });
        }
        let share = share(self.config.shards, relays);
        let more = working.len().saturating_sub(share);
        for shard in working.values().rev().take(more) {
            shard.stop.send_replace(true);
        }
        let free = (0..self.config.shards)
            .filter(|shard| !relays.held.contains(shard) && !working.contains_key(shard));
        let free: Vec<u32> = free.take(share.saturating_sub(working.len())).collect();
        if !free.is_empty() && working.is_empty() {
            // Of shards that the table was shared out in before, too.
            let ids = publisher::recall_all(self).await?;
            session.mark(&ids).await?;
        }
        for shard in free {
            let (stop, stopping) = watch::channel(false);
            let task = tokio::spawn(shard::run(Arc::clone(self), shard, stopping));
            working.insert(shard, Working { stop, task });
        }
        Ok(())
    }

    /// Looks at what waits.
    async fn count(&self, session: &Session) -> Result<(), DatabaseError> {
        let backlog = session.backlog().await?;
        let mut state = self.state();
        state.waits(backlog);
        let metrics = &self.host.shared().metrics;
        metrics.set_outbox(&self.name, state.pending, state.lag);
        metrics.set_outbox_held(&self.name, state.shards.len(), state.parked.len());
        Ok(())
    }

    /// Deletes what was published long ago, a few rows at a time.
    async fn clean(&self, session: &Session) -> Result<(), DatabaseError> {
        let Retention::For(keep) = self.config.keep else { return Ok(()) };
        while session.clean(Duration::from_millis(keep.0), CLEAN_ROWS).await?
            >= u64::from(CLEAN_ROWS)
        {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// Shards of so many that are this relay's, in the order in which relays are listed.
fn share(shards: u32, relays: &Relays) -> usize {
    let count = relays.count.max(1);
    let (each, more) = (shards / count, shards % count);
    let own = each.saturating_add(u32::from(relays.place < more));
    usize::try_from(own).unwrap_or(usize::MAX)
}

impl Default for Pause {
    fn default() -> Self {
        Self(PAUSE)
    }
}

impl Pause {
    /// Waits, or until told to stop.
    pub(super) async fn wait(&mut self, stopping: &mut watch::Receiver<bool>) {
        tokio::select! {
            () = tokio::time::sleep(self.0) => {}
            _stop = stopping.wait_for(|stop| *stop) => {}
        }
        self.0 = self.0.saturating_mul(2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_all_is_shared_out() {
        for (shards, count) in [(4, 1), (4, 3), (16, 5), (1, 2), (64, 64)] {
            let of = |place| share(shards, &Relays { count, place, ..Relays::default() });
            let shares: Vec<usize> = (0..count).map(of).collect();
            assert_eq!(shares.iter().sum::<usize>(), usize::try_from(shards).unwrap());
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            assert!(most - least <= 1, "{shares:?}");
        }
    }
}
