//! Owns what all parts of a running host share: the store, the plugin engine, the clock, the
//! configuration, the board and the metrics. It decides nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};

use bytes::Bytes;
use gristmill_config::HostConfig;
use gristmill_store::{Batch, Change, Failed, Receipt, Store};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

use crate::broker::{self, Broker};
use crate::clock::Clock;
use crate::encryption::Encryption;
use crate::envelope::Hasher128;
use crate::gate::Gate;
use crate::letters::Tallies;
use crate::metrics::Metrics;
use crate::plugins::{Board, Inbox};
use crate::schemas::Schemas;
use crate::telemetry::Telemetry;
use crate::{Error, progress};

/// Changelogs that are read at once: of the 16 reads that a cluster lets a host have, four are left
/// to whoever asks for records, dead letters or metrics meanwhile.
const RESTORES_MAX: usize = 12;

/// What all parts of a running host share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The checked configuration.
    pub(crate) config: HostConfig,
    /// State, and topics where they live here.
    pub(crate) store: Store,
    /// Where topics live.
    pub(crate) broker: Broker,
    /// By which events are judged.
    pub(crate) schemas: Schemas,
    /// Which fields are sealed.
    pub(crate) encryption: Encryption,
    /// The Wasm engine.
    pub(crate) plugins: gristmill_plugin_host::Runtime,
    /// The one clock.
    pub(crate) clock: Clock,
    /// Hashes keys, ids and timers with this data directory's own secret.
    pub(crate) hasher: Hasher128,
    /// Feeds the jitter of retries.
    pub(crate) seed: u64,
    /// What is shown of plugins and subscriptions.
    pub(crate) board: Board,
    /// All instruments.
    pub(crate) metrics: Metrics,
    /// What a collector is told.
    pub(crate) telemetry: Telemetry,
    /// How far each subscription has come.
    pub(crate) progress: progress::Board,
    /// Restores that read changelogs.
    pub(crate) restores: Gate,
    /// Whose the dead letters of common topics are.
    pub(crate) tallies: Tallies,
    /// Subscriptions an operator or their policy paused; kept across restarts.
    paused: Mutex<BTreeMap<String, PausedBy>>,
    /// Where the supervisor is told what only an engine can know.
    supervisor: OnceLock<UnboundedSender<Inbox>>,
}

/// The parts a host is made of.
pub(crate) struct Parts {
    pub(crate) config: HostConfig,
    pub(crate) store: Store,
    pub(crate) broker: Broker,
    pub(crate) schemas: Schemas,
    pub(crate) encryption: Encryption,
    pub(crate) plugins: gristmill_plugin_host::Runtime,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) telemetry: Telemetry,
}

/// Who paused a subscription so that only an operator may resume it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PausedBy {
    /// An operator.
    Operator,
    /// Its own policy, `on_exhausted = "pause-subscription"`.
    Policy,
    /// Its dead-letter guard.
    Guard,
}

impl PausedBy {
    /// The word for it on the board.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Policy => "policy",
            Self::Guard => "guard",
        }
    }
}

/// Document that names the paused subscriptions and who paused them.
const PAUSED: &str = "host/paused";
/// Document with the secret of this data directory's hashes.
const SECRET: &str = "host/secret";
/// Document with the latest moment a checkpoint saw.
pub(crate) const CLOCK: &str = "host/clock";

impl Shared {
    /// Puts the parts together and reads what the store remembers of the host itself.
    pub(crate) fn new(parts: Parts) -> Result<Self, Error> {
        let Parts {
            config,
            store,
            broker,
            schemas,
            encryption,
            plugins,
            clock,
            metrics,
            telemetry,
        } = parts;
        let secret = secret(&store, &broker)?;
        let paused = match store.document(PAUSED)? {
            Some(text) => serde_json::from_slice(&text)
                .map_err(|source| Error::Document { name: PAUSED, source })?,
            None => BTreeMap::new(),
        };
        // The high half of the secret is as random as any seed, and stays with the directory.
        let (_, half) = secret.split_at(8);
        let seed = half.try_into().map_or(0, u64::from_be_bytes);
        Ok(Self {
            hasher: Hasher128::new(secret),
            seed,
            board: Board::default(),
            progress: progress::Board::default(),
            restores: Gate::new(RESTORES_MAX),
            tallies: Tallies::default(),
            paused: Mutex::new(paused),
            supervisor: OnceLock::new(),
            config,
            store,
            broker,
            schemas,
            encryption,
            plugins,
            clock,
            metrics,
            telemetry,
        })
    }

    /// Says where the supervisor listens; the first call counts.
    pub(crate) fn introduce_supervisor(&self, inbox: UnboundedSender<Inbox>) {
        drop(self.supervisor.set(inbox));
    }

    /// Tells the supervisor, if it is there to listen.
    pub(crate) fn tell_supervisor(&self, told: Inbox) {
        if let Some(inbox) = self.supervisor.get() {
            drop(inbox.send(told));
        }
    }

    /// Who paused the subscription, if anybody did.
    pub(crate) fn paused_by(&self, subscription: &str) -> Option<PausedBy> {
        let paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        paused.get(subscription).copied()
    }

    /// Remembers durably who paused a subscription, or that it was resumed.
    pub(crate) fn remember_paused(
        &self,
        subscription: &str,
        by: Option<PausedBy>,
    ) -> Result<(), Failed> {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match by {
            Some(by) => paused.insert(subscription.to_owned(), by),
            None => paused.remove(subscription),
        };
        if before == by {
            return Ok(());
        }
        // A map of strings always has a JSON form.
        let text = Bytes::from(serde_json::to_vec(&*paused).unwrap_or_default());
        let change = Change::Document { name: PAUSED.to_owned(), value: Some(text) };
        self.write_store(Batch { changes: vec![change], ..Batch::default() }).map(drop)
    }

    /// Writes changes to the store and waits until they are durable. For threads that may wait; a
    /// worker submits.
    pub(crate) fn write_store(&self, batch: Batch) -> Result<Receipt, Failed> {
        write_now(&self.store, batch)
    }

    /// Writes events to their topics, then changes to the store, and waits until all is durable.
    pub(crate) fn write_now(&self, batch: Batch) -> Result<Receipt, broker::Failed> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.broker.write(&self.store, batch, Box::new(move |result| drop(sender.send(result))));
        receiver.recv().unwrap_or(Err(broker::Failed::Store(Failed::Closed)))
    }
}

/// Writes a batch to `store` and waits until it is durable.
pub(crate) fn write_now(store: &Store, batch: Batch) -> Result<Receipt, Failed> {
    let (sender, receiver) = mpsc::sync_channel(1);
    store.submit(batch, Box::new(move |result| drop(sender.send(result))));
    receiver.recv().unwrap_or(Err(Failed::Closed))
}

/// The secret of this data directory, made at its first start; in a cluster the one that all hosts
/// of this name share, because they share state. It keeps whoever chooses keys from choosing
/// colliding ones.
fn secret(store: &Store, broker: &Broker) -> Result<[u8; 16], Error> {
    if let Some(kafka) = broker.kafka() {
        return Ok(kafka.secret());
    }
    if let Some(kept) = store.document(SECRET)?
        && let Ok(secret) = <[u8; 16]>::try_from(&kept[..])
    {
        return Ok(secret);
    }
    let secret = uuid::Uuid::new_v4().into_bytes();
    let value = Some(Bytes::copy_from_slice(&secret));
    let change = Change::Document { name: SECRET.to_owned(), value };
    write_now(store, Batch { changes: vec![change], ..Batch::default() })?;
    Ok(secret)
}

/// Shares `parts` among threads.
pub(crate) fn share(parts: Parts) -> Result<Arc<Shared>, Error> {
    Shared::new(parts).map(Arc::new)
}
