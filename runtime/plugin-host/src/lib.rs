//! Runs: Wasm components, sandboxed, limited and metered. The only crate that sees the Wasm
//! engine; nothing of it appears here. It never retries, orders or stores anything.
//!
//! A [`Runtime`] loads [`Plugin`]s; a [`Runner`] calls one of them for one subscription. Each call
//! is an attempt: it gets a [`Request`], asks its [`World`], and ends as [`Finished`] with
//! [`Effects`] or a [`Failure`].

mod alarm;
mod attempt;
mod bindings;
mod cache;
mod effects;
mod error;
mod failure;
mod finished;
mod host;
mod instance;
mod limiter;
mod limits;
mod log;
mod lower;
mod outgoing;
mod plugin;
mod random;
mod request;
mod runner;
mod runtime;
mod seats;
mod ticker;
mod wasi;
mod world;

pub use attempt::LOCAL_NAMES;
pub use effects::{
    Effects, Emission, EmitError, StateChange, StateError, TimerError, TimerRequest,
};
pub use error::{Error, LoadError, Source};
pub use finished::{Failure, Finished, Usage};
pub use limits::{Grants, Limits};
pub use outgoing::{HttpGrants, HttpOrigin};
pub use plugin::{Abi, Plugin};
pub use request::{Event, Handled, Header, Request, Timer};
pub use runner::{Runner, RunnerSettings};
pub use runtime::{Runtime, RuntimeSettings};
pub use world::World;
