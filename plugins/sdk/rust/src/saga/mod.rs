//! Orchestrates work of several participants that must all be done or all be undone: a saga. The
//! orchestrator is an ordinary handler with state and timers; it sends each step's command as an
//! event, waits for the answer, and undoes what was done, last first, when a step fails.
//!
//! ```
//! use std::time::Duration;
//! use gristmill_plugin::{Emission, Event, Failure, Host, Outcome, Timer, saga::{Saga, Step}};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Order {
//!     order_id: String,
//!     seat: String,
//! }
//!
//! fn order_saga() -> Saga<Order> {
//!     Saga::new("order", "order-replies")
//!         .step(
//!             Step::new("reserve-seat", |order: &Order| {
//!                 Ok(Emission::json("seat-commands", "seat.reserve", order)?.key(&order.seat))
//!             })
//!             .undo(|order| {
//!                 Ok(Emission::json("seat-commands", "seat.release", order)?.key(&order.seat))
//!             })
//!             .limit(Duration::from_mins(1)),
//!         )
//!         .step(Step::new("issue-ticket", |order| {
//!             Emission::json("ticket-commands", "ticket.issue", order)
//!         }))
//! }
//!
//! gristmill_plugin::export!(handle, on_timer);
//!
//! fn handle(event: &Event, host: &mut Host) -> Outcome {
//!     if order_saga().handle(event, host)? {
//!         return Ok(());
//!     }
//!     let order: Order = event.json()?;
//!     order_saga().start(&order.order_id.clone(), order, event, host)
//! }
//!
//! fn on_timer(timer: &Timer, host: &mut Host) -> Outcome {
//!     order_saga().on_timer(timer, host)
//! }
//! ```
//!
//! A participant answers with what [`Command::of`] makes of the command it was sent. All of a saga
//! happens in one lane, that of the key of the event that started it: answers come back with that
//! key. What is kept of it is documented in `docs/sagas.md` and read by `gristmill saga show`.

mod answer;
mod flow;
mod record;
mod run;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::{Emission, Event, Failure, Outcome};

pub use answer::Command;
pub use record::{Deed, Entry, Part, Record, Stage};

/// Time a step has to be answered where it names none.
const LIMIT: Duration = Duration::from_mins(5);
/// Times a command is sent until its step counts as failed, where it names no number.
const ATTEMPTS: u32 = 3;
/// The same of a command that undoes: what was done must not stay done because somebody is away
/// for a while.
const UNDO_ATTEMPTS: u32 = 10;
/// How long a saga that ended can be read, where it names no time.
const KEEP: Duration = Duration::from_hours(90 * 24);

/// Makes the event that asks a participant for something.
type Ask<D> = fn(&D) -> Result<Emission, Failure>;
/// Takes over what an answer says.
type Take<D> = fn(&mut D, &Event) -> Outcome;
/// Says what is published when a saga comes to rest.
type Tell<D> = fn(&D, &End) -> Result<Vec<Emission>, Failure>;

/// A saga's definition: its steps in their order. `D` is what it knows, kept as JSON between its
/// events.
#[derive(Debug, Clone)]
pub struct Saga<D> {
    name: &'static str,
    replies: &'static str,
    steps: Vec<Step<D>>,
    tell: Option<Tell<D>>,
    keep: Option<Duration>,
}

/// One step: what is asked, and how it is undone.
#[derive(Debug, Clone)]
pub struct Step<D> {
    name: &'static str,
    ask: Ask<D>,
    undo: Option<Ask<D>>,
    take: Option<Take<D>>,
    limit: Duration,
    attempts: u32,
    undo_attempts: u32,
}

/// How a saga came to rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every step was done.
    Completed,
    /// A step failed, and everything before it was undone.
    Compensated {
        /// The step that failed.
        step: String,
        /// Why.
        reason: String,
    },
    /// Something cannot be undone: somebody must see to it, then have it resumed
    /// (`gristmill saga resume`). It is told again when it rests again.
    Stuck {
        /// The step that cannot be undone.
        step: String,
        /// Why.
        reason: String,
    },
}

impl<D> Saga<D> {
    /// One of that name, answered in the topic `replies`. The subscription reads that topic, and
    /// its manifest grants to emit to it and to the commands' topics, state and timers.
    #[must_use]
    pub const fn new(name: &'static str, replies: &'static str) -> Self {
        Self { name, replies, steps: Vec::new(), tell: None, keep: Some(KEEP) }
    }

    /// With one more step at the end. Names are unique within a saga; one that is under way goes
    /// on by the name of its step when the definition changes.
    #[must_use]
    pub fn step(mut self, step: Step<D>) -> Self {
        self.steps.push(step);
        self
    }

    /// With what is published when it comes to rest.
    #[must_use]
    pub const fn tell(mut self, tell: Tell<D>) -> Self {
        self.tell = Some(tell);
        self
    }

    /// Keeps what it did for so long after it ended (default 90 days); for ever with `None`. A
    /// saga that is started again meanwhile, by a duplicate, does nothing.
    #[must_use]
    pub const fn keep(mut self, time: Option<Duration>) -> Self {
        self.keep = time;
        self
    }
}

impl<D> Step<D> {
    /// One of that name, which asks for what `ask` makes. The host's headers for sagas are added
    /// to it; its key is whatever the participant orders its work by.
    #[must_use]
    pub const fn new(name: &'static str, ask: Ask<D>) -> Self {
        Self {
            name,
            ask,
            undo: None,
            take: None,
            limit: LIMIT,
            attempts: ATTEMPTS,
            undo_attempts: UNDO_ATTEMPTS,
        }
    }

    /// Undone by what `undo` asks for. Of a step that was not answered nobody knows whether it was
    /// done: it is undone as well, so that a participant must be able to undo what it never did.
    #[must_use]
    pub const fn undo(mut self, undo: Ask<D>) -> Self {
        self.undo = Some(undo);
        self
    }

    /// Lets `take` take over what the answer says when the step is done.
    #[must_use]
    pub const fn take(mut self, take: Take<D>) -> Self {
        self.take = Some(take);
        self
    }

    /// Each command must be answered within this time (default 5 minutes).
    #[must_use]
    pub const fn limit(mut self, time: Duration) -> Self {
        self.limit = time;
        self
    }

    /// Sends the command so often (default 3 times), each after the one before was not answered
    /// in time, until the step counts as failed. One is the least.
    #[must_use]
    pub const fn attempts(mut self, times: u32) -> Self {
        self.attempts = times;
        self
    }

    /// The same of the command that undoes it (default 10 times), after which the saga is stuck.
    #[must_use]
    pub const fn undo_attempts(mut self, times: u32) -> Self {
        self.undo_attempts = times;
        self
    }
}
