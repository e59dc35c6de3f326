//! Lets so many threads through at a time. The others wait; who waited longest is not asked.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A gate.
#[derive(Debug)]
pub(crate) struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A thread's time behind the gate; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    /// One for `most` threads at a time.
    pub(crate) const fn new(most: usize) -> Self {
        Self { free: Mutex::new(most), freed: Condvar::new() }
    }

    /// Waits until there is room.
    pub(crate) fn enter(&self) -> Pass<'_> {
        let free = self.freed.wait_while(self.lock(), |free| *free == 0);
        let mut free = free.unwrap_or_else(PoisonError::into_inner);
        *free = free.saturating_sub(1);
        Pass(self)
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        // Every write is one number: what a panicking thread left is whole.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut free = self.0.lock();
        *free = free.saturating_add(1);
        drop(free);
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::Gate;

    #[test]
    fn no_more_are_behind_a_gate_than_it_lets_through() {
        let (gate, inside, most) = (Gate::new(3), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _thread in 0..16 {
                scope.spawn(|| {
                    for _time in 0..100 {
                        let _pass = gate.enter();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
        assert_eq!(inside.load(Ordering::SeqCst), 0);
    }
}
