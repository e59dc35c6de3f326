//! Makes one worker's effects true on Kafka, one checkpoint at a time: its records, its changelog
//! and its offsets, in one transaction where each is to count once. Waits on a thread of its own,
//! so that the worker never does. It never decides what belongs into a checkpoint, and leaves to
//! the engine's `transaction` by which steps it becomes true and what a failure means.

mod acknowledged;
mod attempt;
mod courier;
mod course;
mod pace;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytestring::ByteString;
use gristmill_engine::transaction::{self as protocol, Committing, Guarantee, Part};
use gristmill_engine::{Millis, Offset};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{Producer, ThreadedProducer};

use self::acknowledged::Acknowledged;
use self::attempt::{Failure, Refused};
use self::courier::Courier;
use self::course::Course;
use self::pace::Pace;
use crate::cluster::Cluster;
use crate::error::{About, Cause, Error};
use crate::group::{Group, Term};
use crate::record::NewRecord;

/// Longest wait for the broker to take offsets or the end of a transaction. Beyond it nobody can
/// say what became of it, and the producer is given up (source: the contract, "Ambiguity").
const END_MAX: Duration = Duration::from_secs(5);
/// Longest wait for one try of initialising a producer.
const INIT_MAX: Duration = Duration::from_secs(10);
/// Wait between two tries of initialising a producer.
const INIT_PAUSE: Duration = Duration::from_millis(500);
/// Time without a producer, while brokers answer, after which that is said, and said again.
const INIT_TOLD: Duration = Duration::from_secs(30);

/// Steps of a checkpoint, in order; for tests that end the process between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The coordinator has taken the offsets of the first group. Only in a transaction.
    Admitted,
    /// Its records are handed over.
    Begun,
    /// The offsets of all groups are taken. Only in a transaction.
    OffsetsSent,
    /// Its records are, the changelog's too.
    Written,
    /// All of it counts.
    Committed,
    /// The coordinator had time to put it away, and takes the next. Only after a transaction.
    Waited,
}

/// Called after each step of every checkpoint with the time it took, on the thread that waits for
/// it.
pub type Hook = Arc<dyn Fn(Step, Duration) + Send + Sync>;

/// What is to become true: at once in a transaction, else in this order.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Records to write, in order.
    pub records: Vec<NewRecord>,
    /// How many of them, from the first, are events. The others are the changelog's, which must
    /// not say that an event was handled before what came of it is written.
    pub events: usize,
    /// Offsets to commit, by group.
    pub offsets: Vec<GroupOffsets>,
}

impl Transaction {
    /// The records of a part, and the place of the first of them.
    fn part(&self, part: Part) -> (usize, &[NewRecord]) {
        let (events, changelog) = self.records.split_at(self.events.min(self.records.len()));
        match part {
            Part::All => (0, &self.records),
            Part::Events => (0, events),
            Part::Changelog => (events.len(), changelog),
        }
    }
}

/// Offsets of one group.
#[derive(Debug)]
pub struct GroupOffsets {
    /// The group.
    pub group: Arc<Group>,
    /// Topic, partition, and the offset to go on from.
    pub offsets: Vec<(ByteString, u32, Offset)>,
    /// The numbers it is about, each with the term in which the work was begun: of another term
    /// nothing is committed.
    pub held: Vec<(u32, Term)>,
}

/// How a checkpoint ended. Without a transaction, "none of it is true" means that no offset is
/// committed: some of the records may be written, and will be again.
#[derive(Debug)]
pub enum Ended {
    /// All of it is true. Offsets of the records, in their order.
    Committed(Vec<Offset>),
    /// None of it is true, or nobody can say: whoever reads what is committed will know. The word
    /// is for the metric of aborts.
    Aborted(&'static str, Error),
    /// None of it is true, because of one record that will never be taken.
    Undeliverable(usize, Error),
    /// None of it is true, and this producer can do nothing more.
    Failed(Error),
}

/// Told how a transaction ended, on the thread that waits.
pub type Done = Box<dyn FnOnce(Ended) + Send>;

/// The transactions of one worker, one after the other.
pub struct Committer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Set when nobody waits for the cluster any more.
    is_closed: Arc<AtomicBool>,
}

type Job = (Transaction, Done);

impl fmt::Debug for Committer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Committer").finish_non_exhaustive()
    }
}

impl Committer {
    /// Starts the thread. Where effects count once it initialises `id`, which ends whatever an
    /// earlier life left open; it goes on trying while there is no broker.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub fn start(
        cluster: &Cluster,
        id: &str,
        guarantee: Guarantee,
        hook: Hook,
    ) -> Result<Self, Error> {
        let (jobs, waiting) = channel();
        let is_closed = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            cluster: cluster.clone(),
            id: id.to_owned(),
            guarantee,
            batch_bytes: cluster.settings().batch_bytes(),
            producer: None,
            courier: Courier::default(),
            pace: Pace::default(),
            committing: Committing::new(
                guarantee,
                Millis(cluster.settings().transaction_timeout.0),
            ),
            began: Instant::now(),
            is_closed: Arc::clone(&is_closed),
            hook,
        };
        let thread = thread::Builder::new()
            .name("kafka-commit".to_owned())
            .spawn(move || worker.run(&waiting))
            .map_err(|error| other("start the thread of transactions", error.to_string()))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), is_closed })
    }

    /// Queues a transaction. It begins when the one before has ended.
    pub fn commit(&self, transaction: Transaction, done: Done) {
        let Some(jobs) = &self.jobs else { return };
        if let Err(gone) = jobs.send((transaction, done)) {
            let (_, done) = gone.0;
            done(Ended::Failed(closed()));
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.jobs = None;
        self.is_closed.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(target: "gristmill::kafka", "the thread of transactions panicked");
        }
    }
}

/// What the thread owns.
struct Worker {
    cluster: Cluster,
    id: String,
    guarantee: Guarantee,
    /// Largest batch of several records: no larger than any topic takes that was met.
    batch_bytes: u64,
    /// None until one is initialised, and after one became uncertain.
    producer: Option<Arc<ThreadedProducer<Acknowledged>>>,
    courier: Courier,
    pace: Pace,
    /// What is to be done, step by step.
    committing: Committing<Error>,
    /// When the thread began: its steps are timed from here.
    began: Instant,
    is_closed: Arc<AtomicBool>,
    hook: Hook,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Job>) {
        // What an earlier life left open keeps others from reading on: it ends at once.
        self.committing.prepare();
        let nothing = Transaction::default();
        self.drive(&mut Course::new(&nothing));
        if let Some(protocol::Ended::Failed(error)) = self.committing.ended() {
            tracing::warn!(target: "gristmill::kafka", id = self.id, %error,
                "initialise a producer");
        }
        let mut free = Instant::now();
        while let Ok((transaction, done)) = jobs.recv() {
            let ended = self.commit(&transaction, free.elapsed());
            if let (Ended::Committed(_), Guarantee::ExactlyOnce) = (&ended, self.guarantee) {
                // Until this one is said to have ended, the next one fills.
                let wait = self.pace.wait();
                thread::sleep(wait);
                (self.hook)(Step::Waited, wait);
            }
            done(ended);
            free = Instant::now();
        }
    }

    /// Commits one checkpoint, `idle` after the one before.
    fn commit(&mut self, transaction: &Transaction, idle: Duration) -> Ended {
        self.leave_uncertain();
        self.committing.commit(transaction.offsets.len(), self.now());
        let mut course = Course::new(transaction);
        self.drive(&mut course);
        if let Some((admitted, took)) = course.admitted() {
            self.pace.note(idle, admitted);
            self.pace.ended(took);
        }
        match self.committing.ended() {
            Some(protocol::Ended::Committed) => {
                (self.hook)(Step::Committed, course.step());
                Ended::Committed(course.into_offsets())
            }
            Some(protocol::Ended::Aborted(reason, error)) => Ended::Aborted(reason, error),
            Some(protocol::Ended::Undeliverable(index, error)) => {
                Ended::Undeliverable(index, error)
            }
            Some(protocol::Ended::Failed(error)) => Ended::Failed(error),
            None => Ended::Failed(closed()),
        }
    }

    /// Takes every step there is to take.
    fn drive(&mut self, course: &mut Course<'_>) {
        while let Some(step) = self.committing.next() {
            let reply = self.take(step, course);
            if let Err(Failure::Record(index, Error::Unauthorised { .. })) = &reply
                && let Some(record) = course.transaction.records.get(*index)
            {
                self.cluster.limits().deny(&record.topic);
            }
            course.note(step);
            self.committing.replied(self.now(), reply);
        }
    }

    /// Takes one step.
    fn take(&mut self, step: protocol::Step, course: &mut Course<'_>) -> Result<(), Failure> {
        if step == protocol::Step::Initialise {
            // The one there was ends first.
            self.producer = None;
            return self.ready().map_err(|error| Failure::Reset("initialise", error));
        }
        let Some(producer) = self.producer.as_ref().map(Arc::clone) else {
            return Err(Failure::Reset("initialise", closed()));
        };
        let (transaction, hook) = (course.transaction, Arc::clone(&self.hook));
        match step {
            protocol::Step::Initialise => {}
            protocol::Step::Begin => attempt::begin(&producer)?,
            protocol::Step::Offsets(group) => {
                let Some(of) = transaction.offsets.get(group) else { return Ok(()) };
                match self.guarantee {
                    Guarantee::ExactlyOnce => {
                        attempt::send_offsets((&producer, &mut self.courier), of)?;
                        if group == 0 {
                            hook(Step::Admitted, course.admit());
                        }
                    }
                    Guarantee::AtLeastOnce => attempt::commit_offsets(of)?,
                }
            }
            protocol::Step::HandOver(part) => {
                let (from, records) = transaction.part(part);
                attempt::hand_over(&producer, records, from)?;
                if part != Part::Changelog {
                    hook(Step::Begun, course.step());
                }
            }
            protocol::Step::Await(part) => {
                if part == Part::All {
                    hook(Step::OffsetsSent, course.step());
                }
                let written = self.delivered(&producer, course, part);
                course.keep(written?);
                if part == Part::All {
                    attempt::settle(&producer);
                }
                if part != Part::Events {
                    hook(Step::Written, course.step());
                }
            }
            protocol::Step::Blame => drop(self.delivered(&producer, course, Part::All)?),
            protocol::Step::Commit => attempt::commit(&producer, "commit")?,
            protocol::Step::Reason => attempt::commit(&producer, "write")?,
            protocol::Step::Trace => return self.denied(&transaction.records).map_or(Ok(()), Err),
            protocol::Step::Abort => self.abort(&producer)?,
        }
        Ok(())
    }

    /// Waits until the records of a part are acknowledged. Their offsets.
    fn delivered(
        &mut self,
        producer: &ThreadedProducer<Acknowledged>,
        course: &Course<'_>,
        part: Part,
    ) -> Result<Vec<Offset>, Failure> {
        let (from, records) = course.transaction.part(part);
        producer.context().delivered(records, from).map_err(|refused| match refused {
            Refused::Failure(failure) => failure,
            Refused::TooLarge(it) if self.is_of_batch(&it.topic, it.together) => {
                Failure::Batch(it.error)
            }
            Refused::TooLarge(it) => Failure::Record(it.index, it.error),
        })
    }

    /// Milliseconds since the thread began, as the protocol counts.
    fn now(&self) -> gristmill_engine::Instant {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        gristmill_engine::Instant(millis)
    }

    /// A broker refuses a batch of records as a whole, and says it of each of them. Whether it
    /// did here, so that none of them need be too large: batches are kept below what the topic
    /// takes from now on. A record that is larger is in a batch of its own then.
    fn is_of_batch(&mut self, topic: &str, together: usize) -> bool {
        let takes = self.cluster.configs(topic).ok();
        let takes = takes.as_ref().and_then(attempt::largest_batch);
        if let Some(bytes) = takes {
            self.cluster.limits().note(topic, bytes);
        }
        // Less an eighth, for what the protocol and a compression that does not pay add. Where
        // nobody says how much it is, it is found out by trying.
        let most = takes.map_or(self.batch_bytes / 2, |bytes| bytes.saturating_sub(bytes / 8));
        let most = most.max(1);
        if together <= 1 || self.batch_bytes <= most {
            return false;
        }
        tracing::info!(target: "gristmill::kafka", id = self.id, topic, batch_bytes = most,
            "a topic takes no batches as large as these; they are made smaller");
        self.batch_bytes = most;
        true
    }

    /// The first of these records whose topic this user may not write. A transaction that is
    /// denied one says of none of its records that it is this one.
    fn denied(&self, records: &[NewRecord]) -> Option<Failure> {
        let mut may = BTreeMap::new();
        let index = records.iter().position(|record| {
            let topic = &*record.topic;
            // Where nobody says, it is none of these.
            !*may.entry(topic).or_insert_with(|| self.cluster.may_write(topic).unwrap_or(true))
        })?;
        let topic = &*records.get(index)?.topic;
        let doing = format!("write to topic \"{topic}\"");
        let error = Error::of_code(doing, Code::TopicAuthorizationFailed, About::Topic(topic));
        Some(Failure::Record(index, error))
    }

    /// Has a producer given up that may have sent the end of a transaction twice.
    fn leave_uncertain(&mut self) {
        let producer = self.producer.as_ref();
        if producer.is_some_and(|producer| producer.context().is_uncertain())
            && self.committing.doubt()
        {
            tracing::info!(target: "gristmill::kafka", id = self.id,
                "a connection failed: the producer is made anew before its next transaction");
        }
    }

    /// Aborts the open transaction.
    fn abort(&self, producer: &ThreadedProducer<Acknowledged>) -> Result<(), Failure> {
        producer.abort_transaction(END_MAX).map_err(|error| {
            tracing::debug!(target: "gristmill::kafka", id = self.id, %error,
                "a transaction cannot be aborted: its producer is made anew");
            Failure::Reset("abort", other("abort a transaction", error.to_string()))
        })
    }

    /// Makes the producer, initialised. Tries until there is a broker.
    fn ready(&mut self) -> Result<(), Error> {
        let mut since = Instant::now();
        while self.producer.is_none() {
            match self.initialise() {
                Ok(producer) => self.producer = Some(Arc::new(producer)),
                Err(error) if error.is_retriable() && !self.is_closed.load(Ordering::Acquire) => {
                    if self.cluster.trouble().is_some() {
                        // Told already: no broker answers.
                        since = Instant::now();
                    } else if since.elapsed() >= INIT_TOLD {
                        since = Instant::now();
                        tracing::warn!(target: "gristmill::kafka", code = error.code(),
                            id = self.id, %error,
                            "a producer cannot be initialised: nothing is committed until it is");
                    }
                    thread::sleep(INIT_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn initialise(&self) -> Result<ThreadedProducer<Acknowledged>, Error> {
        let doing = "initialise a producer";
        let context = Acknowledged::new(self.cluster.context(&self.id));
        let failed = |error| Error::of(doing, &error, About::Transaction(&self.id));
        let settings = self.cluster.settings();
        let mut config = match self.guarantee {
            Guarantee::ExactlyOnce => settings.transactional(&self.id),
            Guarantee::AtLeastOnce => settings.writer(),
        };
        config.set("batch.size", self.batch_bytes.to_string());
        let producer =
            ThreadedProducer::from_config_and_context(&config, context).map_err(failed)?;
        if self.guarantee == Guarantee::ExactlyOnce {
            producer.init_transactions(INIT_MAX).map_err(failed)?;
        }
        Ok(producer)
    }
}

fn other(doing: impl Into<String>, cause: impl Into<String>) -> Error {
    Error::Other { doing: doing.into(), source: Cause::new(cause) }
}

fn closed() -> Error {
    other("commit a checkpoint", "its producer is closed")
}
