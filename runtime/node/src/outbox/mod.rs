//! Publishes rows that services' own transactions left in PostgreSQL: once each, in order per key.
//! The database's side is in `gristmill_outbox`; what is published, and remembered of it, is here.
//!
//! One relay per `[outbox.NAME]` shares the shards of its table out among hosts, and works on each
//! that this host holds ([`shard`]). What makes a row count once is in [`publisher`].

mod desk;
mod event;
mod publisher;
mod relay;
mod shard;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gristmill_config::{HostConfig, OutboxConfig, OutboxRole, Problem, Problems, Retention};
use gristmill_outbox::{Column, Database, Role, Settings};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use self::desk::{DeskError, Shown};
pub(crate) use self::relay::Relay;
use crate::Error;
use crate::host::Host;

/// Longest that the end waits for what is in hand. What is not finished by then is as if the host
/// had died: it is settled at the next start.
const DRAIN_MAX: Duration = Duration::from_secs(15);

/// All relays of a host.
#[derive(Debug)]
pub(crate) struct Outboxes {
    by_name: BTreeMap<String, Arc<Relay>>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Outboxes {
    /// Starts one for each `[outbox.NAME]`. They end by themselves when the host stops.
    pub(crate) fn start(host: &Host, stopping: &watch::Receiver<bool>) -> Result<Arc<Self>, Error> {
        let mut by_name = BTreeMap::new();
        let mut running = Vec::new();
        for (name, config) in &host.shared().config.outbox {
            let owner = format!("{:032x}", host.shared().hasher.relay(name));
            let database = open(&host.shared().config, name, config, owner)
                .map_err(|problem| Error::Outbox(std::iter::once(problem).collect()))?;
            let relay = Arc::new(Relay::new(name, config.clone(), database, host.clone()));
            running.push(tokio::spawn(Arc::clone(&relay).run(stopping.clone())));
            by_name.insert(name.to_owned(), relay);
        }
        Ok(Arc::new(Self { by_name, running: Mutex::new(running) }))
    }

    /// The relay of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Relay>> {
        self.by_name.get(name)
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &Arc<Relay>)> {
        self.by_name.iter()
    }

    /// Waits until all have ended, which they do when the host stops.
    pub(crate) async fn ended(&self) {
        let running =
            std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for mut task in running {
            if tokio::time::timeout(DRAIN_MAX, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

/// Everything wrong with how the databases of outboxes are reached, as far as the configuration
/// tells.
pub fn check(config: &HostConfig) -> Problems {
    let outboxes = config.outbox.iter();
    let opened = outboxes.filter_map(|(name, it)| open(config, name, it, String::new()).err());
    opened.collect()
}

fn open(
    config: &HostConfig,
    name: &str,
    outbox: &OutboxConfig,
    owner: String,
) -> Result<Database, Problem> {
    let mut database = Vec::with_capacity(outbox.database.len());
    for (parameter, secret) in &outbox.database {
        database.push((parameter.clone(), gristmill_config::read::secret(secret)?));
    }
    let settings = settings(outbox, database, owner);
    Database::open(settings).map_err(|error| {
        let reason = format!("`database` of `outbox.{name}`: {}", crate::error::chain(&error));
        config.problem(outbox.place, error.code(), reason)
    })
}

fn settings(outbox: &OutboxConfig, database: Vec<(String, String)>, owner: String) -> Settings {
    let needed: Vec<OutboxRole> =
        [OutboxRole::Id, OutboxRole::Payload].into_iter().chain(outbox.topic.roles()).collect();
    let columns = outbox.columns.iter().map(|column| Column {
        role: role(column.role),
        name: column.name.clone(),
        is_needed: column.is_given || needed.contains(&column.role),
    });
    Settings {
        database,
        table: outbox.table.clone(),
        columns: columns.collect(),
        pending: outbox.pending.clone(),
        published: outbox.published.clone(),
        keeps: !matches!(outbox.keep, Retention::For(age) if age.0 == 0),
        owner,
        shards: outbox.shards,
        notify: outbox.notify.clone(),
    }
}

/// What the configuration calls a column's meaning, as the database's side has it.
fn role(role: OutboxRole) -> Role {
    match role {
        OutboxRole::Id => Role::Id,
        OutboxRole::Order => Role::Order,
        OutboxRole::Topic => Role::Topic,
        OutboxRole::Key => Role::Key,
        OutboxRole::Type => Role::Type,
        OutboxRole::Version => Role::Version,
        OutboxRole::Payload => Role::Payload,
        OutboxRole::Headers => Role::Headers,
        OutboxRole::Source => Role::Source,
        OutboxRole::Time => Role::Time,
        OutboxRole::Correlation => Role::Correlation,
        OutboxRole::Trace => Role::Trace,
        OutboxRole::Status => Role::Status,
        OutboxRole::Published => Role::Published,
        OutboxRole::Error => Role::Error,
    }
}
