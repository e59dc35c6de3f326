//! Gathers what brokers acknowledged of the records of one checkpoint, and wakes who waits for the
//! last of them: the library's own wait for it costs 100 ms a time. It decides nothing by them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gristmill_engine::Offset;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

use super::attempt::{Failure, Refused, TooLarge, is_too_large, told, undelivered};
use crate::context;
use crate::error::{Cause, Error};
use crate::record::NewRecord;

/// Longest wait for records to be acknowledged: the library gives them up before.
const FLUSH_MAX: Duration = Duration::from_secs(20);

/// What was acknowledged of the open checkpoint.
#[derive(Debug, Default)]
struct Delivered {
    /// Mark of its first record: acknowledgements of another come too late.
    first: usize,
    /// Records that are neither acknowledged nor given up.
    waiting: usize,
    offsets: Vec<Offset>,
    /// The first that failed, with the permanent failures before the others: those that follow
    /// from them only say that the transaction is over.
    failed: Option<(usize, KafkaError)>,
    /// How many were refused because of their size.
    too_large: usize,
}

/// The context of a producer: what it still waits for.
pub(super) struct Acknowledged {
    base: context::Context,
    delivered: Mutex<Delivered>,
    /// Told when the last record is acknowledged.
    complete: Condvar,
}

impl Acknowledged {
    pub(super) fn new(base: context::Context) -> Self {
        Self { base, delivered: Mutex::default(), complete: Condvar::new() }
    }

    /// Whether a connection failed since the producer was made. The library sends what it carried
    /// again; the broker may yet be given it a second time, and take the end of one transaction
    /// for that of the next.
    pub(super) fn is_uncertain(&self) -> bool {
        self.base.has_failed()
    }

    fn lock(&self) -> MutexGuard<'_, Delivered> {
        // Every change is whole.
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait for this many records; the mark of the first, those of the others follow.
    pub(super) fn expect(&self, records: usize) -> usize {
        let mut delivered = self.lock();
        delivered.first = delivered.first.wrapping_add(delivered.offsets.len());
        delivered.waiting = records;
        delivered.failed = None;
        delivered.too_large = 0;
        delivered.offsets.clear();
        delivered.offsets.resize(records, Offset(0));
        delivered.first
    }

    /// Waits until every one of these records, of which the first has place `from` within the
    /// checkpoint, is acknowledged or given up.
    pub(super) fn delivered(
        &self,
        records: &[NewRecord],
        from: usize,
    ) -> Result<Vec<Offset>, Refused> {
        let waited = self.complete.wait_timeout_while(self.lock(), FLUSH_MAX, |it| it.waiting > 0);
        let (mut delivered, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some((index, error)) = delivered.failed.take() {
            let topic = records.get(index).map_or("", |record| &record.topic);
            let (index, together) = (from.saturating_add(index), delivered.too_large);
            if is_too_large(&error) {
                let (topic, error) = (topic.to_owned(), told(topic, &error));
                return Err(Refused::TooLarge(TooLarge { index, topic, together, error }));
            }
            return Err(Refused::Failure(undelivered(index, topic, &error)));
        }
        if delivered.waiting > 0 {
            let source = Cause::new(format!("not acknowledged in {FLUSH_MAX:?}"));
            let error = Error::Unavailable { doing: "write records".to_owned(), source };
            return Err(Refused::Failure(Failure::Reset("flush", error)));
        }
        Ok(delivered.offsets.clone())
    }
}

fn is_permanent(error: &KafkaError) -> bool {
    matches!(undelivered(0, "", error), Failure::Record(..))
}

crate::context::heard_by!(Acknowledged, base);

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, mark: usize) {
        let mut delivered = self.lock();
        let index = mark.wrapping_sub(delivered.first);
        if index >= delivered.offsets.len() {
            return;
        }
        match result {
            Ok(message) => {
                let offset = Offset(u64::try_from(message.offset()).unwrap_or(0));
                if let Some(place) = delivered.offsets.get_mut(index) {
                    *place = offset;
                }
            }
            Err((error, _)) => {
                delivered.too_large += usize::from(is_too_large(error));
                let failed = delivered.failed.as_ref();
                let is_first =
                    failed.is_none_or(|(_, known)| is_permanent(error) && !is_permanent(known));
                if is_first {
                    delivered.failed = Some((index, error.clone()));
                }
            }
        }
        delivered.waiting = delivered.waiting.saturating_sub(1);
        if delivered.waiting == 0 {
            self.complete.notify_one();
        }
    }
}
