//! Waits: for an answer that comes through a future, and for a condition that a cluster reaches by
//! itself. Decides no time-out.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use crate::error::Error;

/// Time between two looks at a condition. A look is a request of a millisecond.
const LOOK: Duration = Duration::from_millis(10);

/// Longest time between two questions, which begins at [`LOOK`] and doubles.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// How long a thread waits before it waits again, where it waits as long as it takes.
const ROUND: Duration = Duration::from_mins(1);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks this thread until `future` is ready. rdkafka's admin requests are futures that end by
/// themselves when their time is over.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Some(output) = block_on_for(ROUND, future.as_mut()) {
            return output;
        }
    }
}

/// Blocks this thread until `future` is ready, for `within` at most.
pub(super) fn block_on_for<F: Future>(within: Duration, future: F) -> Option<F::Output> {
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let began = Instant::now();
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return Some(output),
            Poll::Pending => {
                let left = within.checked_sub(began.elapsed())?;
                thread::park_timeout(left);
            }
        }
    }
}

/// Asks again what was answered with an error that passes, as long as `within` allows; `ask` is
/// told how much of it is left. A broker that was just made the leader of a partition, or moves a
/// group, says so for some milliseconds, and rdkafka hands that through.
pub(super) fn patiently<T>(
    within: Duration,
    mut ask: impl FnMut(Duration) -> Result<T, Error>,
) -> Result<T, Error> {
    let began = Instant::now();
    let mut pause = LOOK;
    loop {
        let answer = ask(within.saturating_sub(began.elapsed()));
        let left = within.saturating_sub(began.elapsed());
        match answer {
            // Whoever is not let in is told at once: that takes somebody to correct it.
            Err(error @ Error::Authentication { .. }) => return Err(error),
            Err(error) if error.is_retriable() && !left.is_zero() => {
                thread::sleep(pause.min(left));
                pause = pause.saturating_mul(2).min(PAUSE_MAX);
            }
            answer => return answer,
        }
    }
}

/// Looks until there is something, or until `within` is over.
pub(super) fn until<T, E>(
    within: Duration,
    mut look: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let began = Instant::now();
    loop {
        let seen = look()?;
        if seen.is_some() || began.elapsed() >= within {
            return Ok(seen);
        }
        thread::sleep(LOOK);
    }
}
