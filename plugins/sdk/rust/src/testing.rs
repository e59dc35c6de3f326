//! Owns the in-memory host of native tests: it keeps the contract's limits and records every
//! effect. It never runs Wasm and never stores anything.
//!
//! ```
//! use gristmill_plugin::{Emission, Event, Host, Outcome, testing::{TestHost, event}};
//!
//! fn handle(event: &Event, host: &mut Host) -> Outcome {
//!     host.emit(Emission::new("copies", "copied", event.payload.as_slice()))?;
//!     Ok(())
//! }
//!
//! let mut host = TestHost::new();
//! host.handle(handle, &event("orders", r#"{"id":1}"#).with_key("seat-1")).unwrap();
//! assert_eq!(host.emissions()[0].topic, "copies");
//! ```

mod world;

use std::{cell::RefCell, ops::Deref, rc::Rc};

use serde::de::DeserializeOwned;

use crate::{Event, Failure, Header, Host, Outcome, Timer, Timestamp, log::Level};

pub use world::{SetTimer, World};

/// The time of events made by [`event`]: 2026-01-01T12:00:00Z, so that tests repeat.
pub const EVENT_TIME: Timestamp = Timestamp::from_millis(1_767_268_800_000);

/// One line a handler logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// Where it comes from; the module's path for lines of the macros.
    pub context: String,
    /// The text.
    pub line: String,
}

thread_local! {
    /// Lines of the handler that runs on this thread; the macros have no host at hand.
    static LOGS: RefCell<Rc<RefCell<Vec<LogLine>>>> = RefCell::default();
}

/// An event of `topic` as the host makes it of a record without an envelope: partition 0,
/// offset 0, id `TOPIC:0:0`, at [`EVENT_TIME`], no key.
pub fn event(topic: &str, payload: impl AsRef<[u8]>) -> Event {
    let id = format!("{topic}:0:0");
    Event {
        id: id.clone(),
        event_type: topic.to_owned(),
        source: topic.to_owned(),
        time: EVENT_TIME,
        topic: topic.to_owned(),
        payload: payload.as_ref().to_vec(),
        timestamp: EVENT_TIME,
        correlation_id: id,
        attempt: 1,
        ..Event::default()
    }
}

impl Event {
    /// With this id, which begins a new chain: it is the correlation id too.
    #[must_use]
    pub fn with_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        id.clone_into(&mut self.correlation_id);
        self
    }

    /// With this record key.
    #[must_use]
    pub fn with_key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(key.as_ref().to_vec());
        self
    }

    /// With this type.
    #[must_use]
    pub fn with_type(mut self, event_type: &str) -> Self {
        event_type.clone_into(&mut self.event_type);
        self
    }

    /// At this time, by the producer's clock and by the record's.
    #[must_use]
    pub const fn with_time(mut self, time: Timestamp) -> Self {
        self.time = time;
        self.timestamp = time;
        self
    }

    /// Whose record came at this moment, whenever it happened: give it after [`Event::with_time`].
    #[must_use]
    pub const fn with_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = timestamp;
        self
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push(Header { name: name.to_owned(), value: value.as_ref().to_vec() });
        self
    }
}

/// A host for native tests. Everything is granted until a test refuses it.
///
/// Reads of what happened ([`World::emissions`], [`World::timers`], …) come from [`World`].
#[derive(Debug)]
pub struct TestHost {
    host: Host,
    logs: Rc<RefCell<Vec<LogLine>>>,
}

impl Default for TestHost {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for TestHost {
    type Target = World;

    fn deref(&self) -> &World {
        &self.host.imports
    }
}

impl TestHost {
    /// An empty host that grants everything.
    #[must_use]
    pub fn new() -> Self {
        Self { host: Host { imports: World::default() }, logs: Rc::default() }
    }

    /// With one more configured value.
    #[must_use]
    pub fn with_config(mut self, key: &str, value: &str) -> Self {
        self.host.imports.config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With emissions to these topics only; a trailing `*` stands for any ending.
    #[must_use]
    pub fn with_emit(mut self, topics: &[&str]) -> Self {
        self.host.imports.emit = Some(topics.iter().map(|&topic| topic.to_owned()).collect());
        self
    }

    /// Without state: calls are refused as not granted.
    #[must_use]
    pub fn without_state(mut self) -> Self {
        self.host.imports.state_granted = false;
        self
    }

    /// Without timers: calls are refused as not granted.
    #[must_use]
    pub fn without_timers(mut self) -> Self {
        self.host.imports.timers_granted = false;
        self
    }

    /// Answers the next request that nothing answers yet, or fails it.
    #[cfg(feature = "http")]
    pub fn answer(&mut self, answer: Result<crate::Response, crate::HttpError>) {
        self.host.imports.answers.push_back(answer);
    }

    /// Makes state unavailable from now on, or available again.
    pub fn set_state_available(&mut self, available: bool) {
        self.host.imports.state_available = available;
    }

    /// Puts a value of `key`'s state in place, without limits or grants.
    pub fn put_state(&mut self, key: &str, name: &str, value: impl AsRef<[u8]>) {
        self.host.imports.put(key.as_bytes(), name, value.as_ref());
    }

    /// Runs `handler` on one event. As in a real host, a failure voids all its effects.
    ///
    /// # Errors
    ///
    /// What the handler fails with.
    pub fn handle(
        &mut self,
        handler: impl FnOnce(&Event, &mut Host) -> Outcome,
        event: &Event,
    ) -> Outcome {
        self.host.imports.enter(event);
        self.call(|host| handler(event, host))
    }

    /// Fires the timer `name` of `key` at the moment it was set for, whether or not others are
    /// due before it.
    ///
    /// # Errors
    ///
    /// What the handler fails with; the timer then stays set.
    ///
    /// # Panics
    ///
    /// When there is no such timer: the test expects one that the handler never set.
    pub fn fire(
        &mut self,
        on_timer: impl FnOnce(&Timer, &mut Host) -> Outcome,
        key: &str,
        name: &str,
    ) -> Outcome {
        let set = self.host.imports.timer(key, name).cloned();
        #[expect(clippy::expect_used, reason = "a test that fires no timer must fail")]
        let set = set.expect("fire a timer that is set");
        let timer = set.into_timer();
        let before = self.host.imports.clone();
        self.host.imports.enter_timer(&timer);
        let outcome = self.call(|host| on_timer(&timer, host));
        if outcome.is_err() {
            self.host.imports.restore(before);
        }
        outcome
    }

    /// Fires every timer due at `now` or before, in order of their moments, those set meanwhile
    /// among them, and says how many fired.
    ///
    /// # Errors
    ///
    /// What the handler fails with first; that timer stays set.
    pub fn advance(
        &mut self,
        on_timer: impl Fn(&Timer, &mut Host) -> Outcome,
        now: Timestamp,
    ) -> Result<usize, Failure> {
        let mut fired = 0;
        while let Some((key, name)) = self.host.imports.next_due(now) {
            self.fire(&on_timer, &key, &name)?;
            fired += 1;
        }
        Ok(fired)
    }

    /// The JSON value that `key`'s state has under `name`.
    ///
    /// # Panics
    ///
    /// When the value is not JSON of this shape.
    pub fn state_json<T: DeserializeOwned>(&self, key: &str, name: &str) -> Option<T> {
        let value = self.state(key, name)?;
        #[expect(clippy::expect_used, reason = "a test reading another shape must fail")]
        Some(serde_json::from_slice(value).expect("state value of this shape"))
    }

    /// Every line logged so far, failed calls' among them.
    pub fn logs(&self) -> Vec<LogLine> {
        self.logs.borrow().clone()
    }

    fn call(&mut self, handler: impl FnOnce(&mut Host) -> Outcome) -> Outcome {
        LOGS.set(Rc::clone(&self.logs));
        let before = self.host.imports.clone();
        let outcome = handler(&mut self.host);
        if outcome.is_err() {
            self.host.imports.restore(before);
        }
        outcome
    }
}

/// Keeps one line for the host that runs on this thread.
pub(crate) fn log(level: Level, context: &str, line: &str) {
    let line = LogLine { level, context: context.to_owned(), line: line.to_owned() };
    LOGS.with_borrow(|logs| logs.borrow_mut().push(line));
}
