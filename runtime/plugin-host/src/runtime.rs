//! Owns the Wasm engine of the process, its pool of instance slots and its compiled code. It
//! never decides which plugin runs when.

use std::{path::PathBuf, sync::Arc};

use crate::{Error, LoadError, Plugin};

/// The Wasm engine. One per process; cloning shares it.
#[derive(Debug, Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: RuntimeSettings,
}

/// What the engine is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeSettings {
    /// Where compiled code is kept; nowhere without. The directory must belong to this user and
    /// be writable by no other: what lies in it is executed.
    pub cache_dir: Option<PathBuf>,
    /// Instances alive at once, 1 to 10,000; calls beyond wait their turn. Default 1,000.
    pub instances_max: u32,
    /// Ceiling of [`Limits::memory_bytes`](crate::Limits); sizes the slots of the pool, which
    /// cost address space only. Default 64 MiB.
    pub memory_bytes_max: u64,
    /// Ceiling of [`Limits::table_elements`](crate::Limits). Default 20,000.
    pub table_elements_max: u32,
    /// Bytes of a component. Default 64 MiB.
    pub component_bytes_max: u64,
    /// Stack of a guest, in bytes. It is a property of the engine, hence no limit of one
    /// subscription. Default 512 KiB. Past it: class `trap`.
    pub stack_bytes: usize,
    /// Compiles guests with metering, which costs about a third of their speed. Default false.
    pub fuel: bool,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self {
            cache_dir: None,
            instances_max: 1_000,
            memory_bytes_max: 64 << 20,
            table_elements_max: 20_000,
            component_bytes_max: 64 << 20,
            stack_bytes: 512 << 10,
            fuel: false,
        }
    }
}

impl Runtime {
    /// Starts the engine. Guests run on the threads that poll their calls; the only thread of the
    /// engine's own sleeps while no guest runs.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] when the machine refuses the settings, [`Error::Cache`] when the cache
    /// directory cannot be made.
    pub fn new(settings: RuntimeSettings) -> Result<Self, Error> {
        Ok(Self {
            inner: Arc::new(Inner { settings }),
        })
    }

    /// Compiles `bytes`, or takes the compiled code from the cache, and checks the contract.
    /// Blocks for up to seconds: call it on a thread of its own.
    ///
    /// # Errors
    ///
    /// Why the bytes are no plugin; see [`LoadError`].
    pub fn load(&self, bytes: &[u8]) -> Result<Plugin, LoadError> {
        let bytes_max = self.inner.settings.component_bytes_max;
        Err(LoadError::TooLarge {
            bytes: bytes.len() as u64,
            bytes_max,
        })
    }
}
