//! Owns what a registry has said: the newest schema of each subject, and the schemas that payloads
//! name. It asks nobody: what is missing is noted for whoever does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gristmill_schema::{Registered, Registry, RegistryError, Schema};
use tokio::sync::Notify;

use super::Away;

/// Schemas that payloads name, kept in memory; beyond this many, payloads make ids up.
const IDS_MAX: usize = 10_000;

/// What a registry has said.
pub(super) struct Known {
    pub(super) registry: Registry,
    /// Its address, which is part of the names under which its answers are kept.
    pub(super) url: String,
    said: Mutex<Said>,
    /// Told when something is missing.
    pub(super) missed: Notify,
}

#[derive(Default)]
struct Said {
    subjects: BTreeMap<String, Result<Registered, Away>>,
    ids: HashMap<u32, Result<Arc<Schema>, Away>>,
    /// Ids that somebody waits for.
    wanted: BTreeSet<u32>,
}

impl Known {
    pub(super) fn new((registry, url): (Registry, String)) -> Self {
        Self { registry, url, said: Mutex::default(), missed: Notify::new() }
    }

    /// The newest schema of a subject.
    pub(super) fn subject(&self, subject: &str) -> Result<Registered, Away> {
        match self.said().subjects.get(subject) {
            Some(known) => known.clone(),
            None => Err(self.unasked(&format!("subject {subject:?}"))),
        }
    }

    /// The schema of an id. One that is not known is asked for.
    pub(super) fn id(&self, id: u32) -> Result<Arc<Schema>, Away> {
        let mut said = self.said();
        if let Some(Ok(schema)) = said.ids.get(&id) {
            return Ok(Arc::clone(schema));
        }
        let away = match said.ids.get(&id) {
            Some(Err(away)) => away.clone(),
            Some(Ok(_)) | None => self.unasked(&format!("schema {id}")),
        };
        if said.wanted.insert(id) {
            self.missed.notify_one();
        }
        Err(away)
    }

    /// Ids that somebody waits for.
    pub(super) fn wanted(&self) -> Vec<u32> {
        std::mem::take(&mut self.said().wanted).into_iter().collect()
    }

    /// Remembers what was said of a subject; a schema that was said before outlives an outage. True
    /// when that is new.
    pub(super) fn heard(&self, subject: &str, said: Result<Registered, RegistryError>) -> bool {
        let mut all = self.said();
        let known = all.subjects.get(subject);
        let is_new = match (&said, known) {
            (Ok(now), Some(Ok(before))) => now.id != before.id,
            (Ok(_), _) => true,
            (Err(_), _) => false,
        };
        if said.is_ok() || !matches!(known, Some(Ok(_))) {
            if let Ok(registered) = &said {
                all.ids.insert(registered.id, Ok(Arc::clone(&registered.schema)));
            }
            all.subjects.insert(subject.to_owned(), said.map_err(Away::from));
        }
        is_new
    }

    /// Remembers what was said of an id.
    pub(super) fn heard_of_id(&self, id: u32, said: Result<Arc<Schema>, RegistryError>) {
        let mut all = self.said();
        if all.ids.len() >= IDS_MAX {
            all.ids.retain(|_, known| known.is_ok());
        }
        all.ids.insert(id, said.map_err(Away::from));
    }

    fn unasked(&self, what: &str) -> Away {
        let reason = format!("the registry at {} has not told {what} yet", self.url);
        Away { code: "E0703", reason }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        // Every change of it is whole.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<RegistryError> for Away {
    fn from(error: RegistryError) -> Self {
        Self { code: error.code(), reason: error.to_string() }
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Known").field("url", &self.url).finish_non_exhaustive()
    }
}
