//! Brings a partition's state up to date before it is read: what its changelog has that the store
//! has not, and where the group stands. It asks and waits, on a thread that may; what is asked when
//! and what is waited for is decided by the engine's `takeover`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant as Moment};

use bytestring::ByteString;
use gristmill_engine::takeover::{self as protocol, Answer, Ask, Cache};
use gristmill_engine::{Bytes as Size, Instant, Offset, TopicId};
use gristmill_kafka::{Group, ReadLimit, Record};
use gristmill_store::{Batch, Bounds, Change, Cleared, Scope, changelog};

use super::standing::Standing;
use crate::binding::{Binding, Source};
use crate::broker::{Error, Failed, Kafka};
use crate::gate::Pass;
use crate::shared::Shared;

/// Longest wait for one answer of the cluster.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Pause between two looks at what does not change by asking: an open transaction, a broker that
/// is away.
const PAUSE: Duration = Duration::from_millis(100);
/// The same where a human must change something first.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// Wait for an open transaction after which it is told, and told again: whoever left it either
/// ends it or is dead, and then the broker does, which takes it `transaction_timeout`, 8 s by
/// default, and up to 10 s more (source: the contract, "Identity").
const SETTLE_TOLD: Duration = Duration::from_secs(30);
/// Records read from a changelog in one step, after which it is told, and kept, how far it is.
const STEP_EVENTS: u32 = 2_000;
/// Bytes of them.
const STEP_BYTES: Size = Size::mib(8);
/// A restore that takes longer says how far it is.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// What is known of a partition when it can be read.
#[derive(Debug)]
pub(crate) struct Ready {
    /// Where it stands in its changelog.
    pub(super) standing: Standing,
    /// Per topic of the subscription that has the partition.
    pub(super) found: Vec<Found>,
}

/// Where one topic's partition begins and ends, and what the group has committed of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) topic: TopicId,
    pub(super) bounds: Bounds,
    pub(super) committed: Option<Offset>,
}

/// What is taken over, by whom.
pub(super) struct Takeover {
    pub(super) shared: Arc<Shared>,
    pub(super) group: Arc<Group>,
    pub(super) binding: Arc<Binding>,
    pub(super) scope: Scope,
    /// Set when nobody wants it any more.
    pub(super) is_cancelled: Arc<AtomicBool>,
}

impl Takeover {
    /// Does it, however long the cluster takes. `None` when nobody wants it any more.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(super) fn run(&self) -> Result<Option<Ready>, Failed> {
        let mut has_told = false;
        while !self.is_cancelled() {
            match self.attempt() {
                Err(Failed::Kafka(error)) => {
                    if !has_told {
                        tracing::warn!(code = error.code(), subscription = %self.binding.name,
                            partition = self.scope.partition.0, %error,
                            "a partition's state cannot be restored yet; trying again");
                        has_told = true;
                    }
                    // What is refused, or is not there, may be granted, or come.
                    thread::sleep(if error.is_retriable() { PAUSE } else { REFUSED_PAUSE });
                }
                ended => return ended,
            }
        }
        Ok(None)
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }

    fn attempt(&self) -> Result<Option<Ready>, Failed> {
        let Some(kafka) = self.shared.broker.kafka() else { return Ok(None) };
        let number = self.scope.partition.0;
        // A topic that was deleted holds up no other: when it comes back everything is bound anew.
        let is_there = |source: &&Source| self.shared.broker.topic_by_id(source.topic).is_some();
        let sources = self.binding.sources.iter().filter(|source| number < source.partitions);
        let sources = sources.filter(is_there);
        let names: Vec<(ByteString, u32)> =
            sources.clone().map(|source| (source.name.clone(), number)).collect();
        let Some(Course { committed, standing, .. }) = self.restore(kafka, &names)? else {
            return Ok(None);
        };
        let mut found = Vec::new();
        for (source, committed) in sources.zip(committed) {
            let bounds = self.shared.broker.bounds(source.topic, self.scope.partition)?;
            let committed = protocol::within(committed, bounds.end);
            found.push(Found { topic: source.topic, bounds, committed });
        }
        Ok(Some(Ready { standing, found }))
    }

    /// Takes over into the store what the changelog has that it has not. What the group has
    /// committed of these topics, and where the store stands then.
    fn restore(
        &self,
        kafka: &Kafka,
        names: &[(ByteString, u32)],
    ) -> Result<Option<Course<'_>>, Failed> {
        let mut takeover = protocol::Takeover::new(self.binding.changelog.is_some());
        let mut course = Course::default();
        while let Some(ask) = takeover.next() {
            let answer = match (ask, &self.binding.changelog) {
                (Ask::Committed, _) | (_, None) => {
                    course.committed = self.group.committed(names, ANSWER_MAX)?;
                    Answer::Committed
                }
                (_, Some(name)) => self.ask(kafka, name, &takeover, (ask, &mut course))?,
            };
            takeover.answered(answer);
            if self.is_cancelled() {
                return Ok(None);
            }
            if takeover.is_waiting() && ask == Ask::Bounds {
                self.tell_waiting(&mut course, takeover.end());
                thread::sleep(PAUSE);
            }
        }
        course.reading = None;
        let standing = &mut course.standing;
        standing.next = standing.next.max(takeover.standing().unwrap_or_default().0);
        Ok(Some(course))
    }

    /// Asks something of the changelog.
    fn ask<'a>(
        &'a self,
        kafka: &Kafka,
        name: &ByteString,
        takeover: &protocol::Takeover,
        (ask, course): (Ask, &mut Course<'a>),
    ) -> Result<Answer, Failed> {
        let number = self.scope.partition.0;
        Ok(match ask {
            Ask::Committed => Answer::Committed,
            Ask::End => {
                course.topic = self.number_of(name)?;
                Answer::End(kafka.cluster().high_watermark(name, number)?)
            }
            Ask::Bounds => {
                let (start, stable) = kafka.cluster().bounds(name, number)?;
                course.stable = stable;
                Answer::Bounds { start, stable }
            }
            Ask::Known { start, end } => {
                course.standing = self.known(course.topic, (start, end))?;
                Answer::Known(Offset(course.standing.next))
            }
            Ask::Read(from) => {
                // Many restores at once would leave no read to anybody else.
                let (_, told) = course.reading.get_or_insert_with(|| {
                    let told = Progress::new(from.0, takeover.end().0);
                    (self.shared.restores.enter(), told)
                });
                let limit = ReadLimit { events: STEP_EVENTS, bytes: STEP_BYTES };
                let read = kafka.reader().read((name, number), from, limit, Duration::ZERO)?;
                let last = read.last().map(|record| record.offset);
                if let Some(last) = last {
                    self.take_over(&mut course.standing, read, last)?;
                    told.tell(&self.binding.name, number, course.standing.next);
                }
                Answer::Read(last)
            }
        })
    }

    fn number_of(&self, changelog: &ByteString) -> Result<TopicId, Failed> {
        let topic = self.shared.broker.topic(changelog);
        let missing = || gristmill_kafka::Error::TopicUnknown { topic: changelog.to_string() };
        Ok(topic.ok_or_else(missing)?.id)
    }

    /// Tells now and then that a transaction is still open below the end.
    fn tell_waiting(&self, course: &mut Course<'_>, end: Offset) {
        if course.waiting_since.elapsed() < SETTLE_TOLD {
            return;
        }
        course.waiting_since = Moment::now();
        let (subscription, partition) = (&self.binding.name, self.scope.partition.0);
        let topic = self.binding.changelog.as_deref().unwrap_or_default();
        tracing::warn!(%subscription, partition, topic, stable = course.stable.0, end = end.0,
            "a partition is not read yet: a transaction is still open in its changelog");
    }

    /// Where the store stands; where it cannot be trusted it is emptied first.
    fn known(&self, topic: TopicId, (start, end): (Offset, Offset)) -> Result<Standing, Failed> {
        let now = self.shared.clock.now();
        let text = self.shared.store.document(&Standing::document(self.scope));
        let text = text.map_err(Error::from)?;
        let known = text.and_then(|text| Standing::read(&text)).filter(|known| {
            let cache = Cache { next: Offset(known.next), at: Instant(known.at_ms) };
            known.topic == topic.0 && cache.is_trusted((start, end), now)
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let fresh = Standing::begin(topic, start, now);
        let all = Cleared { state: true, marks: true, progress: true, timers: true, parked: true };
        let clear = Change::SubscriptionClear {
            subscription: self.scope.subscription,
            partition: Some(self.scope.partition),
            what: all,
        };
        self.write(vec![clear, self.noted(&fresh)])?;
        Ok(fresh)
    }

    fn take_over(
        &self,
        standing: &mut Standing,
        records: Vec<Record>,
        last: Offset,
    ) -> Result<(), Failed> {
        self.shared.metrics.restored(&self.binding.name, records.len());
        let mut changes = Vec::new();
        for record in records {
            let key = record.key.unwrap_or_default();
            match (changelog::mark_batch(&key), &record.payload) {
                (Some(sequence), Some(marks)) => {
                    let at = changelog::mark_batch_at(marks).map_err(Error::from)?;
                    standing.note_marks(sequence, at);
                }
                (Some(sequence), None) => standing.pass_marks(sequence),
                (None, _) => {}
            }
            let decoded = changelog::decode(self.scope, &key, record.payload);
            changes.extend(decoded.map_err(Error::from)?);
        }
        standing.next = last.next().0;
        standing.at_ms = self.shared.clock.now().0;
        changes.push(self.noted(standing));
        self.write(changes)
    }

    fn noted(&self, standing: &Standing) -> Change {
        Change::Document { name: Standing::document(self.scope), value: Some(standing.to_bytes()) }
    }

    fn write(&self, changes: Vec<Change>) -> Result<(), Failed> {
        let written = self.shared.write_store(Batch { changes, ..Batch::default() });
        written.map(drop).map_err(Failed::from)
    }
}

/// What was answered so far.
struct Course<'a> {
    committed: Vec<Option<Offset>>,
    topic: TopicId,
    /// Up to where the changelog is decided.
    stable: Offset,
    /// Since when it is waited for that, or when it was told last.
    waiting_since: Moment,
    standing: Standing,
    reading: Option<(Pass<'a>, Progress)>,
}

impl Default for Course<'_> {
    fn default() -> Self {
        Self {
            committed: Vec::new(),
            topic: TopicId(0),
            stable: Offset(0),
            waiting_since: Moment::now(),
            standing: Standing::default(),
            reading: None,
        }
    }
}

/// Tells how far a restore is that takes long.
struct Progress {
    began: Moment,
    told: Moment,
    from: u64,
    end: u64,
}

impl Progress {
    fn new(from: u64, end: u64) -> Self {
        let now = Moment::now();
        Self { began: now, told: now, from, end }
    }

    fn tell(&mut self, subscription: &str, partition: u32, at: u64) {
        if self.told.elapsed() < TELL_AFTER {
            return;
        }
        self.told = Moment::now();
        let (done, all) = (at.saturating_sub(self.from), self.end.saturating_sub(self.from));
        tracing::info!(
            subscription,
            partition,
            done,
            all,
            seconds = self.began.elapsed().as_secs(),
            "restoring state from the changelog {}",
            bar(done, all)
        );
    }
}

/// A progress bar for a log, as hosts seldom have a terminal: `[#####...............] 27 %`.
fn bar(done: u64, all: u64) -> String {
    let share =
        |parts: u64| done.saturating_mul(parts).checked_div(all).unwrap_or(parts).min(parts);
    let full = usize::try_from(share(20)).unwrap_or(0);
    let cells: String = (0..20).map(|cell| if cell < full { '#' } else { '.' }).collect();
    format!("[{cells}] {} %", share(100))
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_shows_what_is_done_of_all() {
        assert_eq!(bar(0, 1_000), "[....................] 0 %");
        assert_eq!(bar(274, 1_000), "[#####...............] 27 %");
        assert_eq!(bar(999, 1_000), "[###################.] 99 %");
        assert_eq!(bar(1_000, 1_000), "[####################] 100 %");
        assert_eq!(bar(1_001, 1_000), "[####################] 100 %", "it grew meanwhile");
        assert_eq!(bar(0, 0), "[####################] 100 %", "there is nothing to do");
    }
}
