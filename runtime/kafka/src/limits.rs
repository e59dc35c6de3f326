//! Remembers how large a record each topic takes and which take none of this user's, from where a
//! broker's refusal made somebody ask, so that what will be refused is known before it is sent. It
//! asks nobody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a limit is believed: it may be raised, and nobody tells.
const BELIEVED: Duration = Duration::from_mins(1);
/// How long a denial is: the right may be given, and whoever does so looks whether it helps.
const DENIED: Duration = Duration::from_secs(10);

/// The limits that are known.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// Whether any ever was: looked at for every record, so without the lock.
    is_any: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    takes: BTreeMap<String, (u64, Instant)>,
    denied: BTreeMap<String, Instant>,
}

impl Limits {
    /// A topic takes batches up to this many bytes.
    pub(crate) fn note(&self, topic: &str, bytes: u64) {
        self.lock().takes.insert(topic.to_owned(), (bytes, Instant::now()));
        self.is_any.store(true, Ordering::Release);
    }

    /// This user may not write to a topic.
    pub(crate) fn deny(&self, topic: &str) {
        self.lock().denied.insert(topic.to_owned(), Instant::now());
        self.is_any.store(true, Ordering::Release);
    }

    /// Whether it is known that this user may not write to a topic.
    pub(crate) fn is_denied(&self, topic: &str) -> bool {
        self.is_any.load(Ordering::Acquire)
            && self.lock().denied.get(topic).is_some_and(|noted| noted.elapsed() < DENIED)
    }

    /// The most bytes a batch for a topic may have, where it is known.
    pub(crate) fn of(&self, topic: &str) -> Option<u64> {
        if !self.is_any.load(Ordering::Acquire) {
            return None;
        }
        let known = self.lock();
        let (bytes, noted) = known.takes.get(topic)?;
        (noted.elapsed() < BELIEVED).then_some(*bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Every change is whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_noted_is_known() {
        let limits = Limits::default();
        assert_eq!(limits.of("orders"), None);
        limits.note("orders", 5_000);
        limits.note("orders", 4_000);
        assert_eq!(limits.of("orders"), Some(4_000));
        assert_eq!(limits.of("returns"), None);
        limits.deny("returns");
        assert!(limits.is_denied("returns") && !limits.is_denied("orders"));
    }
}
