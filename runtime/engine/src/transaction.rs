//! Decides the steps by which checkpoints become true on Kafka, one after the other, and what each
//! reply means for the checkpoint and for its producer. It sends nothing and waits for nobody: a
//! host's committer does, and so does the simulator's.

use alloc::vec::Vec;
use core::mem;

use crate::{Instant, Millis};

/// Times a producer may be fenced within [`FENCED_WITHIN`] before its id counts as taken by
/// another live host. One's own time-outs do not count; a twin fences every time.
const FENCED_MAX: usize = 3;
const FENCED_WITHIN: Millis = Millis::seconds(60);

/// How often the effects of an event may count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Once: records, changelog and offsets of a checkpoint are one transaction.
    ExactlyOnce,
    /// Again after a crash: records are acknowledged first, then the changelog, then offsets.
    AtLeastOnce,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make a producer in place of whatever there is, and initialise it: that ends what the one
    /// before left open, and fences it.
    Initialise,
    /// Begin a transaction.
    Begin,
    /// Have the offsets of this group taken, the first being 0.
    Offsets(usize),
    /// Hand records over.
    HandOver(Part),
    /// Wait until all that was handed over is acknowledged.
    Await(Part),
    /// The same, to find out whether a record was refused: that fails all that follows.
    Blame,
    /// Have the transaction end well.
    Commit,
    /// Ask for the end of a transaction that is over, to be told why it is.
    Reason,
    /// Find out whether it is one of the records that was denied; a failure names it.
    Trace,
    /// Have the transaction end with nothing.
    Abort,
}

/// Which records of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of them.
    All,
    /// The events, which are written before the changelog says that they were handled.
    Events,
    /// The changelog's.
    Changelog,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure<E> {
    /// The transaction can be aborted, and the producer goes on.
    Abort(&'static str, E),
    /// A topic of the transaction may not be written, and nobody said which. It can be aborted.
    Denied(&'static str, E),
    /// A record that will never be taken.
    Record(usize, E),
    /// A batch of records was too large; smaller ones are made from now on.
    Batch(E),
    /// The producer is uncertain: it must not be used again.
    Reset(&'static str, E),
    /// The transaction failed before the record was sent: who asks for its end is told why.
    Over(E),
    /// Another producer has taken the id over.
    Fenced(E),
}

/// How a checkpoint ended. Without a transaction, "none of it is true" means that no offset is
/// committed: some of the records may be written, and will be again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended<E> {
    /// All of it is true.
    Committed,
    /// None of it is true, or nobody can say: whoever reads what is committed will know. The word
    /// is for the metric of aborts.
    Aborted(&'static str, E),
    /// None of it is true, because of this record, which will never be taken.
    Undeliverable(usize, E),
    /// None of it is true, and this producer can do nothing more.
    Failed(E),
}

/// The checkpoints of one producer.
#[derive(Debug, Clone)]
pub struct Committing<E> {
    guarantee: Guarantee,
    /// How old a transaction may become before the coordinator ends it.
    timeout: Millis,
    groups: usize,
    at: At<E>,
    is_ready: bool,
    began: Instant,
    /// When producers were fenced.
    fenced: Vec<Instant>,
}

/// Where a checkpoint stands.
#[derive(Debug, Clone)]
enum At<E> {
    Idle,
    /// A producer is made before there is anything to commit.
    Preparing,
    Beginning,
    Offsets(usize),
    HandingOver(Part),
    Awaiting(Part),
    Blaming(Failure<E>),
    Asking(E),
    Tracing(&'static str, E),
    Committing,
    /// What was begun is ended with nothing.
    Aborting(Ended<E>),
    /// Until there is a producer again nobody can read what is committed.
    Renewing(Ended<E>),
    Ended(Ended<E>),
}

impl<E> Committing<E> {
    /// Nothing is committed yet, and there is no producer.
    #[must_use]
    pub fn new(guarantee: Guarantee, timeout: Millis) -> Self {
        Self {
            guarantee,
            timeout,
            groups: 0,
            at: At::Idle,
            is_ready: false,
            began: Instant::default(),
            fenced: Vec::new(),
        }
    }

    /// Has a producer made before there is anything to commit: what an earlier life left open
    /// keeps others from reading on, and ends by that.
    pub fn prepare(&mut self) {
        self.at = At::Preparing;
    }

    /// Begins to commit a checkpoint with the offsets of so many groups.
    pub fn commit(&mut self, groups: usize, now: Instant) {
        self.groups = groups;
        self.began = now;
        self.at = At::Beginning;
    }

    /// Between two checkpoints: requests of the producer may have been sent twice. The second end
    /// of a transaction may come late, to end the next one of the same producer in its middle, and
    /// half of that would be true; so it begins none, and its successor fences it. Whether one is
    /// made: without transactions there is nothing to end (source: librdkafka#5423).
    pub fn doubt(&mut self) -> bool {
        let is_given_up = self.is_ready && self.guarantee == Guarantee::ExactlyOnce;
        self.is_ready &= !is_given_up;
        is_given_up
    }

    /// What is to be done now; `None` when nothing is.
    pub fn next(&self) -> Option<Step> {
        Some(match &self.at {
            At::Idle | At::Ended(_) => return None,
            At::Preparing | At::Renewing(_) => Step::Initialise,
            At::Beginning if !self.is_ready => Step::Initialise,
            At::Beginning => match self.guarantee {
                Guarantee::ExactlyOnce => Step::Begin,
                Guarantee::AtLeastOnce => Step::HandOver(Part::Events),
            },
            At::Offsets(group) => Step::Offsets(*group),
            At::HandingOver(part) => Step::HandOver(*part),
            At::Awaiting(part) => Step::Await(*part),
            At::Blaming(_) => Step::Blame,
            At::Asking(_) => Step::Reason,
            At::Tracing(..) => Step::Trace,
            At::Committing => Step::Commit,
            At::Aborting(_) => Step::Abort,
        })
    }

    /// The step that [`Committing::next`] named was done, or failed.
    pub fn replied(&mut self, now: Instant, reply: Result<(), Failure<E>>) {
        let step = self.next();
        if step == Some(Step::Initialise) {
            self.is_ready = reply.is_ok();
            if self.is_ready {
                self.began = now;
            }
        }
        self.at = match (mem::replace(&mut self.at, At::Idle), reply) {
            (At::Idle | At::Preparing, Ok(())) => At::Idle,
            (At::Beginning, Ok(())) if step == Some(Step::Initialise) => At::Beginning,
            (At::Beginning, Ok(())) => self.begun(),
            (At::Offsets(group), Ok(())) => self.after_offsets(group),
            (At::HandingOver(part), Ok(())) => self.after_hand_over(part),
            (At::Awaiting(part), Ok(())) => self.after_await(part),
            (At::Committing, Ok(())) => At::Ended(Ended::Committed),
            (At::Blaming(failure), Ok(())) => self.recover(now, failure),
            (At::Asking(error), Ok(())) => self.recover(now, Failure::Over(error)),
            (At::Tracing(reason, error), Ok(())) => self.abort(Ended::Aborted(reason, error)),
            (At::Aborting(ended), Ok(())) => self.settled(ended),
            (At::Renewing(ended), Ok(())) => At::Ended(ended),
            (at, Err(failure)) => self.failed(now, at, failure),
            (ended @ At::Ended(_), Ok(())) => ended,
        };
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<Ended<E>> {
        if !matches!(self.at, At::Ended(_)) {
            return None;
        }
        let At::Ended(ended) = mem::replace(&mut self.at, At::Idle) else { return None };
        Some(ended)
    }

    /// The coordinator may still be ending the transaction before. Asked to take offsets, it is
    /// asked again after `retry.backoff.ms`; asked to take partitions, only after 20 ms. So the
    /// offsets of the first group go before the records.
    fn begun(&self) -> At<E> {
        match self.guarantee {
            Guarantee::ExactlyOnce if self.groups > 0 => At::Offsets(0),
            Guarantee::ExactlyOnce => At::HandingOver(Part::All),
            Guarantee::AtLeastOnce => At::Awaiting(Part::Events),
        }
    }

    /// The offsets of other groups go while records are on their way: they take as long, and go
    /// to other brokers.
    fn after_offsets(&self, group: usize) -> At<E> {
        let next = group.saturating_add(1);
        match self.guarantee {
            Guarantee::ExactlyOnce if group == 0 => At::HandingOver(Part::All),
            Guarantee::ExactlyOnce | Guarantee::AtLeastOnce if next < self.groups => {
                At::Offsets(next)
            }
            Guarantee::ExactlyOnce => At::Awaiting(Part::All),
            Guarantee::AtLeastOnce => At::Ended(Ended::Committed),
        }
    }

    fn after_hand_over(&self, part: Part) -> At<E> {
        match part {
            Part::All if self.groups > 1 => At::Offsets(1),
            Part::All | Part::Events | Part::Changelog => At::Awaiting(part),
        }
    }

    /// Without a transaction events are first, then what the changelog says of them, and the
    /// offsets last, so that whatever ends it is done again.
    fn after_await(&self, part: Part) -> At<E> {
        match part {
            Part::All => At::Committing,
            Part::Events => At::HandingOver(Part::Changelog),
            Part::Changelog if self.groups > 0 => At::Offsets(0),
            Part::Changelog => At::Ended(Ended::Committed),
        }
    }

    fn failed(&mut self, now: Instant, at: At<E>, failure: Failure<E>) -> At<E> {
        let is_transaction = self.guarantee == Guarantee::ExactlyOnce;
        match at {
            // Without a producer nothing can be done, and nothing was.
            At::Preparing | At::Renewing(_) => At::Ended(Ended::Failed(failure.into_error())),
            At::Beginning if !self.is_ready => At::Ended(Ended::Failed(failure.into_error())),
            // A producer that cannot abort is given up, and its successor does.
            At::Aborting(ended) => {
                self.is_ready = false;
                self.settled(ended)
            }
            At::Offsets(1..) if is_transaction && failure.may_follow() => At::Blaming(failure),
            // Why offsets were not taken, unless it is that a record was refused for good.
            At::Blaming(before) => match failure {
                Failure::Record(..) | Failure::Batch(_) => self.recover(now, failure),
                Failure::Abort(..)
                | Failure::Denied(..)
                | Failure::Reset(..)
                | Failure::Over(_)
                | Failure::Fenced(_) => self.recover(now, before),
            },
            At::Awaiting(_) if is_transaction => match failure {
                Failure::Over(error) => At::Asking(error),
                Failure::Abort(..)
                | Failure::Denied(..)
                | Failure::Record(..)
                | Failure::Batch(_)
                | Failure::Reset(..)
                | Failure::Fenced(_) => self.recover(now, failure),
            },
            At::Idle
            | At::Beginning
            | At::Offsets(_)
            | At::HandingOver(_)
            | At::Awaiting(_)
            | At::Asking(_)
            | At::Tracing(..)
            | At::Committing
            | At::Ended(_) => self.recover(now, failure),
        }
    }

    /// Brings the producer back to where it can be used, or gives it up.
    fn recover(&mut self, now: Instant, failure: Failure<E>) -> At<E> {
        match failure {
            Failure::Abort(reason, error) => self.abort(Ended::Aborted(reason, error)),
            Failure::Denied(reason, error) => At::Tracing(reason, error),
            // The producer goes too: after a refusal the library's numbers of records are not the
            // broker's any more, and the next transaction would fail.
            Failure::Record(index, error) => self.abort(Ended::Undeliverable(index, error)),
            Failure::Batch(error) => self.renew("batch", error),
            Failure::Reset(reason, error) => self.renew(reason, error),
            Failure::Over(error) => self.renew("write", error),
            Failure::Fenced(error) if self.is_taken(now) => At::Ended(Ended::Failed(error)),
            Failure::Fenced(error) => self.renew("fenced", error),
        }
    }

    /// Whether another live host seems to have this one's id, which was just fenced. One whose
    /// transaction outlived its time-out was fenced by the coordinator, which happens as often as
    /// brokers are away for so long.
    fn is_taken(&mut self, now: Instant) -> bool {
        if now.since(self.began) >= self.timeout {
            return false;
        }
        self.fenced.retain(|at| now.since(*at) < FENCED_WITHIN);
        self.fenced.push(now);
        self.fenced.len() >= FENCED_MAX
    }

    /// Without a transaction there is nothing to abort.
    fn abort(&mut self, ended: Ended<E>) -> At<E> {
        match self.guarantee {
            Guarantee::ExactlyOnce => At::Aborting(ended),
            Guarantee::AtLeastOnce => self.settled(ended),
        }
    }

    /// Makes the producer anew, which settles whatever the old one left open: until then nobody
    /// can read what is committed.
    fn renew(&mut self, reason: &'static str, error: E) -> At<E> {
        self.is_ready = false;
        At::Renewing(Ended::Aborted(reason, error))
    }

    fn settled(&mut self, ended: Ended<E>) -> At<E> {
        self.is_ready &= !matches!(ended, Ended::Undeliverable(..));
        if self.is_ready { At::Ended(ended) } else { At::Renewing(ended) }
    }
}

impl<E> Failure<E> {
    /// Whether it may only follow from a record that was refused.
    fn may_follow(&self) -> bool {
        match self {
            Self::Abort(reason, _) => *reason == "offsets",
            Self::Denied(..) => true,
            Self::Record(..)
            | Self::Batch(_)
            | Self::Reset(..)
            | Self::Over(_)
            | Self::Fenced(_) => false,
        }
    }

    fn into_error(self) -> E {
        match self {
            Self::Abort(_, error)
            | Self::Denied(_, error)
            | Self::Record(_, error)
            | Self::Batch(error)
            | Self::Reset(_, error)
            | Self::Over(error)
            | Self::Fenced(error) => error,
        }
    }
}

/// As what offsets are sent: the membership that fences them, where this member holds what the
/// work was begun with. The membership is taken first: what is lost after that is fenced by it.
pub fn as_member<M>(
    membership: impl FnOnce() -> Option<M>,
    holds: impl FnOnce() -> bool,
) -> Option<M> {
    let membership = membership()?;
    holds().then_some(membership)
}

#[cfg(test)]
mod tests;
