//! Lets a plugin's author write a handler as a function over typed events. It decides nothing
//! about retry, order or durability: those are the host's work.
//!
//! ```
//! use gristmill_plugin::{Emission, Event, Host, Outcome, Timestamp};
//!
//! #[derive(serde::Deserialize, serde::Serialize)]
//! #[serde(rename_all = "camelCase")]
//! struct Reservation {
//!     reservation_id: String,
//!     expires_at: Timestamp,
//! }
//!
//! gristmill_plugin::export!(handle);
//!
//! fn handle(event: &Event, host: &mut Host) -> Outcome {
//!     let reservation: Reservation = event.json()?;
//!     host.state().set_json("reservation", &reservation)?;
//!     host.emit(Emission::json("carts", "cart.item-added", &reservation)?)?;
//!     Ok(())
//! }
//! ```
//!
//! The same function runs in a native test over an in-memory host: see [`testing`].

// Generated bindings and the macros name this crate as its users do.
extern crate self as gristmill_plugin;

#[cfg(all(target_arch = "wasm32", feature = "allocator"))]
mod allocator;
mod config;
mod emission;
mod event;
mod failure;
mod host;
#[cfg(feature = "http")]
mod http;
pub mod log;
pub mod patterns;
pub mod saga;
mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod time;
mod timers;
#[cfg(target_arch = "wasm32")]
mod wasm;
pub mod windows;

pub use config::{Config, ConfigError};
pub use emission::{Emission, EmitError};
pub use event::{Event, Header, PayloadError, Timer};
pub use failure::{Failure, OrFail, Outcome, reject, retry, retry_after};
pub use host::Host;
#[cfg(feature = "http")]
pub use http::{Call, Http, HttpError, Request, Response};
pub use state::{Page, State, StateError};
pub use time::{TimeError, Timestamp};
pub use timers::{TimerError, Timers};

/// Makes a function the plugin's handler, and a second one its timer handler.
///
/// `export!(handle)` takes a `fn(&Event, &mut Host) -> Outcome`; `export!(handle, on_timer)`
/// takes besides a `fn(&Timer, &mut Host) -> Outcome` and makes a plugin with timers. Use it once
/// per crate. On any target but `wasm32` it only checks the types of the functions.
#[macro_export]
macro_rules! export {
    ($handle:path) => {
        const _: () = {
            const _: fn(&$crate::Event, &mut $crate::Host) -> $crate::Outcome = $handle;
            #[cfg(target_arch = "wasm32")]
            $crate::__export_handler!($handle);
        };
    };
    ($handle:path, $on_timer:path) => {
        const _: () = {
            const _: fn(&$crate::Event, &mut $crate::Host) -> $crate::Outcome = $handle;
            const _: fn(&$crate::Timer, &mut $crate::Host) -> $crate::Outcome = $on_timer;
            #[cfg(target_arch = "wasm32")]
            $crate::__export_timed_handler!($handle, $on_timer);
        };
    };
}

/// What the macros need to name. Not for use by hand.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod __private {
    pub use crate::wasm::{
        WitEvent, WitFailure, WitTimer, handler, rt, run_event, run_timer, timed,
    };
}
