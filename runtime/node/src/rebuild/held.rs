//! Has the worker of a partition hold it at a checkpoint, and go on with it whatever happens to
//! whoever asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gristmill_store::{Change, Scope};
use tokio::sync::{mpsc, oneshot};

use super::RebuildError;
use crate::worker::{Command, Holding};

/// Longest wait for a partition to be held: attempts that run are given 5 s to end.
const HOLD_MAX: Duration = Duration::from_secs(30);

/// Between two looks at whether it goes on.
const LOOK: Duration = Duration::from_millis(20);

/// Tells one hold from the next.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A partition that is held. It goes on when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    worker: mpsc::UnboundedSender<Command>,
    scope: Scope,
    number: u64,
}

impl Held {
    /// Holds a partition, wherever it is on this host; `None` when nobody here has it.
    pub(super) async fn begin(
        workers: &[mpsc::UnboundedSender<Command>],
        scope: Scope,
    ) -> Option<Self> {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let place = (scope.subscription, scope.partition);
        for worker in workers {
            let (told, answer) = oneshot::channel();
            let held = Self { worker: worker.clone(), scope, number };
            drop(worker.send(Command::Hold(Holding::Begin(place, number, told))));
            if let Ok(Ok(())) = tokio::time::timeout(HOLD_MAX, answer).await {
                return Some(held);
            }
            // Dropped here: a worker that comes to hold it later goes on at once.
        }
        None
    }

    /// Makes changes of the state true in the cluster.
    pub(super) async fn change(&self, changes: Vec<Change>) -> Result<bool, RebuildError> {
        let place = (self.scope.subscription, self.scope.partition);
        let (answer, done) = oneshot::channel();
        let asked = Holding::Change(place, self.number, changes, answer);
        drop(self.worker.send(Command::Hold(asked)));
        match done.await {
            Ok(result) => result.map(|()| true).map_err(RebuildError::from),
            Err(_moved) => Ok(false),
        }
    }

    /// Lets it go on, and waits until it does.
    pub(super) async fn end(self, is_running: impl Fn() -> bool) {
        let place = (self.scope.subscription, self.scope.partition);
        let (told, begun) = oneshot::channel();
        let asked = Holding::End(place, self.number, Some(told));
        drop(self.worker.send(Command::Hold(asked)));
        // A worker that has ended tells nobody.
        let _ended = begun.await.is_err();
        let waited = Instant::now();
        while !is_running() && waited.elapsed() < HOLD_MAX {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let place = (self.scope.subscription, self.scope.partition);
        // A worker that has ended holds nothing.
        drop(self.worker.send(Command::Hold(Holding::End(place, self.number, None))));
    }
}
