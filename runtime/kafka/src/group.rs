//! Owns a subscription's membership in its consumer group. The group's members share out the
//! partitions of one topic of the subscription's own, its *changelog*: who holds number `n` of it
//! reads number `n` of every topic the subscription reads, so that a lane has one owner whatever
//! topics there are (source: ADR 2026-11-29, ownership by changelog). It never decides what is
//! read or from where.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytestring::ByteString;
use gristmill_engine::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use crate::cluster::Cluster;
use crate::context;
use crate::error::{About, Class, Error};
use crate::ffi::membership::Membership;
use crate::ffi::queue::{Item, Queue};
use crate::record::Record;

/// How numbers are dealt out: without taking them all back first (source: KIP-429, and the ADR
/// above).
const ASSIGNOR: &str = "cooperative-sticky";

/// Looks for something to do, each time there may be.
const POLLS: usize = 32;
/// Longest wait for the library to move to another place of a partition; it asks no broker.
const SEEK_MAX: Duration = Duration::from_secs(5);

/// What happens to a membership. Told on the thread that polls: whoever is told must be quick.
#[derive(Debug)]
pub enum Membered {
    /// These numbers are this member's from now on, for the term named: each time a number comes
    /// it has another, so that what was begun in an earlier one is known for it.
    Assigned(Vec<u32>, Term),
    /// These are to be given back: each by [`Group::release`] when nothing of it is under way.
    Revoked(Vec<u32>),
    /// These are gone already, and somebody else may have them.
    Lost(Vec<u32>),
    /// The membership cannot go on.
    Failed(Error),
}

/// Counts the assignments of a membership, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Term(pub u64);

/// Told of a membership.
pub type Listener = Box<dyn Fn(Membered) + Send + Sync>;

/// A membership in a consumer group.
pub struct Group {
    consumer: Arc<BaseConsumer<Context>>,
    name: ByteString,
}

impl fmt::Debug for Group {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Group").field("name", &self.name).finish_non_exhaustive()
    }
}

/// One partition that is read. Dropped before its partition is stopped or read anew.
#[derive(Debug)]
pub struct Reading(Queue<BaseConsumer<Context>>, ByteString);

/// What reading a partition brings.
#[derive(Debug)]
pub enum Read {
    /// A record.
    Record(Record),
    /// Reading has come to this offset, and nothing follows it now: records of aborted
    /// transactions and their ends may lie before it.
    End(Offset),
    /// What reading goes on from is not there any more: removed by retention.
    OutOfRange,
    /// The partition cannot be read.
    Failed(Error),
}

impl Reading {
    /// Takes what is there now without waiting, a few hundred records at most. False when nothing
    /// was there: then whoever asked to be woken is, when there is something again.
    pub fn take(&mut self, mut each: impl FnMut(Read)) -> bool {
        self.0.take(|item| {
            each(match item {
                Item::Record(record) => Read::Record(record),
                Item::End(offset) => Read::End(offset),
                Item::Failed(RDKafkaErrorCode::AutoOffsetReset) => Read::OutOfRange,
                Item::Failed(code) => {
                    Read::Failed(Error::of_code("read a partition", code, About::Topic(&self.1)))
                }
            });
        })
    }
}

/// What the thread that polls and the workers share of a membership.
#[derive(Debug, Default)]
struct State {
    /// Since when the group has not said what this member holds, if anything.
    waiting_since: Option<Instant>,
    /// Numbers this member holds, each with the term it came in.
    owned: BTreeMap<u32, Term>,
    /// The last term.
    term: Term,
    /// Topics that are read, by number.
    reading: BTreeMap<u32, BTreeSet<ByteString>>,
    /// Numbers asked back and not released yet.
    revoking: BTreeSet<u32>,
    /// What of them is still assigned.
    revoked: Vec<(ByteString, u32)>,
}

struct Context {
    base: context::Context,
    state: Mutex<State>,
    listener: Listener,
    is_closing: AtomicBool,
}

impl Group {
    /// Joins `group` to share out the partitions of `changelog`. Nothing happens until it is
    /// polled; `ready` is called, on a thread of the library, whenever it should be.
    ///
    /// # Errors
    ///
    /// [`Error::Client`] when the library refuses the properties.
    pub fn join(
        cluster: &Cluster,
        (group, changelog): (&str, &str),
        listener: Listener,
        ready: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Self, Error> {
        let context = Context {
            base: cluster.context(group),
            state: Mutex::new(State { waiting_since: Some(Instant::now()), ..State::default() }),
            listener,
            is_closing: AtomicBool::new(false),
        };
        let failed = |error| Error::of("join a consumer group", &error, About::Group(group));
        let mut config = cluster.settings().member(group, ASSIGNOR);
        // Where reading begins is always said; what retention took is told, not skipped.
        config.set("auto.offset.reset", "error").set("enable.partition.eof", "true");
        let mut consumer =
            BaseConsumer::from_config_and_context(&config, context).map_err(failed)?;
        consumer.set_nonempty_callback(ready);
        consumer.subscribe(&[changelog]).map_err(failed)?;
        Ok(Self { consumer: Arc::new(consumer), name: group.into() })
    }

    /// The group's name.
    pub fn name(&self) -> &ByteString {
        &self.name
    }

    /// Does what is due: at least every few seconds, or the group takes this member for stuck.
    pub fn poll(&self) {
        // What was served and what was not there look the same from here, so it looks again.
        for _ in 0..POLLS {
            match self.consumer.poll(Duration::ZERO) {
                // Every partition has a queue of its own, so no record comes here.
                None | Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => self.report(&error),
            }
        }
    }

    /// What ends the membership is told; what passes, or concerns one topic, is logged.
    fn report(&self, error: &KafkaError) {
        let is_fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        let error = Error::of("take part in a consumer group", error, About::Group(&self.name));
        if is_fatal || error.class() == Class::Fatal {
            (self.consumer.context().listener)(Membered::Failed(error));
        } else if error.is_retriable() {
            tracing::debug!(target: "gristmill::kafka", group = %self.name, %error,
                "a consumer group reports");
        } else {
            tracing::warn!(target: "gristmill::kafka", code = error.code(), group = %self.name,
                %error, "a consumer group reports");
        }
    }

    /// Looks at the cluster's topics, so that a changelog which has grown is dealt out anew: the
    /// library does so every five minutes. Waits, for `within` at most.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when no broker answers: the library's own look does it then.
    pub fn look(&self, within: Duration) -> Result<(), Error> {
        // Only a look at all topics counts: one that lists some would make others seem gone.
        let looked = self.consumer.client().fetch_metadata(None, within);
        let failed = |error| Error::of("list topics", &error, About::Group(&self.name));
        looked.map(drop).map_err(failed)
    }

    /// Since when the group has not said what this member holds; `None` when it has. A member of a
    /// group with more members than numbers is told that it holds nothing.
    pub fn waiting_since(&self) -> Option<Instant> {
        self.state().waiting_since
    }

    /// Whether nothing is known that keeps the cluster from answering.
    pub fn is_reached(&self) -> bool {
        self.consumer.context().base.health().trouble().is_none()
    }

    /// Whether this member holds all of these numbers, and has held them since those terms.
    pub fn holds(&self, numbers: impl IntoIterator<Item = (u32, Term)>) -> bool {
        let state = self.state();
        numbers.into_iter().all(|(number, term)| state.owned.get(&number) == Some(&term))
    }

    /// Begins to read a topic's partition `number` at `from`, or reads it from there again; an
    /// earlier [`Reading`] of it must have been dropped. `wake` is called, on a thread of the
    /// library, whenever there is something to take after there was nothing. `None` when the
    /// number is not this member's any more.
    ///
    /// # Errors
    ///
    /// When the library refuses; worth another try where the error says so.
    pub fn read(
        &self,
        (topic, number): (&ByteString, u32),
        from: Offset,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Option<Reading>, Error> {
        let mut state = self.state();
        if !state.owned.contains_key(&number) {
            return Ok(None);
        }
        let client = self.consumer.client().native_ptr();
        let owner = Arc::clone(&self.consumer);
        let Some(queue) = Queue::new(client, (topic, number), owner, wake) else {
            return Err(Error::TopicUnknown { topic: topic.to_string() });
        };
        let failed = |error| Error::of("read a partition", &error, About::Topic(topic));
        if !state.reading.entry(number).or_default().insert(topic.clone()) {
            // Read before, it goes on at another place. To take it out and in again would answer
            // the group where that has just asked other numbers back.
            let at = rdkafka::Offset::Offset(i64::try_from(from.0).unwrap_or(i64::MAX));
            let raw = i32::try_from(number).unwrap_or(i32::MAX);
            match self.consumer.seek(topic, raw, at, SEEK_MAX) {
                Ok(()) => return Ok(Some(Reading(queue, topic.clone()))),
                // The library has given the partition up, and only begins it anew.
                Err(_) if state.revoking.is_empty() => {
                    unassign(&self.consumer, &[(topic.clone(), number)])?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        let mut assigned = TopicPartitionList::new();
        add(&mut assigned, topic, number, Some(from))?;
        self.consumer.incremental_assign(&assigned).map_err(failed)?;
        Ok(Some(Reading(queue, topic.clone())))
    }

    /// Gives back a number that was asked back; with the last one the group goes on. Each
    /// [`Reading`] of it must have been dropped.
    ///
    /// # Errors
    ///
    /// When the library refuses.
    pub fn release(&self, number: u32) -> Result<(), Error> {
        let mut state = self.state();
        if !state.revoking.remove(&number) {
            return Ok(());
        }
        state.owned.remove(&number);
        let topics = state.reading.remove(&number).unwrap_or_default();
        state.revoked.extend(topics.into_iter().map(|topic| (topic, number)));
        if state.revoking.is_empty() {
            let revoked = std::mem::take(&mut state.revoked);
            return unassign(&self.consumer, &revoked);
        }
        Ok(())
    }

    /// Commits offsets outside of any transaction: the end of a partition behind which only ends
    /// of transactions lie, so that its lag becomes 0. Not waited for, and no harm when it fails.
    ///
    /// # Errors
    ///
    /// When the library refuses.
    pub fn commit(&self, ends: &[(ByteString, u32, Offset)]) -> Result<(), Error> {
        self.commit_as(CommitMode::Async, ends)
    }

    /// Commits offsets outside of any transaction, as a member, and waits for the answer.
    ///
    /// # Errors
    ///
    /// [`Error::Other`] when the broker knows no such member, or no such generation of the group;
    /// [`Error::Unavailable`] when it does not answer.
    pub(crate) fn commit_and_wait(
        &self,
        offsets: &[(ByteString, u32, Offset)],
    ) -> Result<(), Error> {
        self.commit_as(CommitMode::Sync, offsets)
    }

    fn commit_as(
        &self,
        mode: CommitMode,
        offsets: &[(ByteString, u32, Offset)],
    ) -> Result<(), Error> {
        self.consumer
            .commit(&list_of(offsets)?, mode)
            .map_err(|error| Error::of("commit offsets", &error, About::Group(&self.name)))
    }

    /// What the group has committed of these partitions, once no transaction is undecided.
    ///
    /// # Errors
    ///
    /// When the broker does not answer within `within`; worth another try.
    pub fn committed(
        &self,
        partitions: &[(ByteString, u32)],
        within: Duration,
    ) -> Result<Vec<Option<Offset>>, Error> {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in partitions {
            add(&mut list, topic, *partition, None)?;
        }
        let failed = |error| Error::of("fetch committed offsets", &error, About::Group(&self.name));
        let found = self.consumer.committed_offsets(list, within).map_err(failed)?;
        let of = |(topic, partition): &(ByteString, u32)| {
            let partition = i32::try_from(*partition).ok();
            let found = partition.and_then(|partition| found.find_partition(topic, partition));
            let Some(found) = found else { return Ok(None) };
            found.error().map_err(failed)?;
            let raw = found.offset().to_raw();
            Ok(raw.and_then(|raw| u64::try_from(raw).ok()).map(Offset))
        };
        partitions.iter().map(of).collect()
    }

    /// The membership now, to send offsets under.
    pub(crate) fn membership(&self) -> Option<Membership> {
        Membership::of(self.consumer.client().native_ptr())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.consumer.context().state()
    }
}

/// Leaves the group when the last [`Reading`] is gone too. Whatever it still held is given up.
impl Drop for Group {
    fn drop(&mut self) {
        self.consumer.context().is_closing.store(true, Ordering::Release);
    }
}

/// Offsets of partitions, as the library takes them.
pub(crate) fn list_of(offsets: &[(ByteString, u32, Offset)]) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (topic, partition, offset) in offsets {
        add(&mut list, topic, *partition, Some(*offset))?;
    }
    Ok(list)
}

fn add(
    list: &mut TopicPartitionList,
    topic: &str,
    partition: u32,
    offset: Option<Offset>,
) -> Result<(), Error> {
    let unknown = |_too_large| Error::PartitionUnknown { topic: topic.to_owned(), partition };
    let number = i32::try_from(partition).map_err(unknown)?;
    let offset = match offset {
        Some(Offset(offset)) => rdkafka::Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX)),
        None => rdkafka::Offset::Invalid,
    };
    list.add_partition_offset(topic, number, offset)
        .map_err(|error| Error::of("name a partition", &error, About::Partition(topic, partition)))
}

fn unassign(
    consumer: &BaseConsumer<Context>,
    partitions: &[(ByteString, u32)],
) -> Result<(), Error> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        add(&mut list, topic, *partition, None)?;
    }
    consumer
        .incremental_unassign(&list)
        .map_err(|error| Error::of("stop reading partitions", &error, About::Cluster))
}

impl Context {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change to it is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers are this member's; what is read of them is assigned later, by [`Group::read`].
    fn assigned(&self, consumer: &BaseConsumer<Self>, numbers: Vec<u32>) -> Result<(), Error> {
        let mut state = self.state();
        state.waiting_since = None;
        state.term = Term(state.term.0.saturating_add(1));
        let term = state.term;
        state.owned.extend(numbers.iter().map(|number| (*number, term)));
        drop(state);
        consumer
            .incremental_assign(&TopicPartitionList::new())
            .map_err(|error| Error::of("take over partitions", &error, About::Cluster))?;
        (self.listener)(Membered::Assigned(numbers, term));
        Ok(())
    }

    fn lost(&self, consumer: &BaseConsumer<Self>, numbers: Vec<u32>) -> Result<(), Error> {
        let mut state = self.state();
        state.waiting_since = Some(Instant::now());
        let mut gone = std::mem::take(&mut state.revoked);
        for number in &numbers {
            state.owned.remove(number);
            state.revoking.remove(number);
            let topics = state.reading.remove(number).unwrap_or_default();
            gone.extend(topics.into_iter().map(|topic| (topic, *number)));
        }
        drop(state);
        unassign(consumer, &gone)?;
        (self.listener)(Membered::Lost(numbers));
        Ok(())
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, numbers: Vec<u32>) -> Result<(), Error> {
        if numbers.is_empty() {
            return unassign(consumer, &[]);
        }
        self.state().revoking.extend(&numbers);
        (self.listener)(Membered::Revoked(numbers));
        Ok(())
    }
}

crate::context::heard_by!(Context, base);

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let elements = partitions.elements();
        let numbers = elements.iter().filter_map(|it| u32::try_from(it.partition()).ok()).collect();
        let is_assigned = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let done = if self.is_closing.load(Ordering::Acquire) {
            // The library takes whatever is said for "everything" while it closes.
            unassign(consumer, &[])
        } else if is_assigned {
            self.assigned(consumer, numbers)
        } else if consumer.assignment_lost() {
            self.lost(consumer, numbers)
        } else {
            self.revoked(consumer, numbers)
        };
        if let Err(error) = done {
            (self.listener)(Membered::Failed(error));
        }
    }
}
