//! Keeps the ends of chains in a file: what was there once must be there later. Kept where whoever
//! may write the trail may not, it shows a trail that was written anew from its beginning.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// Ends of chains, by their names.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Heads {
    pub(super) chains: BTreeMap<String, Head>,
}

/// The end of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) sequence: u64,
    pub(super) hash: String,
}

impl Heads {
    pub(super) fn read(path: &Path) -> Result<Self, Problem> {
        let failed = || format!("read {}", path.display());
        let text = fs::read_to_string(path)
            .map_err(|error| Problem::environment("E0562", failed()).source(error))?;
        serde_json::from_str(&text).map_err(|error| {
            Problem::usage("E0591", format!("{} holds no ends of chains", path.display()))
                .source(error)
        })
    }

    pub(super) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text + "\n").map_err(|error| {
            Problem::environment("E0562", format!("write {}", path.display())).source(error)
        })?;
        Ok(())
    }
}
