//! Owns what waits to be sent, within a bound: whoever puts something in never waits. It sends
//! nothing.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Span;

/// What waits to be sent.
#[derive(Debug)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    /// There is enough for a batch, or the end has come.
    worth_waking: Condvar,
    /// Spans kept at most.
    spans_max: usize,
    /// Spans of one batch.
    batch_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: Vec<Span>,
    dropped: u64,
    /// The newest metrics, ready to be sent: older ones say less.
    metrics: Option<Vec<u8>>,
    is_closed: bool,
}

/// What is to be sent now.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) spans: Vec<Span>,
    /// Spans that found no room since the last batch.
    pub(crate) dropped: u64,
    pub(crate) metrics: Option<Vec<u8>>,
    /// Nothing more comes.
    pub(crate) is_last: bool,
}

impl Outbox {
    pub(crate) fn new(spans_max: usize, batch_max: usize) -> Self {
        let (waiting, worth_waking) = (Mutex::default(), Condvar::new());
        Self { waiting, worth_waking, spans_max, batch_max }
    }

    /// Takes the spans for sending and leaves `spans` empty; those that find no room are dropped.
    pub fn put(&self, spans: &mut Vec<Span>) {
        if spans.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        let room = self.spans_max.saturating_sub(waiting.spans.len());
        let dropped = spans.len().saturating_sub(room);
        waiting.dropped = waiting.dropped.saturating_add(u64::try_from(dropped).unwrap_or(0));
        waiting.spans.extend(spans.drain(..).take(room));
        let is_enough = waiting.spans.len() >= self.batch_max;
        drop(waiting);
        if is_enough {
            self.worth_waking.notify_one();
        }
    }

    pub(crate) fn put_metrics(&self, metrics: Vec<u8>) {
        self.lock().metrics = Some(metrics);
    }

    /// Nothing more is put in: what is there is the last.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.worth_waking.notify_one();
    }

    /// Waits until there is enough for a batch, `patience` has passed, or the end has come; takes a
    /// batch.
    pub(crate) fn take(&self, patience: Duration) -> Batch {
        let until = Instant::now() + patience;
        let mut waiting = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let is_enough = waiting.spans.len() >= self.batch_max;
            if is_enough || waiting.is_closed || left.is_zero() {
                break;
            }
            let woken = self.worth_waking.wait_timeout(waiting, left);
            (waiting, _) = woken.unwrap_or_else(PoisonError::into_inner);
        }
        let taken = waiting.spans.len().min(self.batch_max);
        let spans = waiting.spans.drain(..taken).collect();
        Batch {
            spans,
            dropped: std::mem::take(&mut waiting.dropped),
            metrics: waiting.metrics.take(),
            is_last: waiting.is_closed && waiting.spans.is_empty(),
        }
    }

    /// Waits for that long, or until the end has come. True at the end.
    pub(crate) fn rest(&self, pause: Duration) -> bool {
        let waiting = self.lock();
        let closed = |waiting: &mut Waiting| !waiting.is_closed;
        let rested = self.worth_waking.wait_timeout_while(waiting, pause, closed);
        let (waiting, _) = rested.unwrap_or_else(PoisonError::into_inner);
        waiting.is_closed
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Every change is whole: a panic elsewhere leaves nothing half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sampler, SpanKind, TraceContext};

    fn spans(count: usize) -> Vec<Span> {
        let span = Span {
            context: TraceContext::begin(Sampler::NONE),
            parent: None,
            kind: SpanKind::Internal,
            verb: "test",
            target: "".into(),
            began_ns: 1,
            ended_ns: 2,
            attributes: Vec::new(),
            error: None,
        };
        vec![span; count]
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let outbox = Outbox::new(3, 2);
        for (put, expected) in [(3, 0), (1, 1)] {
            let mut these = spans(put);
            outbox.put(&mut these);
            assert!(these.is_empty());
            assert_eq!(outbox.lock().dropped, expected);
        }
        let batch = outbox.take(Duration::MAX / 4);
        assert_eq!((batch.spans.len(), batch.dropped, batch.is_last), (2, 1, false));
        outbox.put(&mut spans(2));
        assert_eq!(outbox.lock().dropped, 0, "there is room for two again");
    }

    #[test]
    fn the_last_batch_is_known_as_such() {
        let outbox = Outbox::new(10, 4);
        outbox.put(&mut spans(5));
        outbox.put_metrics(vec![1]);
        outbox.put_metrics(vec![2]);
        outbox.close();
        let batch = outbox.take(Duration::ZERO);
        assert_eq!((batch.spans.len(), batch.is_last), (4, false));
        assert_eq!(batch.metrics, Some(vec![2]), "the newest metrics replace older ones");
        let batch = outbox.take(Duration::ZERO);
        assert_eq!((batch.spans.len(), batch.metrics, batch.is_last), (1, None, true));
        assert!(outbox.rest(Duration::MAX / 4), "nobody rests after the end");
    }

    #[test]
    fn less_than_a_batch_is_taken_once_patience_ends() {
        let outbox = Outbox::new(10, 4);
        outbox.put(&mut spans(1));
        let batch = outbox.take(Duration::from_millis(1));
        assert_eq!((batch.spans.len(), batch.is_last), (1, false));
        assert!(!outbox.rest(Duration::ZERO));
    }
}
