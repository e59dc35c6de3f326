//! Owns what the HTTP surface may ask of a running host: one method per question or operation. It
//! knows no HTTP, and HTTP knows nothing behind it.

use std::sync::{Arc, OnceLock};

use bytestring::ByteString;
use gristmill_engine::{Figures, PartitionId, TopicId};
use gristmill_store::{Batch, Receipt, Store, Topic};
use serde::Serialize;
use tokio::sync::{Mutex, broadcast, mpsc, oneshot, watch};

use crate::broker::{self, Broker, Failed};
use crate::groups::Groups;
use crate::letters::{self, Letter, LetterId, Redriven, Rehearsed, Selection};
use crate::outbox::Outboxes;
use crate::plugins::{Inbox, Operation, PluginStatus, Refusal, SubscriptionStatus};
use crate::rebuild::{self, RebuildError};
use crate::replay::{self, ReplayError};
use crate::replication::{Replications, Report};
use crate::shared::Shared;
use crate::snapshots::{self, SnapshotError};
use crate::states::States;
use crate::worker::Command;
use crate::{Error, topics};

/// Growth notices a slow listener may be behind before it is told that it missed some.
const GROWTH_NOTICES: usize = 1_024;

/// A running host as HTTP sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    inbox: mpsc::UnboundedSender<Inbox>,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    stopping: watch::Receiver<bool>,
    grown: broadcast::Sender<Arc<[(TopicId, PartitionId)]>>,
    /// Memberships, where topics live in a cluster.
    groups: Option<Arc<Groups>>,
    /// Relays of outboxes, once they are started.
    outboxes: OnceLock<Arc<Outboxes>>,
    replications: Arc<Replications>,
    /// Two redrives at once would put one letter back twice.
    redriving: Mutex<()>,
    replays: Arc<replay::Jobs>,
    rebuilds: Arc<rebuild::Jobs>,
    snapshots: Arc<snapshots::Takes>,
}

/// What works on events and copies them: workers, memberships where topics live in a cluster, and
/// replications.
pub(crate) type Works =
    (Vec<mpsc::UnboundedSender<Command>>, Option<Arc<Groups>>, Arc<Replications>);

/// One condition of readiness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What is checked.
    pub(crate) name: &'static str,
    /// Whether it holds.
    pub(crate) ok: bool,
    /// Why not, or what is worth knowing though it does.
    pub(crate) reason: String,
}

/// Events published and not yet finished, by topic.
pub(crate) type Lag = Vec<(ByteString, u64)>;

/// A subscription with what the engines hold of it, over all workers.
#[derive(Debug, Clone)]
pub(crate) struct SubscriptionView {
    /// Its name.
    pub(crate) name: String,
    /// Binding, plugin and pause.
    pub(crate) status: SubscriptionStatus,
    /// What the engines hold.
    pub(crate) figures: Figures,
    /// Events published and not yet finished, per topic.
    pub(crate) lag: Lag,
    /// Dead letters not driven again.
    pub(crate) dead_letters: u64,
}

impl Host {
    /// The host around `shared`.
    pub(crate) fn new(
        shared: Arc<Shared>,
        inbox: mpsc::UnboundedSender<Inbox>,
        (workers, groups, replications): Works,
        stopping: &watch::Receiver<bool>,
    ) -> Self {
        let (grown, _) = broadcast::channel(GROWTH_NOTICES);
        let notices = grown.clone();
        shared.store.on_append(Box::new(move |appended| {
            // Nobody streams at the moment.
            if notices.receiver_count() > 0 {
                drop(notices.send(Arc::from(appended)));
            }
        }));
        let inner = Inner {
            shared,
            inbox,
            workers,
            stopping: stopping.clone(),
            grown,
            groups,
            replications,
            outboxes: OnceLock::new(),
            redriving: Mutex::new(()),
            replays: Arc::default(),
            rebuilds: Arc::default(),
            snapshots: Arc::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Configuration, store, clock, metrics and board.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// State, and topics where they live here.
    pub(crate) fn store(&self) -> &Store {
        &self.inner.shared.store
    }

    /// Where topics live.
    pub(crate) fn broker(&self) -> &Broker {
        &self.inner.shared.broker
    }

    /// Says what relays outboxes; the first call counts.
    pub(crate) fn introduce_outboxes(&self, outboxes: Arc<Outboxes>) {
        drop(self.inner.outboxes.set(outboxes));
    }

    /// What relays outboxes, once it is started.
    pub(crate) fn outboxes(&self) -> Option<&Arc<Outboxes>> {
        self.inner.outboxes.get()
    }

    /// Whether the host is ending: nothing new is taken.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.inner.stopping.borrow()
    }

    /// Lets every open stream look for what was appended.
    pub(crate) fn nudge_streams(&self) {
        if self.inner.grown.receiver_count() > 0 {
            drop(self.inner.grown.send(Arc::from([])));
        }
    }

    /// Told which partitions grew, from now on.
    pub(crate) fn growth(&self) -> broadcast::Receiver<Arc<[(TopicId, PartitionId)]>> {
        self.inner.grown.subscribe()
    }

    /// Every condition of readiness, held or not.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let check = |name, ok, reason: &str| Check { name, ok, reason: reason.to_owned() };
        let board = self.inner.shared.board.read();
        let space = self.store().space();
        let failed: Vec<_> = board.plugins.values().filter(|it| it.state == "failed").collect();
        let mut plugins = String::new();
        for plugin in &failed {
            let reason = plugin.error.as_deref().unwrap_or_default();
            plugins = format!("{plugins}{}: {reason}; ", plugin.name);
        }
        let directory = board.directory_error.clone().unwrap_or_default();
        let trouble = self.broker().kafka().and_then(|kafka| kafka.cluster().trouble());
        let trouble = trouble.map(|trouble| trouble.to_string()).unwrap_or_default();
        let mut checks = vec![
            check("running", !self.is_stopping(), if self.is_stopping() { "stopping" } else { "" }),
            check(
                "started",
                board.has_started,
                if board.has_started { "" } else { "plugins are still loading" },
            ),
            check("plugins", failed.is_empty(), plugins.trim_end_matches("; ")),
            check("plugin-directory", directory.is_empty(), &directory),
            check(
                "storage",
                !space.low,
                &if space.low {
                    format!("{} of {} bytes are free", space.free.0, space.total.0)
                } else {
                    String::new()
                },
            ),
        ];
        if self.inner.shared.config.schemas.registry.is_some() {
            let away = self.inner.shared.schemas.all_away();
            let away: Vec<&str> = away.iter().map(|it| it.reason.as_str()).collect();
            checks.push(check("schemas", away.is_empty(), &away.join("; ")));
        }
        checks.extend(self.notes());
        if self.broker().kafka().is_some() {
            checks.push(check("broker", trouble.is_empty(), &trouble));
        }
        if let Some(groups) = &self.inner.groups {
            let silent = groups.silent().join(", ");
            let reason = match &*silent {
                "" => String::new(),
                names => format!("nothing is assigned yet by {names}"),
            };
            checks.push(check("groups", silent.is_empty(), &reason));
        }
        checks
    }

    /// What is worth knowing though the host is ready.
    fn notes(&self) -> Vec<Check> {
        let note = |name, reason: &str| Check { name, ok: true, reason: reason.to_owned() };
        let mut notes = Vec::new();
        let missed = self.inner.shared.encryption.missed().join("; ");
        if !missed.is_empty() {
            // Whoever publishes names keys, and must not make a host look ill by it.
            notes.push(note("encryption", &missed));
        }
        if let Some(trouble) = self.inner.shared.telemetry.trouble() {
            // Nothing that a host is for waits for it.
            notes.push(note("collector", &trouble));
        }
        let outboxes = self.outboxes().into_iter().flat_map(|it| it.all());
        let troubled = outboxes.filter_map(|(name, relay)| {
            let troubles = relay.standing().troubles.join("; ");
            (!troubles.is_empty()).then(|| format!("{name}: {troubles}"))
        });
        let troubled: Vec<String> = troubled.collect();
        if !self.inner.shared.config.outbox.is_empty() {
            // Nobody who asks this host waits for a database beside it.
            notes.push(note("outbox", &troubled.join("; ")));
        }
        let held_up = self.held_up().join("; ");
        if !held_up.is_empty() {
            // The host does all else: another in its place could copy no more than it.
            notes.push(note("replication", &held_up));
        }
        notes
    }

    /// How each replication is.
    pub(crate) fn replications(&self) -> Vec<Report> {
        self.inner.replications.reports()
    }

    /// Replications that do not go on, and why.
    fn held_up(&self) -> Vec<String> {
        let reports = self.replications().into_iter();
        let told = reports.filter_map(|report| {
            let error = report.error?;
            Some(format!("{}: [{}] {}", report.name, error.code, error.text))
        });
        told.collect()
    }

    /// Makes a batch durable.
    pub(crate) async fn write(&self, batch: Batch) -> Result<Receipt, Failed> {
        let (sender, receiver) = oneshot::channel();
        let done = Box::new(move |result| drop(sender.send(result)));
        self.broker().write(self.store(), batch, done);
        receiver.await.unwrap_or(Err(Failed::Store(gristmill_store::Failed::Closed)))
    }

    /// Topics that are not the host's own, by name.
    pub(crate) fn topics(&self) -> Vec<Topic> {
        let mut topics = self.broker().topics();
        let declared = &self.inner.shared.config.topics;
        topics.retain(|topic| {
            !topic.name.starts_with(topics::INTERNAL) && !declared.is_local(&topic.name)
        });
        topics
    }

    /// The topic of that name, or what there is instead. With `create_on_publish` and `publish`
    /// an unknown one is made.
    pub(crate) async fn topic(&self, name: &str, publish: bool) -> Result<Topic, Refusal> {
        let name = self.inner.shared.config.topics.names.on_broker(name);
        if self.inner.shared.config.topics.is_local(name) {
            return Err(Refusal::Local(name.to_owned()));
        }
        let missing = match topics::find(&self.inner.shared, name) {
            Ok(topic) if !name.starts_with(topics::INTERNAL) => return Ok(topic),
            Ok(_) => topics::Missing { name: name.to_owned(), near: Vec::new() },
            Err(missing) => missing,
        };
        let topics = &self.inner.shared.config.topics;
        if !publish || !topics.create_on_publish || name.starts_with(topics::INTERNAL) {
            let known = missing.near;
            return Err(Refusal::Unknown { kind: "topic", name: name.to_owned(), known });
        }
        let (shared, name) = (Arc::clone(&self.inner.shared), name.to_owned());
        let make =
            move || topics::ensure(&shared, topics::spec(&name, &shared.config.topics.defaults));
        self.wait(make).await
    }

    /// Subscriptions that read or fill a topic: while there are any it is not deleted.
    pub(crate) fn users_of(&self, topic: TopicId) -> Vec<String> {
        let board = self.inner.shared.board.read();
        let uses = |status: &SubscriptionStatus| {
            status.binding.sources.iter().any(|source| {
                source.topic == topic || source.dead_letters.is_some_and(|it| it.topic == topic)
            })
        };
        board
            .subscriptions
            .iter()
            .filter(|(_, status)| uses(status))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Subscriptions that keep state or timers of a topic's keys where it has its partitions.
    pub(crate) fn stateful_readers_of(&self, topic: TopicId) -> Vec<String> {
        let board = self.inner.shared.board.read();
        let keeps = |SubscriptionStatus { binding, .. }: &SubscriptionStatus| {
            binding.source(topic).is_some()
                && binding.config.stateful()
                && binding.forwards_to().is_none()
        };
        board
            .subscriptions
            .iter()
            .filter(|(_, status)| keeps(status))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Plugins by name.
    pub(crate) fn plugins(&self) -> Vec<PluginStatus> {
        self.inner.shared.board.read().plugins.values().cloned().collect()
    }

    /// One subscription's binding and pause.
    pub(crate) fn subscription(&self, name: &str) -> Result<SubscriptionStatus, Refusal> {
        let board = self.inner.shared.board.read();
        board.subscriptions.get(name).cloned().ok_or_else(|| Refusal::Unknown {
            kind: "subscription",
            name: name.to_owned(),
            known: board.subscriptions.keys().cloned().collect(),
        })
    }

    /// The state of a subscription; `None` where it may keep none.
    pub(crate) fn states(&self, name: &str) -> Result<Option<States>, Refusal> {
        let states = States::new(Arc::clone(&self.inner.shared), self.subscription(name)?);
        Ok(Some(states).filter(States::are_kept))
    }

    /// Every subscription with what the engines hold of it.
    pub(crate) async fn subscriptions(&self) -> Result<Vec<SubscriptionView>, Refusal> {
        let known: Vec<(String, SubscriptionStatus)> = {
            let board = self.inner.shared.board.read();
            board.subscriptions.iter().map(|(name, it)| (name.clone(), it.clone())).collect()
        };
        let mut views = Vec::with_capacity(known.len());
        for (name, status) in known {
            let shared = Arc::clone(&self.inner.shared);
            let of = status.clone();
            let (lag, dead_letters) = self.wait(move || stored_figures(&shared, &of)).await?;
            // After the lag: an event that is counted by neither is done and durable.
            let figures = self.figures(&status).await;
            views.push(SubscriptionView { name, status, figures, lag, dead_letters });
        }
        Ok(views)
    }

    /// Pauses or resumes a subscription; durable when it returns.
    pub(crate) async fn set_paused(&self, name: &str, is_paused: bool) -> Result<(), Refusal> {
        let name = name.to_owned();
        self.ask(|answer| {
            if is_paused { Operation::Pause(name, answer) } else { Operation::Resume(name, answer) }
        })
        .await
    }

    /// Goes back to an earlier version of a plugin. Answers with the digest now in use.
    pub(crate) async fn rollback(
        &self,
        plugin: &str,
        to: Option<String>,
    ) -> Result<String, Refusal> {
        let plugin = plugin.to_owned();
        self.ask(|answer| Operation::Rollback(plugin, to, answer)).await
    }

    /// Up to `limit` dead letters of a subscription after `after`.
    pub(crate) async fn letters(
        &self,
        subscription: &str,
        selection: Selection,
        (after, limit): (Option<LetterId>, usize),
    ) -> Result<Vec<Letter>, Refusal> {
        let status = self.subscription(subscription)?;
        let shared = Arc::clone(&self.inner.shared);
        self.wait(move || {
            let span = letters::Span { after: after.as_ref(), before: None, limit };
            letters::select(&shared, &status, &selection, span)
        })
        .await
    }

    /// Drives dead letters again.
    pub(crate) async fn redrive(
        &self,
        subscription: &str,
        selection: Selection,
        limit: usize,
    ) -> Result<Redriven, Refusal> {
        let status = self.subscription(subscription)?;
        let _one_at_a_time = self.inner.redriving.lock().await;
        let shared = Arc::clone(&self.inner.shared);
        self.wait(move || letters::redrive(&shared, &status, &selection, limit)).await
    }

    /// Says what a redrive would do now, and does nothing of it.
    pub(crate) async fn rehearse(
        &self,
        subscription: &str,
        selection: Selection,
        limit: usize,
    ) -> Result<Rehearsed, Refusal> {
        let status = self.subscription(subscription)?;
        letters::rehearse(&self.inner.shared, &status, &selection, limit)
            .await
            .map_err(|error: Error| Refusal::Impossible(crate::error::chain(&error)))
    }

    /// Begins a replay of a subscription.
    pub(crate) async fn replay(
        &self,
        subscription: &str,
        wanted: replay::Wanted,
    ) -> Result<Result<Arc<replay::Job>, ReplayError>, Refusal> {
        let status = self.subscription(subscription)?;
        let (shared, jobs) = (Arc::clone(&self.inner.shared), Arc::clone(&self.inner.replays));
        let stopping = self.inner.stopping.clone();
        let start = move || jobs.start(&shared, status, wanted, stopping);
        let started = tokio::task::spawn_blocking(start).await;
        started.map_err(|_stopped| Refusal::Impossible("the host is stopping".to_owned()))
    }

    /// The last replay of a subscription since the host started.
    pub(crate) fn replay_of(&self, subscription: &str) -> Option<Arc<replay::Job>> {
        self.inner.replays.find(subscription)
    }

    /// Begins to rebuild the state of a subscription.
    pub(crate) async fn rebuild(
        &self,
        subscription: &str,
        wanted: rebuild::Wanted,
    ) -> Result<Result<Arc<rebuild::Job>, RebuildError>, Refusal> {
        let within = rebuild::Within {
            shared: Arc::clone(&self.inner.shared),
            status: self.subscription(subscription)?,
            workers: self.inner.workers.clone(),
            stopping: self.inner.stopping.clone(),
        };
        let jobs = Arc::clone(&self.inner.rebuilds);
        let started = tokio::task::spawn_blocking(move || jobs.start(within, wanted)).await;
        started.map_err(|_stopped| Refusal::Impossible("the host is stopping".to_owned()))
    }

    /// The last rebuild of a subscription since the host started.
    pub(crate) fn rebuild_of(&self, subscription: &str) -> Option<Arc<rebuild::Job>> {
        self.inner.rebuilds.find(subscription)
    }

    /// Takes a snapshot of a subscription.
    pub(crate) async fn take_snapshot(
        &self,
        subscription: &str,
        name: Option<String>,
    ) -> Result<Result<snapshots::Taken, SnapshotError>, Refusal> {
        let status = self.subscription(subscription)?;
        let takes = Arc::clone(&self.inner.snapshots);
        let stopping = self.inner.stopping.clone();
        self.snapshots(move |shared| takes.take(shared, &status, name, &stopping)).await
    }

    /// Runs what reads or writes snapshots on a thread that may wait.
    pub(crate) async fn snapshots<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Shared>) -> Result<T, SnapshotError> + Send + 'static,
    ) -> Result<Result<T, SnapshotError>, Refusal> {
        let shared = Arc::clone(&self.inner.shared);
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.map_err(|_stopped| Refusal::Impossible("the host is stopping".to_owned()))
    }

    async fn figures(&self, status: &SubscriptionStatus) -> Figures {
        let mut sum = Figures::default();
        for worker in &self.inner.workers {
            let (sender, receiver) = oneshot::channel();
            drop(worker.send(Command::Figures(status.id, sender)));
            // A worker that has ended holds nothing.
            if let Ok(figures) = receiver.await {
                sum = plus(sum, figures);
            }
        }
        sum
    }

    async fn ask<T>(
        &self,
        operation: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Operation,
    ) -> Result<T, Refusal> {
        let (sender, receiver) = oneshot::channel();
        drop(self.inner.inbox.send(Inbox::Operation(operation(sender))));
        let gone = |_| Refusal::Impossible("the host is stopping".to_owned());
        receiver.await.map_err(gone)?
    }

    /// Runs what reads or writes the store on a thread that may wait.
    pub(crate) async fn wait<T: Send + 'static, E: std::error::Error + Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Refusal> {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result.map_err(|it| Refusal::Impossible(crate::error::chain(&it))),
            Err(_stopped) => Err(Refusal::Impossible("the host is stopping".to_owned())),
        }
    }
}

/// Lag per topic and the dead letters of a subscription, from the store.
fn stored_figures(
    shared: &Shared,
    status: &SubscriptionStatus,
) -> Result<(Lag, u64), broker::Error> {
    let mut lag = Vec::new();
    for source in &status.binding.sources {
        let mut behind = 0_u64;
        for partition in (0..source.partitions).map(PartitionId) {
            let finished = shared.progress.finished(status.id, source.topic, partition);
            let is_coming = shared.progress.is_coming((status.id, source.topic, partition));
            if finished.is_none() && !is_coming && shared.broker.kafka().is_some() {
                // Another host's, which tells of it.
                continue;
            }
            // What was deleted leaves nothing to be done.
            let bounds = shared.broker.bounds(source.topic, partition);
            let Some(bounds) = broker::if_there(bounds)? else { continue };
            let next = finished.map_or(bounds.start, |(next, _)| next.max(bounds.start));
            let ahead = finished.map_or(0, |(_, ahead)| ahead);
            behind =
                behind.saturating_add(bounds.end.0.saturating_sub(next.0).saturating_sub(ahead));
        }
        lag.push((source.name.clone(), behind));
    }
    let mut dead_letters = 0_u64;
    for topic in letters::topics_of(shared, status) {
        let backlog = broker::if_there(letters::backlog(shared, status, &topic))?;
        dead_letters = dead_letters.saturating_add(backlog.unwrap_or(0));
    }
    Ok((lag, dead_letters))
}

fn plus(one: Figures, other: Figures) -> Figures {
    let oldest = [one.oldest_parked, other.oldest_parked].into_iter().flatten().min();
    Figures {
        lanes_active: one.lanes_active.saturating_add(other.lanes_active),
        lanes_parked: one.lanes_parked.saturating_add(other.lanes_parked),
        parked_events: one.parked_events.saturating_add(other.parked_events),
        oldest_parked: oldest,
        events_in_flight: one.events_in_flight.saturating_add(other.events_in_flight),
        retries_scheduled: one.retries_scheduled.saturating_add(other.retries_scheduled),
        timers_pending: one.timers_pending.saturating_add(other.timers_pending),
        outcomes_uncommitted: one.outcomes_uncommitted.saturating_add(other.outcomes_uncommitted),
        circuit: one.circuit.max(other.circuit),
    }
}
