//! Decides who may have an instance. It never makes one: at most as many live at once as the pool
//! has slots, callers beyond wait, and instances kept for reuse give way to callers that wait.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of the pool.
#[derive(Debug)]
pub(crate) struct Seats {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    shelves: Mutex<Vec<Weak<dyn Yields>>>,
}

/// A slot: whoever has one may have one instance.
pub(crate) type Seat = OwnedSemaphorePermit;

/// Keeps idle instances, and gives one up when asked.
pub(crate) trait Yields: Send + Sync + fmt::Debug {
    /// Drops one idle instance; false when there is none.
    fn yield_one(&self) -> bool;
}

/// Idle instances of one runner.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    idle: Mutex<Vec<T>>,
}

impl Seats {
    pub(crate) fn new(count: u32) -> Self {
        let count = usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(count)),
            waiting: AtomicUsize::new(0),
            shelves: Mutex::default(),
        }
    }

    /// Asks `yields` for its instances when callers wait.
    pub(crate) fn register(&self, yields: Weak<dyn Yields>) {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.retain(|shelf| shelf.strong_count() > 0);
        shelves.push(yields);
    }

    /// A seat; waits until there is one. `None` is never returned while the host lives.
    pub(crate) async fn take(&self) -> Option<Seat> {
        if let Ok(seat) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(seat);
        }
        let _waiting = Waiting::new(&self.waiting);
        self.yield_one();
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Puts an idle instance on its shelf, unless callers wait for its seat.
    pub(crate) fn keep<T>(&self, idle: &Shelf<T>, instance: T) {
        idle.put(instance);
        // Either the waiting caller found the instance on the shelf, or it is seen here.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            drop(idle.take());
        }
    }

    fn yield_one(&self) {
        let shelves: Vec<_> = {
            let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
            shelves.iter().filter_map(Weak::upgrade).collect()
        };
        // An instance is dropped outside the lock: that runs no guest but takes microseconds.
        let _ = shelves.iter().any(|shelf| shelf.yield_one());
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { idle: Mutex::new(Vec::new()) }
    }
}

impl<T> Shelf<T> {
    /// The instance used last, whose memory is most likely still in the processor's caches.
    pub(crate) fn take(&self) -> Option<T> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put(&self, instance: T) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(instance);
    }
}

impl<T: Send + fmt::Debug> Yields for Shelf<T> {
    fn yield_one(&self) -> bool {
        self.take().is_some()
    }
}

/// Counts a waiting caller, also one that gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Weak};

    use super::{Seat, Seats, Shelf, Yields};

    #[tokio::test]
    async fn an_idle_instance_gives_way_to_a_caller_that_waits() {
        let seats = Seats::new(1);
        let shelf: Arc<Shelf<Seat>> = Arc::default();
        let weak: Weak<Shelf<Seat>> = Arc::downgrade(&shelf);
        seats.register(weak as Weak<dyn Yields>);
        let seat = seats.take().await.unwrap();
        seats.keep(&shelf, seat);
        let seat = seats.take().await.unwrap();
        assert!(shelf.take().is_none(), "the shelf gave its seat up");

        let (waiter, ()) = tokio::join!(seats.take(), async {
            tokio::task::yield_now().await;
            seats.keep(&shelf, seat);
        });
        assert!(waiter.is_some(), "an instance is not kept while a caller waits");
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_is_not_waited_for() {
        let seats = Seats::new(1);
        let shelf: Shelf<Seat> = Shelf::default();
        let seat = seats.take().await.unwrap();
        {
            let mut waiter = Box::pin(seats.take());
            assert!(futures_poll(&mut waiter).await);
        }
        seats.keep(&shelf, seat);
        assert!(shelf.take().is_some());
    }

    /// True when the future is pending.
    async fn futures_poll(future: &mut (impl Future + Unpin)) -> bool {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())
        })
        .await
    }
}
