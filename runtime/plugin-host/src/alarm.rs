//! Ends the sleeps of guests when they are over, to some tens of microseconds: the timers of the
//! async runtime count whole milliseconds and round up, which a handler that waits a few of them
//! per event pays for each time (source: ADR 2026-11-29, sleeps end on time). It knows no guest.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
    time::Instant,
};

/// When a sleep ends, and which of those that end then.
type Key = (Instant, u64);

/// Wakes sleepers, on a thread of its own, which sleeps while nobody else does.
#[derive(Debug)]
pub(crate) struct Alarms {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when the first sleep to end is another one than before, and when all is over.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    sleepers: BTreeMap<Key, Waker>,
    /// Sleeps there were so far.
    count: u64,
    is_over: bool,
}

impl Alarms {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("gristmill-alarm".to_owned())
            .spawn(move || theirs.wake_sleepers())?;
        Ok(Self { shared })
    }

    /// A sleep until `at`, never shorter.
    pub(crate) fn sleep_until(&self, at: Instant) -> Sleep {
        Sleep { shared: Arc::clone(&self.shared), at, key: None }
    }
}

impl Drop for Alarms {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_sleepers(&self) {
        let mut state = self.lock();
        while !state.is_over {
            let now = Instant::now();
            let due = state.take_due(now);
            if !due.is_empty() {
                drop(state);
                due.into_iter().for_each(Waker::wake);
                state = self.lock();
                continue;
            }
            let first = state.sleepers.first_key_value().map(|((at, _), _)| *at);
            state = match first {
                Some(at) => {
                    let waited = self.changed.wait_timeout(state, at.duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl State {
    fn take_due(&mut self, now: Instant) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(first) = self.sleepers.first_entry().filter(|it| it.key().0 <= now) {
            due.push(first.remove());
        }
        due
    }
}

/// A sleep. Dropped, it wakes nobody.
#[derive(Debug)]
pub(crate) struct Sleep {
    shared: Arc<Shared>,
    at: Instant,
    /// Under which it waits, once it does.
    key: Option<Key>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let mut state = self.shared.lock();
        let key = self.key.unwrap_or_else(|| {
            state.count = state.count.wrapping_add(1);
            (self.at, state.count)
        });
        state.sleepers.insert(key, context.waker().clone());
        let is_first = state.sleepers.first_key_value().is_some_and(|(first, _)| *first == key);
        drop(state);
        if is_first {
            self.shared.changed.notify_one();
        }
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.lock().sleepers.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn sleeps_end_in_their_order_and_none_too_early() {
        let alarms = Alarms::start().unwrap();
        let began = Instant::now();
        let ended = Arc::new(Mutex::new(Vec::new()));
        let runtime = Builder::new_current_thread().build().unwrap();
        // The last begins first, so that each of the others becomes the one that ends next.
        let sleeps = [30_u64, 20, 10, 0].map(|length| {
            let (ended, at) = (Arc::clone(&ended), began + Duration::from_millis(length));
            let sleep = alarms.sleep_until(at);
            runtime.spawn(async move {
                sleep.await;
                ended.lock().unwrap().push((length, Instant::now() >= at));
            })
        });
        runtime.block_on(async {
            for sleep in sleeps {
                sleep.await.unwrap();
            }
        });
        assert_eq!(*ended.lock().unwrap(), [(0, true), (10, true), (20, true), (30, true)]);
        assert!(alarms.shared.lock().sleepers.is_empty());
    }

    #[test]
    fn a_sleep_that_is_dropped_is_forgotten() {
        let alarms = Alarms::start().unwrap();
        let at = Instant::now() + Duration::from_hours(1);
        let mut sleep = Box::pin(alarms.sleep_until(at));
        let mut context = Context::from_waker(Waker::noop());
        assert!(sleep.as_mut().poll(&mut context).is_pending());
        assert!(sleep.as_mut().poll(&mut context).is_pending());
        assert_eq!(alarms.shared.lock().sleepers.len(), 1, "asked twice, it sleeps once");
        drop(sleep);
        assert!(alarms.shared.lock().sleepers.is_empty());
    }
}
