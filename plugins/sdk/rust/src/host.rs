//! Owns the door to the host: everything a handler may ask for goes through a [`Host`]. It is
//! the real host in a component and an in-memory one in native tests.

use crate::{Config, Emission, EmitError, State, Timers};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::World as Imports;
#[cfg(target_arch = "wasm32")]
pub(crate) use crate::wasm::Imports;

/// What a handler may ask of its host during one call.
#[derive(Debug)]
pub struct Host {
    pub(crate) imports: Imports,
}

impl Host {
    /// Publishes an event when, and only when, the handled event's checkpoint is durable.
    ///
    /// # Errors
    ///
    /// [`EmitError`]; the event goes on. `?` rejects it.
    pub fn emit(&mut self, emission: Emission) -> Result<(), EmitError> {
        self.imports.emit(emission)
    }

    /// State of the handled event's key.
    pub fn state(&mut self) -> State<'_> {
        State { imports: &mut self.imports }
    }

    /// Timers of the handled event's key.
    pub fn timers(&mut self) -> Timers<'_> {
        Timers { imports: &mut self.imports }
    }

    /// Requests to others by HTTP, as far as the manifest grants them.
    #[cfg(feature = "http")]
    pub fn http(&mut self) -> crate::Http<'_> {
        crate::Http { imports: &mut self.imports }
    }

    /// The manifest's configuration.
    pub fn config(&self) -> Config<'_> {
        Config { imports: &self.imports }
    }
}
