//! Listens to the clients that nobody reads records from, so that their log and their errors
//! arrive. Owns the thread; what arrives is the context's.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rdkafka::consumer::BaseConsumer;

use super::groups::Bystanders;
use crate::{context::Context, error::Error};

/// How long the thread listens before it looks whether it shall end.
const SLICE: Duration = Duration::from_millis(100);

/// The thread. It ends when this is dropped.
pub(super) struct Listener {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    pub(super) fn start(
        watchers: [Arc<BaseConsumer<Context>>; 2],
        bystanders: Arc<Bystanders>,
    ) -> Result<Self, Error> {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let listen = move || {
            let [first, second] = &watchers;
            while !end.load(Ordering::Relaxed) {
                // Neither is assigned anything: no record comes, only events.
                drop(first.poll(SLICE));
                drop(second.poll(Duration::ZERO));
                bystanders.listen();
            }
        };
        let started = thread::Builder::new().name("kafka-listener".to_owned()).spawn(listen);
        let failed = |error: io::Error| Error::Client { reason: error.to_string() };
        Ok(Self { ended, thread: Some(started.map_err(failed)?) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            drop(thread.join());
        }
    }
}
