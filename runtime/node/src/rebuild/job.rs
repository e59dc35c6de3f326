//! Owns rebuilds under way and those that ended: one per subscription, on a thread of its own. It
//! never decides what a rebuild does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use gristmill_engine::{PartitionId, SubscriptionId};
use gristmill_store::{Batch, Change, Cleared, Failed, Scope};
use tokio::sync::{mpsc, watch};

use super::error::must_be_possible;
use super::partition::{Rebuilding, clear};
use super::report::{Part, Report, Status, Told};
use super::{RebuildError, Wanted};
use crate::plugins::SubscriptionStatus;
use crate::replay::Pace;
use crate::shared::Shared;
use crate::snapshots::{self, Opened};
use crate::states::States;
use crate::worker::{Command, withheld_runner};

/// How names begin under which new states are kept in the store. No subscription has such a name.
const NAMED: &str = "rebuild/";

/// Rebuilds by subscription.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<BTreeMap<String, Arc<Job>>>);

/// One rebuild.
#[derive(Debug)]
pub(crate) struct Job {
    pub(super) wanted: Wanted,
    report: Mutex<Report>,
    cancel: watch::Sender<bool>,
    ended: watch::Sender<bool>,
}

/// What a rebuild is of.
pub(crate) struct Within {
    pub(crate) shared: Arc<Shared>,
    pub(crate) status: SubscriptionStatus,
    pub(crate) workers: Vec<mpsc::UnboundedSender<Command>>,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Jobs {
    /// Begins a rebuild, unless one of the subscription is under way. Waits.
    pub(crate) fn start(&self, within: Within, wanted: Wanted) -> Result<Arc<Job>, RebuildError> {
        must_be_possible(&within.shared, &within.status)?;
        let subscription = within.status.binding.name.to_string();
        let new = within.shared.store.subscription(&format!("{NAMED}{subscription}"))?;
        let states = States::new(Arc::clone(&within.shared), within.status.clone());
        let (here, elsewhere) = states.partitions();
        let numbers = |of: &[PartitionId]| of.iter().map(|it| it.0).collect::<Vec<u32>>();
        let report = Report::new(&subscription, &wanted, &numbers(&here), &numbers(&elsewhere));
        let opened = wanted
            .from_snapshot
            .as_deref()
            .map(|name| snapshots::open(&within.shared, (&subscription, name), &here));
        let opened = opened.transpose()?;
        let job = Arc::new(Job {
            wanted,
            report: Mutex::new(report),
            cancel: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        });
        let mut jobs = lock(&self.0);
        if jobs.get(&subscription).is_some_and(|job| !*job.ended.borrow()) {
            return Err(RebuildError::Busy { subscription });
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(RebuildError::Thread)?;
        let own = Arc::clone(&job);
        let work = move || runtime.block_on(own.run(&within, (&here, opened), new));
        thread::Builder::new()
            .name("rebuild".to_owned())
            .spawn(work)
            .map_err(RebuildError::Thread)?;
        jobs.insert(subscription, Arc::clone(&job));
        Ok(job)
    }

    /// The last rebuild of a subscription since the host started.
    pub(crate) fn find(&self, subscription: &str) -> Option<Arc<Job>> {
        lock(&self.0).get(subscription).map(Arc::clone)
    }
}

/// Forgets what rebuilds left that were under way when their host was killed. Waits.
pub(crate) fn clear_left(shared: &Shared) -> Result<(), Failed> {
    let left = shared.store.subscriptions();
    let left = left.into_iter().filter(|(name, _)| name.starts_with(NAMED));
    let what = Cleared { state: true, timers: true, ..Cleared::default() };
    let clear =
        |(_, subscription)| Change::SubscriptionClear { subscription, partition: None, what };
    let changes: Vec<Change> = left.map(clear).collect();
    if changes.is_empty() {
        return Ok(());
    }
    shared.write_store(Batch { changes, ..Batch::default() }).map(drop)
}

impl Job {
    /// How it stands.
    pub(crate) fn report(&self) -> Report {
        lock(&self.report).clone()
    }

    /// Has it end, and waits until it has.
    pub(crate) async fn cancel(&self) -> Report {
        self.cancel.send_replace(true);
        // It is owned by whoever waits here, so the channel never closes.
        let _ended = self.ended.subscribe().wait_for(|ended| *ended).await.is_ok();
        self.report()
    }

    pub(super) fn change_part(&self, partition: PartitionId, change: impl FnOnce(&mut Part)) {
        let mut report = lock(&self.report);
        if let Some(part) = report.partitions.iter_mut().find(|it| it.partition == partition.0) {
            change(part);
        }
    }

    async fn run(
        &self,
        within: &Within,
        here: (&[PartitionId], Option<Opened>),
        new: SubscriptionId,
    ) {
        let result = self.partitions(within, here, new).await;
        let mut report = lock(&self.report);
        report.status = match &result {
            Ok(()) => Status::Done,
            Err(RebuildError::Cancelled) => Status::Cancelled,
            Err(_) => Status::Failed,
        };
        report.error = result.as_ref().err().map(Told::from);
        let (subscription, status) = (report.subscription.clone(), report.status);
        drop(report);
        let error = result.err().map(|error| crate::error::chain(&error));
        tracing::info!(target: "gristmill::audit", subscription, ?status, error, "rebuild ended");
        self.ended.send_replace(true);
    }

    async fn partitions(
        &self,
        within: &Within,
        (here, mut snapshot): (&[PartitionId], Option<Opened>),
        new: SubscriptionId,
    ) -> Result<(), RebuildError> {
        // All of it, before any state is replaced.
        snapshot.as_mut().map(Opened::check).transpose()?;
        let subscription = within.status.id;
        let runner = withheld_runner(&within.shared, &within.status.binding)?;
        for partition in here.iter().copied() {
            let scope = Scope { subscription, partition };
            let beside = Scope { subscription: new, partition };
            let cancelled = self.cancel.subscribe();
            let mut pace = Pace::new(self.wanted.rate, cancelled, within.stopping.clone());
            let scopes = (scope, beside);
            let result = match Rebuilding::new((within, self), &runner, scopes, snapshot.as_mut()) {
                Ok(mut rebuilding) => rebuilding.run(&mut pace).await,
                Err(error) => Err(error),
            };
            if result.is_err() {
                clear(&within.shared, beside)?;
            }
            result?;
        }
        Ok(())
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is whole: what a panicking thread left can be told.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
