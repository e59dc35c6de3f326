//! Answers what one attempt asks of the host: grants, topics, and state as its lane sees it. It
//! never writes; what the guest wants written comes back as effects.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gristmill_engine::Instant;
use gristmill_plugin_host::{Emission, EmitError, LOCAL_NAMES, StateError, TimerError, World};
use gristmill_store::{Names, Scope};

use super::overlay::{Overlay, bytes_at, overlaid};
use crate::binding::Binding;
use crate::schemas::{Broken, Judged};
use crate::shared::Shared;
use crate::topics;

/// Follows every name that begins with [`LOCAL_NAMES`] and is no longer than one may be.
const BEYOND_LOCAL: &str = "local:\u{10ffff}";
/// Timers one subscription may hold on one worker.
pub(super) const TIMERS_MAX: u64 = 1_000_000;

/// What one attempt can see.
#[derive(Clone)]
pub(super) struct AttemptWorld {
    pub(super) shared: Arc<Shared>,
    pub(super) binding: Arc<Binding>,
    pub(super) scope: Scope,
    /// What state and timers belong to: the key, or the partition; empty on a stateless
    /// subscription's event without key.
    pub(super) owner: Bytes,
    /// The event's own key, which emissions inherit; empty where it has none.
    pub(super) key: Bytes,
    pub(super) overlay: Arc<Mutex<Overlay>>,
    /// The guest's own time: the record's timestamp, or when the timer was due.
    pub(super) event_time: Instant,
    /// Now, for values whose time to live has passed.
    pub(super) now: Instant,
    /// Timers the subscription held when the attempt began.
    pub(super) timers: u64,
}

impl World for AttemptWorld {
    fn check_emission(&mut self, emission: &Emission) -> Result<(), EmitError> {
        let topic = self.shared.config.topics.names.on_broker(&emission.topic);
        if !self.binding.config.grants.may_emit(topic) {
            return Err(EmitError::NotGranted(format!("emit = [{topic:?}]")));
        }
        if self.shared.config.topics.is_local(topic) {
            if emission.key.as_ref().is_some_and(|key| *key != self.key) {
                let how = "an event of a local topic has the key of the event that causes it";
                return Err(EmitError::Invalid(how.to_owned()));
            }
        } else if topic.starts_with(topics::INTERNAL) || self.shared.broker.topic(topic).is_none() {
            return Err(EmitError::UnknownTopic(topic.to_owned()));
        }
        let most = self.shared.config.topics.settings(topic).max_event_bytes.0;
        if emission.bytes() > most {
            return Err(EmitError::TooLarge(most));
        }
        let judged = Judged::emission(topic, emission);
        let (media, encryption) = (emission.content_type.as_deref(), &self.shared.encryption);
        match self.shared.schemas.admit(judged, media, encryption) {
            Err(Broken::Invalid(invalid)) => Err(EmitError::Schema(invalid.violations)),
            // When the attempt has ended, it waits.
            Ok(()) | Err(Broken::Away(_)) => Ok(()),
        }
    }

    fn state_get(&mut self, name: &str) -> Result<Option<Bytes>, StateError> {
        if let Some(value) = self.overlay().state(&self.owner, name) {
            return Ok(bytes_at(value, self.now));
        }
        let stored = self.shared.store.state_get(self.scope, &self.owner, name, self.now);
        stored.map_err(|error| StateError::Unavailable(crate::error::chain(&error)))
    }

    fn state_names(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, StateError> {
        let mut names = self.names(prefix, after, limit)?;
        if prefix.starts_with(LOCAL_NAMES) {
            return Ok(names);
        }
        // What handlers of local topics keep here lies together, and is none of its own.
        let found = names.len();
        names.retain(|name| !name.starts_with(LOCAL_NAMES));
        if names.len() < found {
            let left = limit.saturating_sub(u32::try_from(names.len()).unwrap_or(u32::MAX));
            names.extend(self.names(prefix, Some(BEYOND_LOCAL), left)?);
        }
        Ok(names)
    }

    fn timer_room(&mut self, _due_ms: u64) -> Result<(), TimerError> {
        if self.timers >= TIMERS_MAX {
            return Err(TimerError::LimitReached(TIMERS_MAX));
        }
        self.timers = self.timers.saturating_add(1);
        Ok(())
    }

    fn event_time(&self) -> u64 {
        self.event_time.0
    }
}

impl AttemptWorld {
    /// Names of state, whoever keeps it.
    fn names(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, StateError> {
        let uncommitted = self.overlay().state_names(&self.owner, prefix, after, self.now);
        overlaid(&uncommitted, limit, |limit| {
            let page = Names { prefix, after, limit };
            let stored = self.shared.store.state_names(self.scope, &self.owner, page, self.now);
            stored.map_err(|error| StateError::Unavailable(crate::error::chain(&error)))
        })
    }

    fn overlay(&self) -> MutexGuard<'_, Overlay> {
        // Only this worker's thread locks it, and writes to it are whole.
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
