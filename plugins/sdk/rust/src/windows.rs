//! Owns event-time windows: which window an event counts in, when that window's result is told, and
//! what is too late. It reads no clock: everything follows from the records and from timers.
//!
//! A window is declared once, as a constant, and used by the handler and by the timer handler:
//!
//! ```
//! use std::time::Duration;
//!
//! use gristmill_plugin::{Emission, Event, Host, Outcome, Timer};
//! use gristmill_plugin::windows::{Count, Sum, Tumbling, Window};
//!
//! #[derive(serde::Deserialize)]
//! struct Order {
//!     cents: i64,
//! }
//!
//! const REVENUE: Tumbling<(Count, Sum)> =
//!     Tumbling::new("revenue", Duration::from_mins(1), tell).late_to("revenue-late");
//!
//! gristmill_plugin::export!(handle, on_timer);
//!
//! fn handle(event: &Event, host: &mut Host) -> Outcome {
//!     let order: Order = event.json()?;
//!     REVENUE.add(event, host, ((), order.cents))
//! }
//!
//! fn on_timer(timer: &Timer, host: &mut Host) -> Outcome {
//!     REVENUE.on_timer(timer, host).map(drop)
//! }
//!
//! fn tell(window: &Window<(u64, i128)>, host: &mut Host) -> Outcome {
//!     Ok(host.emit(Emission::json("revenue", "revenue.minute", window)?)?)
//! }
//! ```
//!
//! The manifest grants `state`, `timers` and what `tell` and `late_to` emit to. Windows are of a
//! key: events without one are refused by the host.
//!
//! # The same result on every replay
//!
//! Three rules make it so, whatever the pace and whatever order the topics are read in:
//!
//! 1. **What is late follows from the record alone.** An event is late for a window when its record
//!    came ([`Event::timestamp`](crate::Event::timestamp)) after the window's end plus `lateness`.
//! 2. **What is in time always counts.** When a host reads it after the window was told, the window
//!    is told again. [`Window::revision`] grows each time; the highest one is the result.
//! 3. **Aggregates do not depend on order** ([`Aggregate`]).
//!
//! What windows keep for that is bounded by `keep`; see [`Tumbling::keep`].

mod aggregate;
mod panes;
mod session;
mod sliding;
pub(crate) mod terms;
mod tumbling;

use serde::Serialize;

use crate::{Host, Outcome, Timestamp};

pub use aggregate::{Aggregate, Count, Distinct, DistinctState, Sum, Uniques};
pub use session::Session;
pub use sliding::Sliding;
pub use terms::{LateFn, TooLate};
pub use tumbling::Tumbling;

/// What is called with each result of a window.
///
/// It may emit and read state like any handler; when it fails, so does the event or the timer that
/// told the result, and all of that is void.
pub type ResultFn<T> = fn(&Window<T>, &mut Host) -> Outcome;

/// What is known of one window of one key.
///
/// As JSON its fields are in camel case. `(window, key, start)` says which window it is, and
/// `revision` which of its results: consumers keep the highest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Window<T> {
    /// Name the windows were declared under.
    pub window: &'static str,
    /// The key; bytes that are no text are replaced.
    pub key: String,
    /// Where it begins, inclusive.
    pub start: Timestamp,
    /// Where it ends, exclusive. For a session: `gap` after its last event.
    pub end: Timestamp,
    /// Events counted so far, from 1. It grows whenever the result is told again, and is the same
    /// for the last result of every replay.
    pub revision: u64,
    /// What they add up to.
    pub value: T,
    /// Only for sessions: this one is none any more, because it became part of the one that begins
    /// here. Take back what was made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<Timestamp>,
}
