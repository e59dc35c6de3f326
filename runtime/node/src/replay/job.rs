//! Owns replays under way and those that ended: one per subscription, on a thread of its own. It
//! never decides what a replay does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::watch;

use super::apply::Applied;
use super::pace::Pace;
use super::range::{Range, resolve};
use super::report::{Effect, Report, Status, Told};
use super::suppress::Suppressed;
use super::{Effects, ReplayError, Wanted};
use crate::plugins::SubscriptionStatus;
use crate::shared::Shared;

/// Replays by subscription.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<BTreeMap<String, Arc<Job>>>);

/// One replay.
#[derive(Debug)]
pub(crate) struct Job {
    pub(super) wanted: Wanted,
    report: Mutex<Report>,
    /// What events did, where it is to be shown.
    shown: Mutex<Vec<Effect>>,
    cancel: watch::Sender<bool>,
    ended: watch::Sender<bool>,
}

impl Jobs {
    /// Begins a replay, unless one of the subscription is under way. Waits.
    pub(crate) fn start(
        &self,
        shared: &Arc<Shared>,
        status: SubscriptionStatus,
        wanted: Wanted,
        stopping: watch::Receiver<bool>,
    ) -> Result<Arc<Job>, ReplayError> {
        let subscription = status.binding.name.to_string();
        let range = resolve(shared, &status, &wanted)?;
        let report = Report::new(&subscription, &wanted, &range);
        let job = Arc::new(Job {
            wanted,
            report: Mutex::new(report),
            shown: Mutex::default(),
            cancel: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        });
        let mut jobs = lock(&self.0);
        if jobs.get(&subscription).is_some_and(|job| !*job.ended.borrow()) {
            return Err(ReplayError::Busy { subscription });
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ReplayError::Thread)?;
        let (shared, own) = (Arc::clone(shared), Arc::clone(&job));
        let work = move || runtime.block_on(own.run(&shared, &status, (&range, stopping)));
        thread::Builder::new()
            .name("replay".to_owned())
            .spawn(work)
            .map_err(ReplayError::Thread)?;
        jobs.insert(subscription, Arc::clone(&job));
        Ok(job)
    }

    /// The last replay of a subscription since the host started.
    pub(crate) fn find(&self, subscription: &str) -> Option<Arc<Job>> {
        lock(&self.0).get(subscription).map(Arc::clone)
    }
}

impl Job {
    /// How it stands.
    pub(crate) fn report(&self) -> Report {
        lock(&self.report).clone()
    }

    /// What events did after the first `after` of what is shown, some at a time.
    pub(crate) fn shown(&self, after: usize, limit: usize) -> Vec<Effect> {
        lock(&self.shown).iter().skip(after).take(limit).cloned().collect()
    }

    /// Has it end, and waits until it has.
    pub(crate) async fn cancel(&self) -> Report {
        self.cancel.send_replace(true);
        // It is owned by whoever waits here, so the channel never closes.
        let _ended = self.ended.subscribe().wait_for(|ended| *ended).await.is_ok();
        self.report()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Report)) {
        change(&mut lock(&self.report));
    }

    pub(super) fn show(&self, effects: impl Iterator<Item = Effect>) {
        lock(&self.shown).extend(effects);
    }

    async fn run(
        &self,
        shared: &Arc<Shared>,
        status: &SubscriptionStatus,
        (range, stopping): (&Range, watch::Receiver<bool>),
    ) {
        let mut pace = Pace::new(self.wanted.rate, self.cancel.subscribe(), stopping);
        let ended = match self.wanted.effects {
            Effects::Suppress => match Suppressed::new(shared, status, (self, range)) {
                Ok(mut replay) => replay.run(&mut pace).await,
                Err(error) => Err(error),
            },
            Effects::Apply => Applied { shared, status, job: self, range }.run(&mut pace).await,
        };
        self.change(|report| match &ended {
            Ok(status) => report.status = *status,
            Err(error) => {
                report.status = Status::Failed;
                report.error = Some(Told::from(error));
            }
        });
        let Report { subscription, topic, events, applied, status, .. } = self.report();
        tracing::info!(target: "gristmill::audit", subscription, topic, events, applied, ?status,
            "replay ended");
        self.ended.send_replace(true);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is whole: what a panicking thread left can be told.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
