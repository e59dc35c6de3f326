//! Owns the calls of one plugin version for one subscription. It never retries and never decides
//! what a failure means.

use std::{fmt, future::Future, sync::Arc};

use crate::{Error, Finished, Grants, Limits, Plugin, Request, Runtime, World};

/// Calls one plugin version for one subscription; a worker has one per pair.
pub struct Runner {
    settings: RunnerSettings,
}

/// What a runner is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerSettings {
    /// Name of the plugin, for logs.
    pub plugin: Arc<str>,
    /// Name of the subscription, for logs.
    pub subscription: Arc<str>,
    /// Bounds of each attempt.
    pub limits: Limits,
    /// What `wasi:config` answers, in this order.
    pub config: Vec<(String, String)>,
    /// What the manifest grants.
    pub grants: Grants,
}

impl Runner {
    /// Prepares calls of `plugin`. Cheap: the plugin is compiled and linked already.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`] when a limit is beyond what the runtime was started with.
    pub fn new(
        _runtime: &Runtime,
        _plugin: &Plugin,
        settings: RunnerSettings,
    ) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self { settings }))
    }

    /// Runs one attempt. The future must be polled within a tokio runtime with time enabled; it
    /// yields to other tasks at least every 1 to 2 ms. Dropping it ends the guest at once and voids
    /// everything it asked for.
    pub fn call(
        self: Arc<Self>,
        _request: Request,
        _world: Box<dyn World>,
    ) -> impl Future<Output = Finished> + Send + 'static {
        std::future::pending()
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Runner")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
