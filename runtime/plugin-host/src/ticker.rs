//! Decides when a running guest must let others run: about once a millisecond, and only while
//! guests run. It knows no deadline; the runner does.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use wasmtime::Engine;

/// Length of a slice: no guest holds a worker longer without yielding (source: the contract,
/// "no guest holds a worker over 1 ms").
pub(crate) const SLICE: Duration = Duration::from_millis(1);

/// Ticks without any guest after which the thread parks. Waking it costs a worker some
/// microseconds, so it does not park between two events of a busy host.
const IDLE_TICKS: u32 = 20;

/// Advances the engine's epoch while guests run.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: thread::Thread,
}

#[derive(Debug, Default)]
struct Shared {
    /// Guests being polled right now.
    running: AtomicU32,
    parked: AtomicBool,
    stop: AtomicBool,
}

/// Keeps the ticker going while it lives.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a Ticker);

impl Ticker {
    /// Starts the thread; it parks until a guest runs.
    pub(crate) fn start(engine: Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let handle = thread::Builder::new()
            .name("gristmill-tick".to_owned())
            .spawn(move || tick(&theirs, &engine))?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// Says that a guest runs until the answer is dropped.
    pub(crate) fn running(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(self)
    }

    /// True while the thread sleeps until a guest runs.
    pub(crate) fn is_parked(&self) -> bool {
        self.shared.parked.load(Ordering::SeqCst)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn tick(shared: &Shared, engine: &Engine) {
    let mut idle = IDLE_TICKS;
    while !shared.stop.load(Ordering::SeqCst) {
        if shared.running.load(Ordering::SeqCst) > 0 {
            idle = 0;
            engine.increment_epoch();
        } else {
            idle += 1;
        }
        if idle < IDLE_TICKS {
            thread::sleep(SLICE);
        } else {
            park(shared);
            idle = 0;
        }
    }
}

fn park(shared: &Shared) {
    // Either `running` is seen here, or `parked` is seen by whoever raises it.
    shared.parked.store(true, Ordering::SeqCst);
    while shared.running.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst) {
        thread::park();
    }
    shared.parked.store(false, Ordering::SeqCst);
}

/// The clock of one attempt: how long it has been held by its thread, and whether it gave the
/// thread up by itself.
#[derive(Debug)]
pub(crate) struct Slice {
    born: Instant,
    /// Start of the current poll, in nanoseconds since `born`.
    polled: AtomicU64,
    /// End of the attempt, in nanoseconds since `born`.
    deadline: AtomicU64,
    /// True from an epoch's yield until the next poll: the guest waits for nothing.
    yielded: AtomicBool,
}

/// What a guest at an epoch's end has to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Its time is up.
    Over,
    /// Let others run first.
    Yield,
    /// Go on: it has just been given the thread.
    Continue,
}

impl Slice {
    pub(crate) fn new() -> Self {
        Self {
            born: Instant::now(),
            polled: AtomicU64::new(0),
            deadline: AtomicU64::new(u64::MAX),
            yielded: AtomicBool::new(false),
        }
    }

    /// Begins an attempt that must end within `timeout`.
    pub(crate) fn begin_attempt(&self, timeout: Duration) {
        let deadline = self.now().saturating_add(nanos(timeout));
        self.deadline.store(deadline, Ordering::Relaxed);
    }

    /// Begins a poll.
    pub(crate) fn begin_poll(&self) {
        self.polled.store(self.now(), Ordering::Relaxed);
        self.yielded.store(false, Ordering::Relaxed);
    }

    /// Time since the current poll began.
    pub(crate) fn polled_for(&self) -> Duration {
        Duration::from_nanos(self.now().saturating_sub(self.polled.load(Ordering::Relaxed)))
    }

    /// Time until the deadline.
    pub(crate) fn remaining(&self) -> Duration {
        Duration::from_nanos(self.deadline.load(Ordering::Relaxed).saturating_sub(self.now()))
    }

    /// True when the last poll ended in an epoch's yield.
    pub(crate) fn yielded(&self) -> bool {
        self.yielded.load(Ordering::Relaxed)
    }

    /// Decides at an epoch's end. A guest whose poll has only begun goes on: while another was
    /// running, its epoch ended too, and without this it would yield for ever.
    pub(crate) fn turn(&self) -> Turn {
        let now = self.now();
        if now >= self.deadline.load(Ordering::Relaxed) {
            return Turn::Over;
        }
        let held = now.saturating_sub(self.polled.load(Ordering::Relaxed));
        if held < nanos(SLICE) / 2 {
            return Turn::Continue;
        }
        self.yielded.store(true, Ordering::Relaxed);
        Turn::Yield
    }

    fn now(&self) -> u64 {
        nanos(self.born.elapsed())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
