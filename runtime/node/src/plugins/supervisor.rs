//! Decides which version of a plugin runs: the directory's newest that is good, or the one an
//! operator rolled back to. Work that takes time (reading, compiling) runs beside it, so that it
//! always answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gristmill_plugin_host::Plugin;
use gristmill_store::{Batch, Change as StoreChange};
use tokio::sync::{mpsc, oneshot};

use super::adopt;
use super::ledger::{self, Files, Ledger, Ledgers};
use super::local::{Expected, LocalTopics};
use super::refused::Refused;
use super::sources;
use super::status::{PluginStatus, SubscriptionStatus, VersionStatus};
use super::watch::Change;
use crate::binding::Binding;
use crate::groups::Groups;
use crate::shared::{PausedBy, Shared};
use crate::worker::Command;

/// What the supervisor is told.
pub(crate) enum Inbox {
    /// The plugin directory changed.
    Changed(Change),
    /// The directory was looked through once.
    LookedOnce,
    /// A version was compiled, or refused.
    Loaded(Box<Loaded>),
    /// An operator wants something.
    Operation(Operation),
    /// Topics came, went, were made anew or grew.
    TopicsChanged,
    /// The engine of a worker paused a subscription, as its policy or its guard says.
    Paused(gristmill_engine::SubscriptionId, PausedBy),
}

/// A version that was compiled in the background.
pub(crate) struct Loaded {
    stem: String,
    files: Files,
    result: Result<adopt::Candidate, Refused>,
    /// Set for a rollback: who waits for its end.
    asked_by: Option<Answer<String>>,
}

/// Where the answer to an operation goes.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Refusal>>;

/// What an operator can ask for.
pub(crate) enum Operation {
    /// Pause a subscription.
    Pause(String, Answer<()>),
    /// Resume it.
    Resume(String, Answer<()>),
    /// Go back to an earlier version of a plugin: the one before, or the digest given (a prefix
    /// of at least eight characters is enough). Answers with the digest now in use.
    Rollback(String, Option<String>, Answer<String>),
}

/// Why an operation was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refusal {
    /// There is nothing of that name.
    #[error("no {kind} {name:?}")]
    Unknown {
        /// `plugin`, `subscription` or `version`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// It is a topic where only handlers publish and read.
    #[error("topic {0:?} is local")]
    Local(String),
    /// It cannot be done now.
    #[error("{0}")]
    Impossible(String),
}

/// Decides which plugin versions run and tells the workers.
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    ledgers: Ledgers,
    inbox: mpsc::UnboundedReceiver<Inbox>,
    sender: mpsc::UnboundedSender<Inbox>,
    plugins: BTreeMap<String, Ledger>,
    /// Loads under way, by stem; readiness waits for those of the start.
    loading: BTreeMap<String, u32>,
    has_looked: bool,
    versions: u32,
    /// The newest files of plugins that were refused for the topics there are.
    refused: BTreeMap<String, Files>,
    /// Memberships in consumer groups, where topics live in a cluster.
    groups: Option<Arc<Groups>>,
    /// Subscriptions of local topics in files that are not in use, by plugin.
    expected: BTreeMap<String, Expected>,
    /// What the workers know of local topics.
    local: Arc<LocalTopics>,
}

impl Supervisor {
    /// A supervisor that tells `workers` what to run.
    pub(crate) fn new(
        shared: Arc<Shared>,
        workers: Vec<mpsc::UnboundedSender<Command>>,
        ledgers: Ledgers,
        channel: (mpsc::UnboundedSender<Inbox>, mpsc::UnboundedReceiver<Inbox>),
    ) -> Self {
        Self {
            shared,
            workers,
            ledgers,
            sender: channel.0,
            inbox: channel.1,
            plugins: BTreeMap::new(),
            loading: BTreeMap::new(),
            has_looked: false,
            versions: 0,
            refused: BTreeMap::new(),
            groups: None,
            expected: BTreeMap::new(),
            local: Arc::default(),
        }
    }

    /// The same supervisor, for topics that live in a cluster.
    pub(crate) fn with_groups(mut self, groups: Option<Arc<Groups>>) -> Self {
        self.groups = groups;
        self
    }

    /// Serves its inbox until the host stops.
    pub(crate) async fn run(mut self) {
        while let Some(told) = self.inbox.recv().await {
            match told {
                Inbox::Changed(change) => self.changed(change),
                Inbox::LookedOnce => {
                    self.has_looked = true;
                    self.note_start();
                }
                Inbox::Loaded(loaded) => self.loaded(*loaded),
                Inbox::Operation(operation) => self.operate(operation),
                Inbox::TopicsChanged => self.topics_changed(),
                Inbox::Paused(subscription, by) => self.paused_by(subscription, by),
            }
            self.tell_local();
        }
    }

    fn changed(&mut self, change: Change) {
        self.shared.board.write(|board| board.directory_error = None);
        match change {
            Change::Files(stem, files) => self.arrived(stem, files),
            Change::Incomplete(stem, missing) => {
                self.refuse(&stem, format!("the other half of the pair is missing: {missing}"));
                self.pause_all(&stem);
            }
            Change::Gone(stem) => {
                tracing::info!(plugin = stem, "plugin files removed; its subscriptions pause");
                self.expected.remove(&stem);
                self.pause_all(&stem);
                self.shared.board.write(|board| {
                    if let Some(plugin) = board.plugins.get_mut(&stem) {
                        plugin.state = "removed";
                        plugin.error = None;
                    }
                });
            }
            Change::Unreadable(reason) => {
                tracing::error!(code = "E0452", reason, "plugin directory cannot be read");
                self.shared.board.write(|board| board.directory_error = Some(reason));
            }
        }
    }

    /// New files are there: they run, unless a rollback set exactly these aside.
    fn arrived(&mut self, stem: String, files: Files) {
        let expected = adopt::local_subscriptions(&self.shared, &stem, &files);
        self.expected.insert(stem.clone(), expected);
        let mut ledger = match self.ledgers.read(&stem) {
            Ok(ledger) => ledger,
            Err(error) => return self.refuse(&stem, crate::error::chain(&error)),
        };
        let pinned = ledger.ignored.as_ref() == Some(&files.digest());
        if !pinned {
            ledger.ignored = None;
        }
        let active = ledger.active.clone();
        self.plugins.insert(stem.clone(), ledger);
        match active.filter(|_| pinned).map(|digest| self.ledgers.files(&stem, &digest)) {
            Some(Ok(rolled_back_to)) => self.load(stem, rolled_back_to, None),
            Some(Err(error)) => {
                let reason = format!("read the version rolled back to: {error}");
                self.refuse(&stem, reason);
            }
            None => self.load(stem, files, None),
        }
    }

    /// Compiles in the background; the answer comes through the inbox.
    fn load(&mut self, stem: String, files: Files, asked_by: Option<Answer<String>>) {
        let under_way = self.loading.entry(stem.clone()).or_default();
        *under_way = under_way.saturating_add(1);
        self.shared.board.write(|board| {
            let plugin = board.plugins.entry(stem.clone()).or_default();
            plugin.name.clone_from(&stem);
            if plugin.digest.is_none() {
                plugin.state = "loading";
            }
        });
        let (shared, sender) = (Arc::clone(&self.shared), self.sender.clone());
        tokio::task::spawn_blocking(move || {
            let result = adopt::candidate(&shared, &stem, &files);
            let loaded = Loaded { stem, files, result, asked_by };
            // The host is stopping when nobody takes it.
            drop(sender.send(Inbox::Loaded(Box::new(loaded))));
        });
    }

    fn loaded(&mut self, loaded: Loaded) {
        let Loaded { stem, files, result, asked_by } = loaded;
        let outcome = result.and_then(|candidate| self.adopt(&stem, &files, &candidate));
        if let Some(under_way) = self.loading.get_mut(&stem) {
            *under_way = under_way.saturating_sub(1);
        }
        self.loading.retain(|_, under_way| *under_way > 0);
        match &outcome {
            Ok(_) => {
                self.refused.remove(&stem);
                self.expected.remove(&stem);
            }
            Err(refused) => {
                self.refuse(&stem, refused.to_string());
                self.fall_back(&stem, &files);
                if refused.is_misplaced() {
                    let all = self.subscriptions_of(&stem, |_| true);
                    self.pause(all, "topics grew");
                }
                if refused.waits_for_topics() {
                    self.refused.insert(stem, files);
                }
            }
        }
        if let Some(answer) = asked_by {
            let answered = outcome.map_err(|refused| Refusal::Impossible(refused.to_string()));
            drop(answer.send(answered));
        }
        self.note_start();
    }

    /// At start a bad file must not stop what ran before: the last good version runs instead.
    fn fall_back(&mut self, stem: &str, refused: &Files) {
        let runs_already = self
            .shared
            .board
            .read()
            .plugins
            .get(stem)
            .is_some_and(|plugin| plugin.digest.is_some());
        let Some(active) = self.plugins.get(stem).and_then(|ledger| ledger.active.clone()) else {
            return;
        };
        if runs_already || active == refused.digest() {
            return;
        }
        if let Ok(files) = self.ledgers.files(stem, &active) {
            self.load(stem.to_owned(), files, None);
        }
    }

    /// What was refused may be good now, and what reads topics that changed is bound anew.
    fn topics_changed(&mut self) {
        let refused = std::mem::take(&mut self.refused);
        let board = self.shared.board.read();
        let subscriptions = board.subscriptions.values();
        let bound = subscriptions.map(|it| (it.plugin.clone(), Arc::clone(&it.binding)));
        let bound: Vec<_> = bound.filter(|(stem, _)| !refused.contains_key(stem)).collect();
        drop(board);
        let changed = bound.iter().filter(|(_, it)| sources::have_changed(&self.shared, it));
        let stems: BTreeSet<String> = changed.map(|(stem, _)| stem.clone()).collect();
        for (stem, files) in refused {
            self.load(stem, files, None);
        }
        for stem in stems {
            let active = self.plugins.get(&stem).and_then(|ledger| ledger.active.clone());
            match active.map(|digest| self.ledgers.files(&stem, &digest)) {
                Some(Ok(files)) => self.load(stem, files, None),
                Some(Err(error)) => self.refuse(&stem, format!("read its files again: {error}")),
                None => {}
            }
        }
    }

    /// Binds every subscription of a checked version, remembers it and tells the workers.
    fn adopt(
        &mut self,
        stem: &str,
        files: &Files,
        candidate: &adopt::Candidate,
    ) -> Result<String, Refused> {
        adopt::check_names(&self.shared, stem, candidate)?;
        self.ledgers.keep(stem, files).map_err(|error| Refused::keep(&error))?;
        let mut bindings = Vec::new();
        for subscription in &candidate.manifest.subscriptions {
            self.versions = self.versions.saturating_add(1);
            let version = gristmill_engine::Version(self.versions);
            bindings.push(adopt::bind(&self.shared, candidate, subscription, version)?);
        }
        self.remember(stem, files)?;
        let names: Vec<String> = bindings.iter().map(|it| it.name.to_string()).collect();
        self.retire_missing(stem, &names);
        for binding in bindings {
            self.start(stem, &binding);
        }
        self.show_running(stem, files, &candidate.plugin, names);
        Ok(files.digest())
    }

    fn start(&mut self, stem: &str, binding: &Arc<Binding>) {
        let name = binding.name.to_string();
        let paused = match (self.shared.paused_by(&name), binding.config.enabled) {
            (Some(by), _) => Some(by.name()),
            (None, false) => Some("disabled"),
            (None, true) => None,
        };
        let before = self.shared.board.write(|board| {
            let status = SubscriptionStatus {
                id: binding.subscription,
                plugin: stem.to_owned(),
                binding: Arc::clone(binding),
                paused,
            };
            board.subscriptions.insert(name, status).and_then(|before| before.paused)
        });
        if binding.config.local {
            return;
        }
        let id = binding.subscription;
        self.tell(|| Command::Bind(Arc::clone(binding), paused.is_some()));
        self.join(binding);
        match (before, paused) {
            (_, Some(_)) => self.tell(|| Command::Pause(id)),
            (Some(_), None) => self.tell(|| Command::Resume(id)),
            (None, None) => {}
        }
    }

    /// Takes part in the subscription's consumer group, where topics live in a cluster.
    fn join(&self, binding: &Binding) {
        let (Some(groups), Some(kafka)) = (&self.groups, self.shared.broker.kafka()) else {
            return;
        };
        if let Err(error) = groups.join(kafka, binding, &self.shared.metrics) {
            tracing::error!(code = error.code(), subscription = %binding.name,
                error = crate::error::chain(&error), "join the consumer group");
        }
    }

    /// Subscriptions the plugin no longer has are paused, as if its files were gone.
    fn retire_missing(&mut self, stem: &str, names: &[String]) {
        let gone = self.subscriptions_of(stem, |name| !names.iter().any(|it| it == name));
        self.pause(gone, "removed");
    }

    fn pause_all(&mut self, stem: &str) {
        let all = self.subscriptions_of(stem, |_| true);
        self.pause(all, "removed");
    }

    fn pause(
        &mut self,
        subscriptions: Vec<(String, gristmill_engine::SubscriptionId)>,
        why: &'static str,
    ) {
        for (name, id) in subscriptions {
            self.shared.board.write(|board| {
                if let Some(status) = board.subscriptions.get_mut(&name) {
                    status.paused = Some(why);
                }
            });
            self.tell_of(&name, || Command::Pause(id));
        }
    }

    fn subscriptions_of(
        &self,
        stem: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Vec<(String, gristmill_engine::SubscriptionId)> {
        let board = self.shared.board.read();
        let of_plugin = board.subscriptions.iter().filter(|(_, status)| status.plugin == stem);
        of_plugin
            .filter(|(name, _)| wanted(name))
            .map(|(name, status)| (name.clone(), status.id))
            .collect()
    }

    /// A worker has paused a subscription: so do the others, until an operator resumes it.
    fn paused_by(&mut self, subscription: gristmill_engine::SubscriptionId, by: PausedBy) {
        let board = self.shared.board.read();
        let found = board.subscriptions.iter().find(|(_, status)| status.id == subscription);
        let named = found.map(|(name, status)| (name.clone(), status.id));
        drop(board);
        let Some((name, id)) = named else { return };
        match by {
            PausedBy::Guard => tracing::error!(
                code = "E0468",
                subscription = name,
                "too many events became dead letters, which paused the subscription; resume it \
                 when the cause is gone"
            ),
            PausedBy::Policy | PausedBy::Operator => tracing::error!(
                code = "E0454",
                subscription = name,
                "an exhausted event paused its subscription; resume it when the cause is gone"
            ),
        }
        if let Err(error) = self.shared.remember_paused(&name, Some(by)) {
            tracing::error!(code = error.error().code(), subscription = name, %error,
                "remember that a subscription is paused: a restart would resume it");
        }
        self.pause(vec![(name, id)], by.name());
    }

    fn operate(&mut self, operation: Operation) {
        match operation {
            Operation::Pause(name, answer) => {
                let done = self.set_paused(&name, true);
                drop(answer.send(done));
            }
            Operation::Resume(name, answer) => {
                let done = self.set_paused(&name, false);
                drop(answer.send(done));
            }
            Operation::Rollback(stem, to, answer) => {
                match self.rollback_target(&stem, to.as_deref()) {
                    Ok(files) => self.load(stem, files, Some(answer)),
                    Err(refusal) => drop(answer.send(Err(refusal))),
                }
            }
        }
    }

    fn set_paused(&mut self, name: &str, is_paused: bool) -> Result<(), Refusal> {
        let board = self.shared.board.read();
        let Some(status) = board.subscriptions.get(name) else {
            let known = board.subscriptions.keys().cloned().collect();
            return Err(Refusal::Unknown { kind: "subscription", name: name.to_owned(), known });
        };
        let (id, before) = (status.id, status.paused);
        drop(board);
        if !is_paused && before == Some("removed") {
            return Err(Refusal::Impossible(format!(
                "the files of subscription {name:?} are gone; put them back to resume it"
            )));
        }
        self.shared
            .remember_paused(name, is_paused.then_some(PausedBy::Operator))
            .map_err(|error| Refusal::Impossible(crate::error::chain(&error)))?;
        self.shared.board.write(|board| {
            if let Some(status) = board.subscriptions.get_mut(name) {
                status.paused = is_paused.then_some(PausedBy::Operator.name());
            }
        });
        tracing::info!(subscription = name, is_paused, "an operator changed a subscription");
        self.tell_of(name, || if is_paused { Command::Pause(id) } else { Command::Resume(id) });
        Ok(())
    }

    fn rollback_target(&mut self, stem: &str, to: Option<&str>) -> Result<Files, Refusal> {
        let Some(ledger) = self.plugins.get_mut(stem) else {
            let known = self.plugins.keys().cloned().collect();
            return Err(Refusal::Unknown { kind: "plugin", name: stem.to_owned(), known });
        };
        let target = match to {
            None => ledger.previous().map(|entry| entry.digest.clone()).ok_or_else(|| {
                Refusal::Impossible(format!("plugin {stem:?} has no earlier version"))
            })?,
            Some(prefix) => {
                let known: Vec<_> = ledger.versions.iter().map(|it| it.digest.clone()).collect();
                let wanted = known.iter().find(|it| prefix.len() >= 8 && it.starts_with(prefix));
                let name = prefix.to_owned();
                wanted.cloned().ok_or(Refusal::Unknown { kind: "version", name, known })?
            }
        };
        // What the directory holds is set aside until it changes.
        ledger.ignored.clone_from(&ledger.active);
        self.ledgers.files(stem, &target).map_err(|error| {
            Refusal::Impossible(format!("read version {target} of plugin {stem:?}: {error}"))
        })
    }

    fn remember(&mut self, stem: &str, files: &Files) -> Result<(), Refused> {
        let kept = usize::try_from(self.shared.config.plugins.history).unwrap_or(usize::MAX);
        let ledger = self.plugins.entry(stem.to_owned()).or_default();
        let forgotten = ledger.activate(ledger::entry(files, self.shared.clock.now()), kept);
        let (name, value) = Ledgers::document(stem, ledger);
        let change = StoreChange::Document { name, value: Some(value) };
        let batch = Batch { changes: vec![change], ..Batch::default() };
        self.shared.write_store(batch).map_err(|failed| Refused::store(&failed))?;
        self.ledgers.forget(stem, &forgotten);
        Ok(())
    }

    fn show_running(&self, stem: &str, files: &Files, plugin: &Plugin, names: Vec<String>) {
        let Some(ledger) = self.plugins.get(stem) else { return };
        let digest = files.digest();
        let history = ledger.versions.iter().rev().map(|entry| VersionStatus {
            digest: entry.digest.clone(),
            component_digest: entry.component.clone(),
            activated_ms: entry.activated_ms,
            active: entry.digest == digest,
        });
        let status = PluginStatus {
            name: stem.to_owned(),
            state: "running",
            component_digest: Some(plugin.digest().to_owned()),
            subscriptions: names,
            error: None,
            pinned: ledger.ignored.is_some(),
            history: history.collect(),
            digest: Some(digest.clone()),
        };
        self.shared.metrics.plugin_activated(stem, &digest, plugin.digest());
        tracing::info!(plugin = stem, digest, "plugin version is ready");
        self.shared.board.write(|board| board.plugins.insert(stem.to_owned(), status));
    }

    /// The newest files are no good: the version in use goes on, and everyone can read why.
    fn refuse(&self, stem: &str, reason: String) {
        tracing::error!(code = "E0451", plugin = stem, reason, "plugin version refused");
        self.shared.metrics.plugin_load_failed(stem);
        self.shared.board.write(|board| {
            let plugin = board.plugins.entry(stem.to_owned()).or_default();
            stem.clone_into(&mut plugin.name);
            plugin.error = Some(reason);
            if plugin.digest.is_none() {
                plugin.state = "failed";
            }
        });
    }

    fn note_start(&mut self) {
        if self.has_looked && self.loading.is_empty() {
            self.shared.board.write(|board| board.has_started = true);
        }
    }

    /// Tells the engines of a subscription; they know none of local topics.
    fn tell_of(&self, name: &str, command: impl Fn() -> Command) {
        let board = self.shared.board.read();
        let is_local = board.subscriptions.get(name).is_some_and(|it| it.binding.config.local);
        drop(board);
        if !is_local {
            self.tell(command);
        }
    }

    /// Tells the workers who handles local topics, when that has changed.
    fn tell_local(&mut self) {
        if self.shared.config.topics.local().next().is_none() {
            return;
        }
        let board = self.shared.board.read();
        let local = LocalTopics::new(self.has_looked, &board, &self.expected);
        drop(board);
        if local != *self.local {
            self.local = Arc::new(local);
            let local = Arc::clone(&self.local);
            self.tell(|| Command::Local(Arc::clone(&local)));
        }
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            // A worker that has ended takes the host down; there is nothing to tell it.
            drop(worker.send(command()));
        }
    }
}
