//! Owns a plugin's manifest as a whole: its name and its subscriptions. It never loads the
//! plugin.

use crate::{Ceilings, Env, Problems, Source, SubscriptionConfig};

/// The checked content of a plugin's `NAME.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The document it came from, as it was named.
    pub file: String,
    /// The plugin's name; the file's stem without `[plugin] name`.
    pub name: String,
    /// One or more, with distinct names.
    pub subscriptions: Vec<SubscriptionConfig>,
    /// What was accepted but is probably not what was meant.
    pub warnings: Problems,
}

pub(crate) fn read(
    source: &Source<'_>,
    env: Env<'_>,
    ceilings: &Ceilings,
) -> Result<Manifest, Problems> {
    drop((source, env, ceilings));
    Err(Problems::default())
}
