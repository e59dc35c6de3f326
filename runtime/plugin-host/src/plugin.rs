//! Owns a loaded component: compiled, checked against the contract and linked once. It never runs
//! a guest.

use std::{fmt, sync::Arc};

/// A component that compiled and speaks the contract. Cloning shares it.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

struct Inner {
    digest: String,
    abi: Abi,
    imports: Vec<String>,
    exports: Vec<String>,
    bytes: u64,
    compiled_from_cache: bool,
}

/// Version of the contract a plugin speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Abi {
    /// `gristmill:plugin@0.1.0`.
    V0_1,
}

impl Plugin {
    /// SHA-256 of the component's bytes, in 64 lower-case hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// Version of the contract it speaks.
    pub fn abi(&self) -> Abi {
        self.inner.abi
    }

    /// True when it exports a timer handler.
    pub fn has_timers(&self) -> bool {
        self.inner
            .exports
            .iter()
            .any(|name| name.starts_with("gristmill:plugin/timer-handler@"))
    }

    /// Full names of the interfaces it imports, in the component's order.
    pub fn imports(&self) -> &[String] {
        &self.inner.imports
    }

    /// Full names of the interfaces it exports, in the component's order.
    pub fn exports(&self) -> &[String] {
        &self.inner.exports
    }

    /// True when it imports the state of a key.
    pub fn wants_state(&self) -> bool {
        self.imports_interface("gristmill:plugin/state@")
    }

    /// True when it imports the timers of a key.
    pub fn wants_timers(&self) -> bool {
        self.imports_interface("gristmill:plugin/timers@")
    }

    /// Size of the component, in bytes.
    pub fn bytes(&self) -> u64 {
        self.inner.bytes
    }

    /// True when the compiled code was taken from the cache.
    pub fn compiled_from_cache(&self) -> bool {
        self.inner.compiled_from_cache
    }

    fn imports_interface(&self, prefix: &str) -> bool {
        self.inner
            .imports
            .iter()
            .any(|name| name.starts_with(prefix))
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Plugin")
            .field("digest", &self.digest())
            .finish_non_exhaustive()
    }
}
