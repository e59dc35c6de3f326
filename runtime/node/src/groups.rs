//! Owns this host's memberships in consumer groups, and which worker holds which number of which
//! subscription. It follows what the groups say; what is done about it is the workers'.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gristmill_engine::{PartitionId, SubscriptionId};
use gristmill_kafka::{Group, Membered};
use tokio::sync::mpsc::UnboundedSender;

use crate::Error;
use crate::binding::Binding;
use crate::broker::Kafka;
use crate::metrics::Metrics;
use crate::worker::{Command, Told};

/// A group is polled at least this often, whatever it says: it takes a silent member for stuck.
const POLL_PAUSE: Duration = Duration::from_secs(1);

/// A group that says nothing for so long to a member, while brokers answer, is warned of, and again
/// after as long: a rebalance takes as long as the slowest member takes to give its numbers back.
const SILENCE_TOLD: Duration = Duration::from_secs(30);

/// Longest wait for the topics of the cluster.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// The memberships of this host.
#[derive(Debug)]
pub(crate) struct Groups {
    shared: Arc<Inner>,
    due: Sender<SubscriptionId>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Inner {
    members: Mutex<BTreeMap<SubscriptionId, Arc<Group>>>,
    holders: Arc<Mutex<Holders>>,
    workers: Vec<UnboundedSender<Command>>,
    is_closed: AtomicBool,
}

/// Which worker holds what.
#[derive(Debug, Default)]
struct Holders {
    /// Of a number that was lost its last worker, and that it does not hold it now.
    numbers: BTreeMap<(SubscriptionId, u32), (usize, bool)>,
}

impl Holders {
    /// The worker for a number that comes: the one that had it when it was lost, because that may
    /// not have heard of it yet, else the one with the least to hold.
    fn choose(&mut self, subscription: SubscriptionId, number: u32, workers: usize) -> usize {
        let last = self.numbers.get(&(subscription, number)).map(|(worker, _)| *worker);
        let worker = last.unwrap_or_else(|| {
            let mut held = vec![(0_u32, 0_u32); workers];
            for ((of, _), (worker, is_held)) in &self.numbers {
                if let Some((own, all)) = held.get_mut(*worker).filter(|_| *is_held) {
                    *own = own.saturating_add(u32::from(*of == subscription));
                    *all = all.saturating_add(1);
                }
            }
            (0..workers).min_by_key(|worker| held.get(*worker).copied()).unwrap_or(0)
        });
        self.numbers.insert((subscription, number), (worker, true));
        worker
    }

    fn revoked(&mut self, subscription: SubscriptionId, number: u32) -> Option<usize> {
        self.numbers.remove(&(subscription, number)).map(|(worker, _)| worker)
    }

    fn lost(&mut self, subscription: SubscriptionId, number: u32) -> Option<usize> {
        let (worker, is_held) = self.numbers.get_mut(&(subscription, number))?;
        *is_held = false;
        Some(*worker)
    }
}

impl Groups {
    /// No memberships yet, and the thread that will poll them.
    pub(crate) fn start(workers: Vec<UnboundedSender<Command>>) -> Result<Self, Error> {
        let (due, told) = channel();
        let shared = Arc::new(Inner {
            members: Mutex::default(),
            holders: Arc::default(),
            workers,
            is_closed: AtomicBool::new(false),
        });
        let inner = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("kafka-groups".to_owned())
            .spawn(move || inner.run(&told))
            .map_err(Error::Thread)?;
        Ok(Self { shared, due, thread: Mutex::new(Some(thread)) })
    }

    /// Joins the group of a subscription, unless this host is in it. Its workers must have been
    /// told of the subscription before.
    pub(crate) fn join(
        &self,
        kafka: &Kafka,
        binding: &Binding,
        metrics: &Metrics,
    ) -> Result<(), gristmill_kafka::Error> {
        let subscription = binding.subscription;
        let member = self.shared.members().get(&subscription).cloned();
        if let Some(member) = member {
            // The version may be a new one because topics grew, and the changelog with them.
            if let Err(error) = member.look(LOOK_MAX) {
                tracing::debug!(subscription = %binding.name, %error, "look at the changelog");
            }
            return Ok(());
        }
        let Some(changelog) = &binding.changelog else { return Ok(()) };
        let workers = self.shared.workers.clone();
        let holders = Arc::clone(&self.shared.holders);
        let name = Arc::clone(&binding.name);
        let rebalances = metrics.rebalances(&binding.name);
        let listener = Box::new(move |told: Membered| {
            rebalances.count(&told);
            tracing::info!(subscription = %name, ?told, "consumer group");
            tell(&holders, &workers, subscription, told);
        });
        let due = self.due.clone();
        let ready = Box::new(move || {
            // The thread has ended when nobody takes it.
            let _told = due.send(subscription);
        });
        let joined = Group::join(kafka.cluster(), (&binding.group, changelog), listener, ready)?;
        let joined = Arc::new(joined);
        for worker in &self.shared.workers {
            let told = Told::Joined(subscription, Arc::clone(&joined));
            drop(worker.send(Command::Told(told)));
        }
        self.shared.members().insert(subscription, joined);
        let _told = self.due.send(subscription);
        Ok(())
    }

    /// Names of groups that have not said what this host holds.
    pub(crate) fn silent(&self) -> Vec<String> {
        let members = self.shared.members();
        let silent = members.values().filter(|group| group.waiting_since().is_some());
        silent.map(|group| group.name().to_string()).collect()
    }

    /// Leaves every group. The workers have given everything back, or are gone. Waits.
    pub(crate) fn close(&self) {
        self.shared.is_closed.store(true, Ordering::Release);
        let _told = self.due.send(SubscriptionId(u32::MAX));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread of consumer groups panicked");
        }
        self.shared.members().clear();
    }
}

impl Inner {
    fn members(&self) -> MutexGuard<'_, BTreeMap<SubscriptionId, Arc<Group>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, told: &Receiver<SubscriptionId>) {
        let mut reached = Instant::now();
        while !self.is_closed.load(Ordering::Acquire) {
            if !self.members().values().all(|group| group.is_reached()) {
                // No group says anything then, and that no broker answers is told already.
                reached = Instant::now();
            } else if reached.elapsed() >= SILENCE_TOLD {
                reached = Instant::now();
                self.tell_silent();
            }
            let due = match told.recv_timeout(POLL_PAUSE) {
                Ok(one) => self.members().get(&one).cloned().into_iter().collect(),
                Err(RecvTimeoutError::Timeout) => {
                    self.members().values().cloned().collect::<Vec<_>>()
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            for group in due {
                group.poll();
            }
        }
    }

    /// Warns of groups that do not say what this host holds.
    fn tell_silent(&self) {
        for group in self.members().values() {
            let silent = group.waiting_since().map(|since| since.elapsed());
            if let Some(silent) = silent.filter(|silent| *silent >= SILENCE_TOLD) {
                tracing::warn!(group = %group.name(), seconds = silent.as_secs(),
                    "a consumer group does not say what this host holds; nothing of it is read");
            }
        }
    }
}

/// Sends on what a group says, each number to the worker that holds it or will.
fn tell(
    holders: &Mutex<Holders>,
    workers: &[UnboundedSender<Command>],
    subscription: SubscriptionId,
    told: Membered,
) {
    let mut holders = holders.lock().unwrap_or_else(PoisonError::into_inner);
    let send = |worker: Option<usize>, told: Told| {
        if let Some(worker) = worker.and_then(|worker| workers.get(worker)) {
            // A worker that has ended takes the host down; there is nothing to tell it.
            drop(worker.send(Command::Told(told)));
        }
    };
    match told {
        Membered::Assigned(numbers, term) => {
            for number in numbers {
                let worker = holders.choose(subscription, number, workers.len());
                send(Some(worker), Told::Granted((subscription, PartitionId(number)), term));
            }
        }
        Membered::Revoked(numbers) => {
            for number in numbers {
                let worker = holders.revoked(subscription, number);
                send(worker, Told::Revoked((subscription, PartitionId(number))));
            }
        }
        Membered::Lost(numbers) => {
            for number in numbers {
                let worker = holders.lost(subscription, number);
                send(worker, Told::Lost((subscription, PartitionId(number))));
            }
        }
        Membered::Failed(error) => send(Some(0), Told::Failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_to_the_worker_with_least_and_back_to_the_one_that_lost_them() {
        let mut holders = Holders::default();
        let (one, other) = (SubscriptionId(1), SubscriptionId(2));
        let chosen: Vec<_> = (0..4).map(|number| holders.choose(one, number, 2)).collect();
        assert_eq!(chosen, [0, 1, 0, 1]);
        assert_eq!(holders.choose(other, 0, 2), 0);
        assert_eq!(holders.choose(SubscriptionId(3), 0, 2), 1, "the less loaded in sum");
        assert_eq!(holders.lost(one, 1), Some(1));
        assert_eq!(holders.revoked(one, 3), Some(1));
        assert_eq!(holders.revoked(one, 3), None);
        assert_eq!(holders.choose(one, 1, 2), 1, "it may not have heard of its loss");
        assert_eq!(holders.choose(one, 9, 2), 1);
    }
}
