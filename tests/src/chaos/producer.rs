//! Publishes the input to whichever host is there, sends again what was not answered, and remembers
//! what was acknowledged. It never goes on before a batch is.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::input::{self, Event, Input};
use crate::support::client::Client;
use crate::support::random::Random;

/// Events of one request at most.
const BATCH_MAX: u64 = 100;
/// Events of one request at most while there are enough on their way for the moment.
const TRICKLE_MAX: u64 = 4;
/// Time between two such requests.
const TRICKLE: Duration = Duration::from_millis(10);

/// What producers share with whoever disturbs the host.
#[derive(Debug)]
pub struct Pace {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The hosts that are there, by their number.
    clients: BTreeMap<usize, Client>,
    /// Number of the host that was asked last.
    asked: usize,
    /// Events all producers together may have published by now, without repeats by re-sending.
    allowed: u64,
    published: u64,
    resent: u64,
    /// Whether to go on beyond what is allowed, a little at a time.
    trickles: bool,
    /// Whether to end at once: somebody else has failed.
    given_up: bool,
    /// Producers at work.
    producing: u32,
}

/// How many events went out.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    /// Acknowledged, repeats of the input included.
    pub published: u64,
    /// Sent once more, or more often, because no answer came.
    pub resent: u64,
}

impl Pace {
    /// Nothing is allowed yet and no host is there.
    pub fn new() -> Self {
        let state = State {
            clients: BTreeMap::new(),
            asked: 0,
            allowed: 0,
            published: 0,
            resent: 0,
            trickles: true,
            given_up: false,
            producing: 0,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The host of that number, from 0, is another one now, or there is none.
    pub fn connect(&self, number: usize, client: Option<Client>) {
        let clients = &mut self.lock().clients;
        match client {
            Some(client) => clients.insert(number, client),
            None => clients.remove(&number),
        };
        self.changed.notify_all();
    }

    /// Lets producers publish `events` in all.
    pub fn allow(&self, events: u64) {
        self.lock().allowed = events;
        self.changed.notify_all();
    }

    /// Lets producers end when they have published what is allowed.
    pub fn finish(&self) {
        self.lock().trickles = false;
        self.changed.notify_all();
    }

    /// Ends producers at once.
    pub fn give_up(&self) {
        self.lock().given_up = true;
        self.changed.notify_all();
    }

    /// Runs a producer: as long as it runs, not everything is published.
    pub fn run<T>(&self, produce: impl FnOnce() -> T) -> T {
        self.lock().producing += 1;
        let produced = produce();
        self.lock().producing -= 1;
        self.changed.notify_all();
        produced
    }

    /// Waits for the end of all producers that run.
    pub fn wait_until_published(&self) {
        let mut state = self.lock();
        while state.producing > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many events went out until now.
    pub fn count(&self) -> Count {
        let state = self.lock();
        Count { published: state.published, resent: state.resent }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most that the next batch may hold; `None` when all is published.
    fn next(&self) -> Option<u64> {
        let state = self.lock();
        if state.given_up {
            return None;
        }
        if state.published < state.allowed {
            return Some((state.allowed - state.published).min(BATCH_MAX));
        }
        if !state.trickles {
            return None;
        }
        let now = self.changed.wait_timeout(state, TRICKLE);
        let (state, _) = now.unwrap_or_else(PoisonError::into_inner);
        let left = state.allowed.saturating_sub(state.published);
        (state.trickles || left > 0).then(|| left.clamp(TRICKLE_MAX, BATCH_MAX))
    }

    /// A host, as soon as there is one: where there are several, each in turn.
    fn client(&self) -> Option<Client> {
        let mut state = self.lock();
        loop {
            if state.given_up {
                return None;
            }
            let after = (Bound::Excluded(state.asked), Bound::Unbounded);
            let next = state.clients.range(after).next().or_else(|| state.clients.iter().next());
            if let Some((number, client)) = next {
                let (number, client) = (*number, client.clone());
                state.asked = number;
                return Some(client);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn note(&self, published: usize, resent: usize) {
        let count = |events| u64::try_from(events).unwrap_or(0);
        let mut state = self.lock();
        state.published += count(published);
        state.resent += count(resent);
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

/// Publishes to `topic` until all is; returns what was acknowledged, in order.
pub fn produce(topic: &str, mut random: Random, pace: &Pace) -> Vec<Event> {
    let mut input = Input::new(topic, random.fork(1));
    let mut sent = Vec::new();
    while let Some(most) = pace.next() {
        let size = usize::try_from(random.within(1..=most)).unwrap_or(1);
        let events: Vec<Event> = input.by_ref().take(size).collect();
        let body = input::batch(&events);
        let mut is_first = true;
        loop {
            let Some(client) = pace.client() else { return sent };
            if client.publish(topic, &body).is_ok() {
                break;
            }
            if std::mem::take(&mut is_first) {
                pace.note(0, events.len());
            }
            // The host is gone, or says it is full: either takes longer than asking again.
            thread::sleep(Duration::from_millis(1));
        }
        pace.note(events.len(), 0);
        sent.extend(events);
    }
    sent
}
