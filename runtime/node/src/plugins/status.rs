//! Owns what is shown of plugins and subscriptions. The supervisor writes it; HTTP, metrics and
//! readiness read it. It decides nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use gristmill_engine::SubscriptionId;
use serde::Serialize;

use crate::binding::Binding;

/// The board everyone reads from.
#[derive(Debug, Default)]
pub(crate) struct Board {
    inner: RwLock<Notices>,
}

/// What the board shows.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// Plugins by file stem.
    pub(crate) plugins: BTreeMap<String, PluginStatus>,
    /// Subscriptions by name.
    pub(crate) subscriptions: BTreeMap<String, SubscriptionStatus>,
    /// Why the plugin directory cannot be read, while it cannot.
    pub(crate) directory_error: Option<String>,
    /// True once everything the directory held at start was loaded or refused.
    pub(crate) has_started: bool,
}

/// One plugin as it is now.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct PluginStatus {
    /// Stem of its two files.
    pub(crate) name: String,
    /// `running`, `loading`, `removed` or `failed` (nothing of it runs).
    pub(crate) state: &'static str,
    /// Digest of component and manifest in use.
    pub(crate) digest: Option<String>,
    /// Digest of the component in use.
    pub(crate) component_digest: Option<String>,
    /// Names of its subscriptions.
    pub(crate) subscriptions: Vec<String>,
    /// Why the newest files were refused; the version in `digest` goes on.
    pub(crate) error: Option<String>,
    /// True after a rollback, until the files change.
    pub(crate) pinned: bool,
    /// Versions kept, newest first.
    pub(crate) history: Vec<VersionStatus>,
}

/// One version kept.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct VersionStatus {
    /// Digest of component and manifest.
    pub(crate) digest: String,
    /// Digest of the component.
    pub(crate) component_digest: String,
    /// When it last became active, Unix milliseconds.
    pub(crate) activated_ms: u64,
    /// Whether it is in use.
    pub(crate) active: bool,
}

/// One subscription as it is now.
#[derive(Debug, Clone)]
pub(crate) struct SubscriptionStatus {
    /// Its number.
    pub(crate) id: SubscriptionId,
    /// Stem of its plugin's files.
    pub(crate) plugin: String,
    /// What it is bound to.
    pub(crate) binding: Arc<Binding>,
    /// Why it is paused, if it is: `operator`, `disabled`, `removed` or `policy`.
    pub(crate) paused: Option<&'static str>,
}

impl Board {
    /// The board as it is now. Held for a moment only.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Notices> {
        // Writers only assign: what a panicking one left behind is whole.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the board.
    pub(super) fn write<T>(&self, change: impl FnOnce(&mut Notices) -> T) -> T {
        change(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner))
    }
}
