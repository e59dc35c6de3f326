//! Owns the life of a host: what is started in which order, and how it ends. Everything it starts
//! it stops, and the first part that fails stops the rest.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZero, NonZeroU32};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use gristmill_config::{HostConfig, Reserve};
use gristmill_engine::{Bytes as Size, Instant, PartitionId, TopicId};
use gristmill_kafka::{Cluster, Committer};
use gristmill_plugin_host::{Runtime as PluginRuntime, RuntimeSettings};
use gristmill_store::Store;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::broker::{Broker, Kafka};
use crate::clock::Clock;
use crate::connecting::{self, Identity};
use crate::encryption::{self, Encryption};
use crate::groups::Groups;
use crate::host::Host;
use crate::http::{self, Server};
use crate::metrics::Metrics;
use crate::outbox::Outboxes;
use crate::plugins::{Change, Inbox, Ledgers, Supervisor, Watch};
use crate::replication::Replications;
use crate::schemas::{self, Schemas};
use crate::shared::{self, CLOCK, Parts, Shared};
use crate::telemetry::{Telemetry, tell_metrics};
use crate::worker::{Command, Worker};
use crate::{Error, rebuild, repartition, snapshots, topics};

/// Instances kept for what runs beside the workers' attempts.
const INSTANCES_SPARE: u32 = 16;
/// Task polls of a worker between two looks at its commands, sockets and timers.
const EVENT_INTERVAL: u32 = 4;
/// Time between two looks at the free space; the store itself looks before every write near the
/// reserve.
const SPACE_LOOK: Duration = Duration::from_secs(1);

/// Time between two looks at the topics of a cluster.
const TOPICS_LOOK: Duration = Duration::from_secs(10);
/// Time between two looks of open streams at their topics in a cluster.
const STREAMS_LOOK: Duration = Duration::from_millis(200);

/// What a host is started with.
pub struct Settings {
    /// The checked configuration.
    pub config: HostConfig,
    /// Called between the steps of every commit of the store; for tests that kill the process.
    pub hook: Option<gristmill_store::Hook>,
    /// Called between the steps of every transaction on Kafka; for the same tests.
    pub transaction_hook: Option<gristmill_kafka::Hook>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, hook, transaction_hook } = self;
        out.debug_struct("Settings")
            .field("config", config)
            .field("hook", &hook.is_some())
            .field("transaction_hook", &transaction_hook.is_some())
            .finish()
    }
}

/// A running host.
#[derive(Debug)]
pub struct Node {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    ended: tokio::task::JoinHandle<Result<(), Error>>,
}

type CommandSender = mpsc::UnboundedSender<Command>;

impl Node {
    /// Opens the store, starts the workers and the plugin engine, and serves HTTP. Plugins load
    /// in the background: `/readyz` says when they have.
    ///
    /// # Errors
    ///
    /// Whatever keeps the host from starting; each says what to do.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        // The address first: a second host on one machine is told so before it waits for a lock.
        let listener = listen(settings.config.listen).await?;
        let is_open =
            !settings.config.listen.ip().is_loopback() && settings.config.tokens.is_empty();
        let address = listener.local_addr().map_err(Error::Serve)?;
        let (parts, cluster) = tokio::task::spawn_blocking(|| prepare(settings))
            .await
            .map_err(|_panicked| Error::WorkerGone)??;
        let (stop, stopping) = watch::channel(false);
        let server = Server::start(listener);
        let ended = match cluster {
            None => {
                let told = stopping.clone();
                let beginning =
                    tokio::task::spawn_blocking(move || begin(parts, None, &told)).await;
                let begun = beginning.map_err(|_panicked| Error::WorkerGone)??;
                // It waits for nothing that a stop could be quicker than.
                tokio::spawn(live(begun.ok_or(Error::WorkerGone)?, server, stopping))
            }
            Some((cluster, identity)) => {
                let joined = Joined { cluster, identity };
                tokio::spawn(join(parts, joined, server, stopping))
            }
        };
        tracing::info!(%address, "listening");
        if is_open {
            tracing::warn!(%address, "`allow_anonymous` is set: whoever reaches this address may \
                publish, read and operate");
        }
        Ok(Self { address, stop, ended })
    }

    /// The address HTTP is served on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A handle that begins the end: ingest is refused, what runs may finish, everything staged
    /// is committed.
    pub fn stopper(&self) -> watch::Sender<bool> {
        self.stop.clone()
    }

    /// Waits until the host has ended, by its stopper or by a failure.
    ///
    /// # Errors
    ///
    /// The failure that ended it.
    pub async fn ended(self) -> Result<(), Error> {
        self.ended.await.map_err(|_panicked| Error::WorkerGone)?
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

/// A cluster, and who this host is there.
struct Joined {
    cluster: Cluster,
    identity: Identity,
}

/// What is open before topics are.
struct Prepared {
    config: HostConfig,
    store: Store,
    schemas: Schemas,
    encryption: Encryption,
    plugins: PluginRuntime,
    clock: Clock,
    metrics: Metrics,
    telemetry: Telemetry,
    /// Told of the steps of transactions.
    hook: Option<gristmill_kafka::Hook>,
}

/// A host whose parts run.
struct Begun {
    shared: Arc<Shared>,
    workers: Workers,
    groups: Option<Arc<Groups>>,
    replications: Arc<Replications>,
}

/// Waits for the cluster, tells so to whoever asks meanwhile, and then lives.
async fn join(
    parts: Prepared,
    joined: Joined,
    server: Server,
    stopping: watch::Receiver<bool>,
) -> Result<(), Error> {
    http::answer_waiting(&server, joined.cluster.clone());
    let told = stopping.clone();
    let beginning = tokio::task::spawn_blocking(move || {
        match connecting::connect(&parts.config, &joined.cluster, &told)? {
            Some(kafka) => begin(parts, Some((kafka, joined)), &told),
            None => Ok(None),
        }
    });
    let begun = beginning.await.map_err(|_panicked| Error::WorkerGone)??;
    let Some(begun) = begun else { return server.closed().await };
    live(begun, server, stopping).await
}

/// Starts what works on events; waits. `None` when the host stops before its cluster has answered.
fn begin(
    parts: Prepared,
    kafka: Option<(Kafka, Joined)>,
    stopping: &watch::Receiver<bool>,
) -> Result<Option<Begun>, Error> {
    let Prepared { config, store, schemas, encryption, plugins, clock, metrics, telemetry, hook } =
        parts;
    let count = worker_count(&config);
    let (broker, committers) = match kafka {
        None => (Broker::Embedded(store.clone()), None),
        Some((kafka, Joined { cluster, identity })) => {
            let hook = metrics.transaction_steps(hook.clone());
            let with = (&store, &hook);
            let committers = connecting::committers(&cluster, &identity, with, count)?;
            (Broker::Kafka(Box::new(kafka)), Some(committers))
        }
    };
    let parts =
        Parts { config, store, broker, schemas, encryption, plugins, clock, metrics, telemetry };
    let shared = shared::share(parts)?;
    snapshots::clear(&shared)?;
    rebuild::clear_left(&shared)?;
    let declared = connecting::patiently(stopping, || topics::declare(&shared))?;
    if declared.is_none() {
        return Ok(None);
    }
    let is_member = committers.is_some();
    let workers = Workers::start(&shared, committers)?;
    let groups = is_member.then(|| Groups::start(workers.senders.clone())).transpose()?;
    let replications = Arc::new(Replications::start(&shared, hook.as_ref())?);
    Ok(Some(Begun { shared, workers, groups: groups.map(Arc::new), replications }))
}

/// Serves and works until told to stop.
async fn live(begun: Begun, server: Server, stopping: watch::Receiver<bool>) -> Result<(), Error> {
    let Begun { shared, workers, groups, replications } = begun;
    let refresher = schemas::refresh(&shared).await?;
    let inbox = supervise(&shared, &workers.senders, groups.clone());
    let parts = (workers.senders.clone(), groups.clone(), Arc::clone(&replications));
    let host = Host::new(Arc::clone(&shared), inbox, parts, &stopping);
    let watching = tokio::spawn(watch_topics(host.clone()));
    let sweeping = tokio::spawn(repartition::sweep(Arc::clone(&shared)));
    let telling = tokio::spawn(tell_metrics(host.clone()));
    let outboxes = Outboxes::start(&host, &stopping)?;
    host.introduce_outboxes(Arc::clone(&outboxes));
    http::answer(&server, host);
    let works = (workers, outboxes, replications);
    let ended = run(Arc::clone(&shared), works, server, stopping).await;
    for task in [watching, sweeping, telling] {
        task.abort();
    }
    let told = tokio::task::spawn_blocking(move || shared.telemetry.finish()).await;
    told.map_err(|_panicked| Error::WorkerGone)?;
    drop(refresher);
    if let Some(groups) = groups {
        let closed = tokio::task::spawn_blocking(move || groups.close()).await;
        closed.map_err(|_panicked| Error::WorkerGone)?;
    }
    ended
}

/// Opens everything that is on disk, and names the cluster where topics live in one.
fn prepare(settings: Settings) -> Result<(Prepared, Option<(Cluster, Identity)>), Error> {
    let Settings { config, hook, transaction_hook } = settings;
    let schemas = schemas::load(&config).map_err(Error::Schemas)?;
    let encryption = encryption::load(&config).map_err(Error::Encryption)?;
    make_folder(&config.data_dir)?;
    make_folder(&config.plugins_dir)?;
    let mut store = gristmill_store::Settings::new(config.data_dir.join("store"));
    store.cache = config.storage.cache;
    store.hook = hook;
    store.reserve = reserve(&config);
    // In a cluster the store is a cache: what is lost of it is restored from the changelogs.
    store.commit_sync = matches!(config.broker, gristmill_config::Broker::Embedded);
    let store = Store::open(store)?;
    let floor = store.document(CLOCK)?.and_then(|text| <[u8; 8]>::try_from(&text[..]).ok());
    let clock = Clock::starting_at(Instant(floor.map_or(0, u64::from_be_bytes)));
    let plugins = PluginRuntime::new(RuntimeSettings {
        cache_dir: Some(config.data_dir.join("compiled")),
        instances_max: worker_count(&config)
            .saturating_mul(config.attempts_max)
            .saturating_add(INSTANCES_SPARE)
            .min(10_000),
        memory_bytes_max: config.ceilings.memory.0,
        fuel: config.plugins.fuel,
        ..RuntimeSettings::default()
    })?;
    let metrics = Metrics::new();
    let telemetry = Telemetry::start(&config, &metrics)?;
    let cluster = match &config.broker {
        gristmill_config::Broker::Embedded => None,
        gristmill_config::Broker::Kafka(kafka) => {
            Some(connecting::cluster(&config, kafka, &store, metrics.client_statistics())?)
        }
    };
    let hook = transaction_hook;
    let prepared =
        Prepared { config, store, schemas, encryption, plugins, clock, metrics, telemetry, hook };
    Ok((prepared, cluster))
}

/// The free space to keep, where the configuration says so in bytes or as a share.
fn reserve(config: &HostConfig) -> Option<Size> {
    match config.storage.reserve {
        Reserve::Bytes(bytes) => Some(bytes),
        Reserve::Percent(percent) => {
            // Where the size cannot be had, the store's own default holds.
            let whole = rustix::fs::statvfs(&config.data_dir).ok()?;
            let total = whole.f_blocks.saturating_mul(whole.f_frsize);
            Some(Size(total.saturating_div(100).saturating_mul(u64::from(percent))))
        }
    }
}

/// Workers of a host: as configured, else one per core.
pub(crate) fn worker_count(config: &HostConfig) -> u32 {
    let cores = || thread::available_parallelism().map_or(1, NonZero::get);
    config.workers.map_or_else(|| u32::try_from(cores()).unwrap_or(256).min(256), NonZeroU32::get)
}

fn make_folder(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path)
        .map_err(|source| Error::Folder { path: PathBuf::from(path), source })
}

/// The worker threads and how they ended.
struct Workers {
    senders: Vec<CommandSender>,
    results: mpsc::UnboundedReceiver<Result<(), Error>>,
}

impl Workers {
    /// Starts one thread per worker, each with an engine and a single-threaded runtime.
    fn start(shared: &Arc<Shared>, committers: Option<Vec<Committer>>) -> Result<Self, Error> {
        let mut committers = committers.map(Vec::into_iter);
        let count = worker_count(&shared.config);
        let (ended, results) = mpsc::unbounded_channel();
        let mut senders = Vec::new();
        for index in 0..count {
            let (sender, receiver) = mpsc::unbounded_channel();
            senders.push(sender.clone());
            let (shared, ended) = (Arc::clone(shared), ended.clone());
            let committer = committers.as_mut().and_then(Iterator::next);
            thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    let worker = Worker::new(index, count, shared, (sender, receiver));
                    let result = work(match committer {
                        Some(committer) => worker.on_kafka(committer),
                        None => worker,
                    });
                    // The host is past caring when nobody takes it.
                    drop(ended.send(result));
                })
                .map_err(Error::Thread)?;
        }
        if shared.broker.kafka().is_none() {
            notify_growth(&shared.store, senders.clone());
        }
        Ok(Self { senders, results })
    }

    /// Lets every worker drain, and waits until the last has.
    async fn drain(mut self) -> Result<(), Error> {
        for sender in &self.senders {
            drop(sender.send(Command::Drain));
        }
        drop(self.senders);
        while let Some(result) = self.results.recv().await {
            result?;
        }
        Ok(())
    }
}

fn work(worker: Worker) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Looping guests yield at every tick; by default tokio would look at commands and timers
        // only after 61 of them (measured: 71 ms of silence).
        .event_interval(EVENT_INTERVAL)
        .build()
        .map_err(Error::Thread)?;
    let ended = runtime.block_on(worker.run());
    // What still waits for a broker must not hold the end up.
    runtime.shutdown_background();
    ended
}

/// Tells each worker which of its partitions grew.
fn notify_growth(store: &Store, senders: Vec<CommandSender>) {
    store.on_append(Box::new(move |grown| {
        let count = u32::try_from(senders.len()).unwrap_or(u32::MAX).max(1);
        for (index, sender) in (0_u32..).zip(&senders) {
            let its = |(_, partition): &&(TopicId, PartitionId)| partition.0 % count == index;
            let own: Arc<[_]> = grown.iter().filter(its).copied().collect();
            if !own.is_empty() {
                // A worker that has ended takes the host down; there is nothing to tell it.
                drop(sender.send(Command::Appended(own)));
            }
        }
    }));
}

/// Starts the supervisor and the watch over the plugin directory.
fn supervise(
    shared: &Arc<Shared>,
    workers: &[CommandSender],
    groups: Option<Arc<Groups>>,
) -> mpsc::UnboundedSender<Inbox> {
    let (inbox, receiver) = mpsc::unbounded_channel();
    shared.introduce_supervisor(inbox.clone());
    let ledgers = Ledgers::new(shared.config.data_dir.join("versions"), shared.store.clone());
    let supervisor =
        Supervisor::new(Arc::clone(shared), workers.to_vec(), ledgers, (inbox.clone(), receiver))
            .with_groups(groups);
    // It waits for the store now and then, so it has a thread of its own.
    let handle = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || handle.block_on(supervisor.run()));
    let rescan = Duration::from_millis(shared.config.plugins.rescan.0);
    let (sender, changes) = mpsc::unbounded_channel();
    let watch = Watch::new(shared.config.plugins_dir.clone(), rescan, sender);
    tokio::spawn(forward(watch, changes, inbox.clone()));
    inbox
}

/// Looks at the plugin directory once, says so, and goes on looking.
async fn forward(
    mut watch: Watch,
    mut changes: mpsc::UnboundedReceiver<Change>,
    inbox: mpsc::UnboundedSender<Inbox>,
) {
    watch.look();
    while let Ok(change) = changes.try_recv() {
        drop(inbox.send(Inbox::Changed(change)));
    }
    drop(inbox.send(Inbox::LookedOnce));
    let looking = tokio::spawn(watch.run());
    while let Some(change) = changes.recv().await {
        if inbox.send(Inbox::Changed(change)).is_err() {
            break;
        }
    }
    looking.abort();
}

/// Serves until told to stop or until a part fails, then ends everything in order.
async fn run(
    shared: Arc<Shared>,
    (mut workers, outboxes, replications): (Workers, Arc<Outboxes>, Arc<Replications>),
    mut server: Server,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Error> {
    let space = tokio::spawn(watch_space(Arc::clone(&shared), workers.senders.clone()));
    let failed = tokio::select! {
        // A closed channel means the owner is gone: stop as if told to.
        _told = stopping.wait_for(|stop| *stop) => None,
        result = workers.results.recv() => Some(result.unwrap_or(Err(Error::WorkerGone))),
        error = server.failed() => Some(Err(error)),
    };
    space.abort();
    if let Some(failed) = failed {
        server.abort();
        return failed;
    }
    tracing::info!("stopping: running attempts may finish, everything staged is committed");
    server.close();
    // What they copy is in the store, or in the cluster that workers leave.
    let closing = tokio::task::spawn_blocking(move || replications.close());
    workers.drain().await?;
    outboxes.ended().await;
    closing.await.map_err(|_panicked| Error::WorkerGone)?;
    server.closed().await?;
    let store = shared.store.clone();
    tokio::task::spawn_blocking(move || store.close())
        .await
        .map_err(|_panicked| Error::WorkerGone)??;
    tracing::info!("stopped");
    Ok(())
}

/// Looks at the cluster's topics now and then, and lets streams look for what was appended: a
/// cluster tells nobody.
async fn watch_topics(host: Host) {
    if host.broker().kafka().is_none() {
        return;
    }
    let mut look = tokio::time::interval(TOPICS_LOOK);
    let mut nudge = tokio::time::interval(STREAMS_LOOK);
    loop {
        tokio::select! {
            _ = look.tick() => {
                let shared = Arc::clone(host.shared());
                let looking = tokio::task::spawn_blocking(move || look_at_topics(&shared));
                // A look that panicked is not repeated by this one.
                drop(looking.await);
            }
            _ = nudge.tick() => host.nudge_streams(),
        }
    }
}

/// Looks once, and lets plugins be bound anew where topics changed under them.
fn look_at_topics(shared: &Shared) {
    let Some(kafka) = shared.broker.kafka() else { return };
    if let Err(error) = kafka.look() {
        tracing::debug!(code = error.code(), %error, "look at the cluster's topics");
    }
    if kafka.take_changed() {
        shared.tell_supervisor(Inbox::TopicsChanged);
    }
}

/// Tells the workers when storage runs short and when it has room again.
async fn watch_space(shared: Arc<Shared>, workers: Vec<CommandSender>) {
    let mut was_low = false;
    loop {
        let space = shared.store.space();
        if space.low != was_low {
            was_low = space.low;
            let (free, total) = (space.free.0, space.total.0);
            if space.low {
                tracing::error!(
                    code = "E0463",
                    free,
                    total,
                    "storage is short: consumption and ingest stop until there is room"
                );
            } else {
                tracing::info!(free, total, "storage has room again");
            }
            for worker in &workers {
                drop(worker.send(Command::StorageLow(space.low)));
            }
        }
        tokio::time::sleep(SPACE_LOOK).await;
    }
}
