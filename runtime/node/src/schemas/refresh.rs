//! Asks the registry: for the newest schema of every subject now and then, and for what payloads
//! name. What it said is kept in the store, for when it is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gristmill_schema::{Kind, Registered, RegistryError, Schema};
use gristmill_store::{Batch, Change};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::Source;
use super::known::Known;
use crate::Error;
use crate::plugins::Inbox;
use crate::shared::Shared;

/// First pause after the registry did not answer; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after the registry did not answer.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Whoever asks the registry of a host, until it is dropped.
#[derive(Debug)]
pub(crate) struct Refresher {
    asking: JoinHandle<()>,
}

/// What a registry said, as the store keeps it.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    id: u32,
    version: u32,
    kind: String,
    schema: String,
}

/// Begins to ask, where there is a registry. What is kept is known when it returns.
pub(crate) async fn refresh(shared: &Arc<Shared>) -> Result<Option<Refresher>, Error> {
    if shared.schemas.known.is_none() {
        return Ok(None);
    }
    let remembering = Arc::clone(shared);
    let remembered = tokio::task::spawn_blocking(move || remember(&remembering)).await;
    remembered.map_err(|_panicked| Error::WorkerGone)?;
    let asking = tokio::spawn(ask(Arc::clone(shared)));
    Ok(Some(Refresher { asking }))
}

/// Brings back what the registry said to an earlier process. Waits.
fn remember(shared: &Shared) {
    let Some(known) = &shared.schemas.known else { return };
    for subject in subjects(shared) {
        if let Some(registered) = kept(shared, &subject_name(known, &subject)) {
            known.heard(&subject, Ok(registered));
        }
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

/// Asks for ever.
async fn ask(shared: Arc<Shared>) {
    let Some(known) = &shared.schemas.known else { return };
    let refresh = shared.config.schemas.registry.as_ref();
    let refresh = refresh.map_or(PAUSE_MAX, |registry| Duration::from_millis(registry.refresh.0));
    let mut pause = PAUSE;
    let mut due = Instant::now();
    loop {
        let of_subjects = due <= Instant::now();
        let asking = Arc::clone(&shared);
        let asked = tokio::task::spawn_blocking(move || ask_once(&asking, of_subjects)).await;
        // One that panicked is as one without an answer.
        let all_answered = asked.unwrap_or(false);
        if of_subjects || !all_answered {
            let next = if all_answered { refresh } else { pause };
            pause = if all_answered { PAUSE } else { (pause * 2).min(PAUSE_MAX) };
            due = Instant::now() + next;
        }
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => {}
            () = known.missed.notified() => {
                // Many events of one schema come at once.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Asks for what is wanted, and for every subject where that is due. Waits. True when the registry
/// had an answer to all of it.
fn ask_once(shared: &Shared, of_subjects: bool) -> bool {
    let Some(known) = &shared.schemas.known else { return true };
    let mut all_answered = true;
    for id in known.wanted() {
        all_answered &= ask_for_id(shared, known, id);
    }
    if of_subjects {
        for subject in subjects(shared) {
            all_answered &= ask_for_subject(shared, known, &subject);
        }
    }
    all_answered
}

fn ask_for_subject(shared: &Shared, known: &Known, subject: &str) -> bool {
    let said = known.registry.latest(subject);
    note(shared, said.as_ref().err());
    if let Ok(registered) = &said {
        keep(shared, subject_name(known, subject), registered);
        keep(shared, id_name(known, registered.id), registered);
    }
    let is_answered = !matches!(said, Err(RegistryError::Away { .. }));
    if let Ok(Registered { id, version, .. }) = said
        && known.heard(subject, said)
    {
        tracing::info!(subject, id, version, "a schema of the registry is in use");
        shared.tell_supervisor(Inbox::TopicsChanged);
    }
    is_answered
}

fn ask_for_id(shared: &Shared, known: &Known, id: u32) -> bool {
    if let Some(Registered { schema, .. }) = kept(shared, &id_name(known, id)) {
        known.heard_of_id(id, Ok(schema));
        return true;
    }
    let said = known.registry.by_id(id);
    note(shared, said.as_ref().err());
    if let Ok(registered) = &said {
        keep(shared, id_name(known, id), registered);
    }
    let is_answered = !matches!(said, Err(RegistryError::Away { .. }));
    known.heard_of_id(id, said.map(|registered| registered.schema));
    is_answered
}

fn note(shared: &Shared, error: Option<&RegistryError>) {
    shared.metrics.registry_asked(error.is_none());
    if let Some(error) = error {
        tracing::warn!(code = error.code(), %error, "ask the schema registry");
    }
}

/// Subjects that schemas come from.
fn subjects(shared: &Shared) -> Vec<String> {
    let sources = shared.schemas.rules.iter().map(|rule| &rule.source);
    let mut subjects: Vec<String> = sources
        .filter_map(|source| match source {
            Source::Subject(subject) => Some(subject.clone()),
            Source::File(_) => None,
        })
        .collect();
    subjects.sort();
    subjects.dedup();
    subjects
}

fn subject_name(known: &Known, subject: &str) -> String {
    format!("schema/{}/subject/{subject}", known.url)
}

fn id_name(known: &Known, id: u32) -> String {
    format!("schema/{}/id/{id}", known.url)
}

/// What is kept under a name; what cannot be read is as if it were not there.
fn kept(shared: &Shared, name: &str) -> Option<Registered> {
    let text = shared.store.document(name).ok()??;
    let Kept { id, version, kind, schema } = serde_json::from_slice(&text).ok()?;
    let kind: Kind = kind.parse().ok()?;
    let schema = Arc::new(Schema::new(kind, &schema).ok()?);
    Some(Registered { id, version, schema })
}

/// Keeps what was said; without it, only an outage at the next start is worse.
fn keep(shared: &Shared, name: String, registered: &Registered) {
    let kept = Kept {
        id: registered.id,
        version: registered.version,
        kind: registered.schema.kind().name().to_owned(),
        schema: registered.schema.text().to_owned(),
    };
    // Strings and numbers always have a JSON form.
    let value = Bytes::from(serde_json::to_vec(&kept).unwrap_or_default());
    if shared.store.document(&name).ok().flatten().is_some_and(|before| before == value) {
        return;
    }
    let change = Change::Document { name, value: Some(value) };
    let batch = Batch { changes: vec![change], ..Batch::default() };
    if let Err(error) = shared.write_store(batch) {
        tracing::debug!(%error, "keep what the schema registry said");
    }
}
