//! Owns the world of a test: state and timers in memory. It keeps them across the steps of one
//! case and never beyond.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_config::Grants;
use gristmill_plugin_host::{
    Effects, Emission, EmitError, StateChange, StateError, TimerError, TimerRequest, World,
};

/// The key of a lane: subscription and record key.
pub(super) type Lane = (String, Vec<u8>);

/// State and timers of every lane of a case; cloning shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    kept: Arc<Mutex<Kept>>,
}

/// What is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    /// Values by lane and name.
    pub(super) state: BTreeMap<Lane, BTreeMap<String, Value>>,
    /// Timers by lane and name.
    pub(super) timers: BTreeMap<Lane, BTreeMap<String, SetTimer>>,
}

/// A value with the moment its life ends, in milliseconds since the Unix epoch.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) bytes: Bytes,
    pub(super) ends_ms: Option<u64>,
}

/// A timer that is set.
#[derive(Debug, Clone)]
pub(super) struct SetTimer {
    pub(super) due_ms: u64,
    pub(super) payload: Bytes,
    pub(super) set_by: ByteString,
    pub(super) correlation_id: ByteString,
    pub(super) partition: u32,
}

/// Who sets a timer.
#[derive(Debug, Clone)]
pub(super) struct Setter {
    pub(super) id: ByteString,
    pub(super) correlation_id: ByteString,
    pub(super) partition: u32,
    pub(super) time_ms: u64,
}

/// The world as one attempt sees it.
pub(super) struct View {
    pub(super) memory: Memory,
    pub(super) lane: Lane,
    pub(super) grants: Grants,
    pub(super) time_ms: u64,
}

impl Memory {
    /// Looks at everything, or changes it.
    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the effects of a successful attempt true.
    pub(super) fn apply(&self, lane: &Lane, effects: &Effects, setter: &Setter) {
        let mut kept = self.kept();
        for change in &effects.state {
            let state = kept.state.entry(lane.clone()).or_default();
            match change {
                StateChange::Set { name, value, ttl_ms } => {
                    let ends_ms = ttl_ms.map(|ttl| setter.time_ms.saturating_add(ttl));
                    state.insert(name.clone(), Value { bytes: value.clone(), ends_ms });
                }
                StateChange::Delete { name } => drop(state.remove(name)),
            }
        }
        for request in &effects.timers {
            let timers = kept.timers.entry(lane.clone()).or_default();
            match request {
                TimerRequest::Set { name, due_ms, payload } => {
                    let timer = SetTimer {
                        due_ms: *due_ms,
                        payload: payload.clone(),
                        set_by: setter.id.clone(),
                        correlation_id: setter.correlation_id.clone(),
                        partition: setter.partition,
                    };
                    timers.insert(name.clone(), timer);
                }
                TimerRequest::Cancel { name } => drop(timers.remove(name)),
            }
        }
        kept.state.retain(|_, values| !values.is_empty());
        kept.timers.retain(|_, timers| !timers.is_empty());
    }

    /// Takes the timer `name` of the first lane of `key` that has it.
    pub(super) fn take_timer(&self, key: &[u8], name: &str) -> Option<(Lane, SetTimer)> {
        let mut kept = self.kept();
        let (lane, timers) = kept
            .timers
            .iter_mut()
            .find(|((_, owner), timers)| owner == key && timers.contains_key(name))?;
        let timer = timers.remove(name)?;
        Some((lane.clone(), timer))
    }

    /// Key and name of the timer that is due first, at `now_ms` or before.
    pub(super) fn next_due(&self, now_ms: u64) -> Option<(Vec<u8>, String)> {
        let kept = self.kept();
        let timers = kept.timers.iter().flat_map(|(lane, timers)| {
            timers.iter().map(move |(name, timer)| (timer.due_ms, lane, name))
        });
        let (_, (_, key), name) = timers.filter(|(due_ms, ..)| *due_ms <= now_ms).min()?;
        Some((key.clone(), name.clone()))
    }
}

impl View {
    fn living(&self, value: &Value) -> bool {
        value.ends_ms.is_none_or(|ends_ms| self.time_ms < ends_ms)
    }
}

impl World for View {
    fn check_emission(&mut self, emission: &Emission) -> Result<(), EmitError> {
        if self.grants.may_emit(&emission.topic) {
            return Ok(());
        }
        Err(EmitError::NotGranted(format!("emit = [\"{}\"]", emission.topic)))
    }

    fn state_get(&mut self, name: &str) -> Result<Option<Bytes>, StateError> {
        let kept = self.memory.kept();
        let value = kept.state.get(&self.lane).and_then(|values| values.get(name));
        Ok(value.filter(|value| self.living(value)).map(|value| value.bytes.clone()))
    }

    fn state_names(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, StateError> {
        let kept = self.memory.kept();
        let values = kept.state.get(&self.lane).into_iter().flatten();
        let names = values.filter(|(name, value)| {
            let is_later = after.is_none_or(|after| name.as_str() > after);
            name.starts_with(prefix) && is_later && self.living(value)
        });
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(names.map(|(name, _)| name.clone()).take(limit).collect())
    }

    fn timer_room(&mut self, _due_ms: u64) -> Result<(), TimerError> {
        Ok(())
    }

    fn event_time(&self) -> u64 {
        self.time_ms
    }
}
