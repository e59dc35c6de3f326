//! Runs: Wasm components, sandboxed, limited and metered. The only crate that sees the Wasm
//! engine; nothing of it appears here. It never retries, orders or stores anything.
//!
//! A [`Runtime`] loads [`Plugin`]s; a [`Runner`] calls one of them for one subscription. Each call
//! is an attempt: it gets a [`Request`], asks its [`World`], and ends as [`Finished`] with
//! [`Effects`] or a [`Failure`].

mod effects;
mod error;
mod finished;
mod limits;
mod plugin;
mod request;
mod runner;
mod runtime;
mod world;

pub use effects::{
    Effects, Emission, EmitError, StateChange, StateError, TimerError, TimerRequest,
};
pub use error::{Error, LoadError, Source};
pub use finished::{Failure, Finished, Usage};
pub use limits::{Grants, Limits};
pub use plugin::{Abi, Plugin};
pub use request::{Event, Header, Request, Timer};
pub use runner::{Runner, RunnerSettings};
pub use runtime::{Runtime, RuntimeSettings};
pub use world::World;
