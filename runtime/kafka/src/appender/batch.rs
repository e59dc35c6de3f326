//! Counts what waits for acknowledgements, and gathers those of records that were handed over
//! together. Sends nothing.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gristmill_engine::Offset;

use super::{Appended, AppenderBounds};
use crate::error::Error;

/// What waits, with its bounds.
pub(super) struct InFlight {
    bounds: AppenderBounds,
    waiting: Mutex<Waiting>,
    emptied: Condvar,
}

#[derive(Default)]
struct Waiting {
    records: u64,
    bytes: u64,
}

/// One record's part of what waits; it ends with the record.
pub(super) struct Claim {
    in_flight: Arc<InFlight>,
    bytes: u64,
}

/// Records that were handed over together.
pub(super) struct Batch(Mutex<Gathered>);

struct Gathered {
    /// Taken when the outcome is known.
    done: Option<Appended>,
    offsets: Vec<Offset>,
    missing: usize,
}

/// A record's place in its batch, which the client library carries until the acknowledgement.
pub(super) struct Slot {
    batch: Arc<Batch>,
    index: usize,
    _claim: Claim,
}

impl InFlight {
    pub(super) fn new(bounds: AppenderBounds) -> Arc<Self> {
        Arc::new(Self { bounds, waiting: Mutex::default(), emptied: Condvar::new() })
    }

    /// Room for records of these sizes together, or none at all. What is larger than the bounds
    /// finds room when nothing else waits.
    pub(super) fn claim(self: &Arc<Self>, sizes: &[u64]) -> Option<Vec<Claim>> {
        let records = u64::try_from(sizes.len()).unwrap_or(u64::MAX);
        let bytes = sizes.iter().copied().fold(0, u64::saturating_add);
        let mut waiting = self.lock();
        let full = waiting.records.saturating_add(records) > self.bounds.records
            || waiting.bytes.saturating_add(bytes) > self.bounds.bytes.0;
        if full && waiting.records > 0 {
            return None;
        }
        waiting.records = waiting.records.saturating_add(records);
        waiting.bytes = waiting.bytes.saturating_add(bytes);
        drop(waiting);
        let claim = |bytes: &u64| Claim { in_flight: Arc::clone(self), bytes: *bytes };
        Some(sizes.iter().map(claim).collect())
    }

    pub(super) fn records(&self) -> u64 {
        self.lock().records
    }

    /// Waits until nothing waits; false when something still does after `timeout`.
    pub(super) fn drained(&self, timeout: Duration) -> bool {
        let waiting = self.lock();
        let waited = self.emptied.wait_timeout_while(waiting, timeout, |it| it.records > 0);
        let (waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.records == 0
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut waiting = self.in_flight.lock();
        waiting.records = waiting.records.saturating_sub(1);
        waiting.bytes = waiting.bytes.saturating_sub(self.bytes);
        if waiting.records == 0 {
            self.in_flight.emptied.notify_all();
        }
    }
}

impl Batch {
    pub(super) fn new(records: usize, done: Appended) -> Arc<Self> {
        let offsets = vec![Offset::default(); records];
        Arc::new(Self(Mutex::new(Gathered { done: Some(done), offsets, missing: records })))
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(super) fn new(batch: &Arc<Batch>, index: usize, claim: Claim) -> Self {
        Self { batch: Arc::clone(batch), index, _claim: claim }
    }

    /// The record is written, at `offset`.
    pub(super) fn acknowledge(self, offset: Offset) {
        let mut gathered = self.batch.lock();
        if let Some(slot) = gathered.offsets.get_mut(self.index) {
            *slot = offset;
        }
        gathered.missing = gathered.missing.saturating_sub(1);
        if gathered.missing > 0 {
            return;
        }
        let offsets = std::mem::take(&mut gathered.offsets);
        let done = gathered.done.take();
        // Whoever is told may hand over more at once.
        drop(gathered);
        drop(self);
        if let Some(done) = done {
            done(Ok(offsets));
        }
    }

    /// The record is not written, as far as is known. The first failure of a batch is its outcome.
    pub(super) fn fail(self, error: Error) {
        let done = self.batch.lock().done.take();
        drop(self);
        if let Some(done) = done {
            done(Err(error));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use gristmill_engine::Bytes as Size;

    use super::*;

    fn batch(records: usize) -> (Vec<Slot>, mpsc::Receiver<Result<Vec<Offset>, Error>>) {
        let in_flight = InFlight::new(AppenderBounds::default());
        let (told, outcome) = mpsc::channel();
        let batch = Batch::new(records, Box::new(move |outcome| told.send(outcome).unwrap()));
        let claims = in_flight.claim(&vec![0; records]).unwrap();
        (
            claims
                .into_iter()
                .enumerate()
                .map(|(at, claim)| Slot::new(&batch, at, claim))
                .collect(),
            outcome,
        )
    }

    #[test]
    fn offsets_come_in_the_order_of_the_records() {
        let (slots, outcome) = batch(3);
        for (slot, offset) in slots.into_iter().rev().zip(7..) {
            assert!(outcome.try_recv().is_err());
            slot.acknowledge(Offset(offset));
        }
        assert_eq!(outcome.recv().unwrap().unwrap(), [Offset(9), Offset(8), Offset(7)]);
    }

    #[test]
    fn the_first_failure_is_told_once() {
        let (mut slots, outcome) = batch(3);
        slots.pop().unwrap().acknowledge(Offset(1));
        for name in ["first", "second"] {
            slots.pop().unwrap().fail(Error::TopicUnknown { topic: name.to_owned() });
        }
        let told: Vec<_> = outcome.iter().collect();
        assert_eq!(told, [Err(Error::TopicUnknown { topic: "first".to_owned() })]);
    }

    #[test]
    fn bounds_hold_until_records_end() {
        let in_flight = InFlight::new(AppenderBounds { records: 3, bytes: Size(100) });
        let two = in_flight.claim(&[40, 50]).unwrap();
        assert!(in_flight.claim(&[0, 0]).is_none());
        assert!(in_flight.claim(&[11]).is_none());
        let one = in_flight.claim(&[10]).unwrap();
        assert_eq!(in_flight.records(), 3);
        assert!(!in_flight.drained(Duration::ZERO));
        drop((one, two));
        assert!(in_flight.drained(Duration::ZERO));
        // Alone, what is larger than the bounds has room.
        assert!(in_flight.claim(&[1_000; 9]).is_some());
    }
}
