//! Owns what a native test's handlers did: emissions, state, timers. It checks the contract's
//! limits and never decides what a failure voids.

use std::collections::BTreeMap;

use crate::{
    ConfigError, Emission, EmitError, Event, Page, StateError, Timer, TimerError, Timestamp,
};

const EMISSIONS_MAX: usize = 1_000;
const EMITTED_BYTES_MAX: usize = 8 << 20;
const EVENT_BYTES_MAX: u64 = 1 << 20;
const VALUE_BYTES_MAX: u64 = 1 << 20;
const NAME_BYTES_MAX: usize = 1_024;
const TIMER_BYTES_MAX: usize = 64 << 10;
const YEAR_MS: u64 = 365 * 86_400_000;
const PAGE_NAMES_MAX: u32 = 1_000;

/// Everything the handlers of one [`TestHost`](super::TestHost) did.
#[derive(Debug, Clone)]
pub struct World {
    pub(super) config: BTreeMap<String, String>,
    pub(super) emit: Option<Vec<String>>,
    pub(super) state_granted: bool,
    pub(super) state_available: bool,
    pub(super) timers_granted: bool,
    state: BTreeMap<(Vec<u8>, String), Value>,
    timers: BTreeMap<(Vec<u8>, String), SetTimer>,
    emissions: Vec<Emission>,
    #[cfg(feature = "http")]
    pub(super) requests: Vec<crate::Call>,
    #[cfg(feature = "http")]
    pub(super) answers: std::collections::VecDeque<Result<crate::Response, crate::HttpError>>,
    call: Call,
}

/// A timer that is set and has not fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetTimer {
    /// Key whose handler set it.
    pub key: Vec<u8>,
    /// Its name, unique within the key.
    pub name: String,
    /// Moment it fires at.
    pub due: Timestamp,
    /// What the handler left for itself.
    pub payload: Vec<u8>,
    set_by: String,
    correlation_id: String,
    trace_parent: Option<String>,
}

#[derive(Debug, Clone)]
struct Value {
    bytes: Vec<u8>,
    ends: Option<u64>,
}

/// What the running call needs to know of its event.
#[derive(Debug, Clone, Default)]
struct Call {
    key: Option<Vec<u8>>,
    time: Timestamp,
    id: String,
    correlation_id: String,
    trace_parent: Option<String>,
    emissions: usize,
    emitted_bytes: usize,
}

impl Default for World {
    fn default() -> Self {
        Self {
            config: BTreeMap::new(),
            emit: None,
            state_granted: true,
            state_available: true,
            timers_granted: true,
            state: BTreeMap::new(),
            timers: BTreeMap::new(),
            emissions: Vec::new(),
            #[cfg(feature = "http")]
            requests: Vec::new(),
            #[cfg(feature = "http")]
            answers: std::collections::VecDeque::new(),
            call: Call::default(),
        }
    }
}

impl World {
    /// Every emission of successful calls, in order.
    pub fn emissions(&self) -> &[Emission] {
        &self.emissions
    }

    /// Every timer that is set, in order of key and name.
    pub fn timers(&self) -> Vec<&SetTimer> {
        self.timers.values().collect()
    }

    /// The timer `name` of `key`, if it is set.
    pub fn timer(&self, key: &str, name: &str) -> Option<&SetTimer> {
        self.timers.get(&(key.as_bytes().to_vec(), name.to_owned()))
    }

    /// The value that `key`'s state has under `name`, its time to live aside.
    pub fn state(&self, key: &str, name: &str) -> Option<&[u8]> {
        let value = self.state.get(&(key.as_bytes().to_vec(), name.to_owned()))?;
        Some(&value.bytes)
    }

    /// Names of the values in `key`'s state, their time to live aside.
    pub fn state_names(&self, key: &str) -> Vec<&str> {
        let of_key = self.state.keys().filter(|(owner, _)| owner == key.as_bytes());
        of_key.map(|(_, name)| name.as_str()).collect()
    }

    pub(super) fn enter(&mut self, event: &Event) {
        self.call = Call {
            key: event.key.clone(),
            // A host counts from the record's own moment.
            time: event.timestamp,
            id: event.id.clone(),
            correlation_id: event.correlation_id.clone(),
            trace_parent: event.trace_parent.clone(),
            ..Call::default()
        };
    }

    /// Begins the call of a timer, which is set no longer.
    pub(super) fn enter_timer(&mut self, timer: &Timer) {
        self.timers.remove(&(timer.key.clone(), timer.name.clone()));
        self.call = Call {
            key: Some(timer.key.clone()),
            time: timer.due,
            id: timer.set_by.clone(),
            correlation_id: timer.correlation_id.clone(),
            trace_parent: timer.trace_parent.clone(),
            ..Call::default()
        };
    }

    /// Takes back all but the requests: those were made.
    pub(super) fn restore(&mut self, before: Self) {
        #[cfg(feature = "http")]
        let (requests, answers) =
            (std::mem::take(&mut self.requests), std::mem::take(&mut self.answers));
        *self = before;
        #[cfg(feature = "http")]
        {
            (self.requests, self.answers) = (requests, answers);
        }
    }

    /// Requests made so far, those of failed calls among them.
    #[cfg(feature = "http")]
    pub fn requests(&self) -> &[crate::Call] {
        &self.requests
    }

    #[cfg(feature = "http")]
    pub(crate) fn http_send(
        &mut self,
        call: crate::Call,
    ) -> Result<crate::Response, crate::HttpError> {
        let url = call.url.clone();
        self.requests.push(call);
        let nobody = || crate::HttpError::Unavailable(format!("the test has no answer for {url}"));
        self.answers.pop_front().unwrap_or_else(|| Err(nobody()))
    }

    pub(super) fn put(&mut self, key: &[u8], name: &str, bytes: &[u8]) {
        let value = Value { bytes: bytes.to_vec(), ends: None };
        self.state.insert((key.to_vec(), name.to_owned()), value);
    }

    /// Key and name of the timer that is due first, at `now` or before.
    pub(super) fn next_due(&self, now: Timestamp) -> Option<(String, String)> {
        let due = self.timers.values().filter(|timer| timer.due <= now);
        let first = due.min_by(|a, b| (a.due, &a.key, &a.name).cmp(&(b.due, &b.key, &b.name)))?;
        Some((String::from_utf8_lossy(&first.key).into_owned(), first.name.clone()))
    }

    pub(crate) fn emit(&mut self, emission: Emission) -> Result<(), EmitError> {
        check_emission(&emission)?;
        if let Some(granted) = &self.emit
            && !granted.iter().any(|pattern| matches(pattern, &emission.topic))
        {
            return Err(EmitError::NotGranted(format!("emit = [\"{}\"]", emission.topic)));
        }
        let emitted_bytes = self.call.emitted_bytes + size(&emission);
        if self.call.emissions == EMISSIONS_MAX {
            return Err(EmitError::LimitReached(format!("{EMISSIONS_MAX} emissions")));
        }
        if emitted_bytes > EMITTED_BYTES_MAX {
            return Err(EmitError::LimitReached(format!("{EMITTED_BYTES_MAX} bytes")));
        }
        self.call.emissions += 1;
        self.call.emitted_bytes = emitted_bytes;
        self.emissions.push(emission);
        Ok(())
    }

    pub(crate) fn state_get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let value = self.state.get(&self.state_key(name)?);
        Ok(value.filter(|value| self.lives(value)).map(|value| value.bytes.clone()))
    }

    pub(crate) fn state_set(
        &mut self,
        name: &str,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<(), StateError> {
        let key = self.state_key(name)?;
        if value.len() as u64 > VALUE_BYTES_MAX {
            return Err(StateError::TooLarge { bytes_max: VALUE_BYTES_MAX });
        }
        let ends = ttl_ms.map(|ttl| self.call.time.as_millis().saturating_add(ttl));
        self.state.insert(key, Value { bytes: value.to_vec(), ends });
        Ok(())
    }

    pub(crate) fn state_delete(&mut self, name: &str) -> Result<(), StateError> {
        let key = self.state_key(name)?;
        self.state.remove(&key);
        Ok(())
    }

    pub(crate) fn state_page(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page, StateError> {
        let key = self.lane()?;
        let living = self.state.iter().filter(|((owner, name), value)| {
            *owner == key && name.starts_with(prefix) && self.lives(value)
        });
        let after = living.filter(|((_, name), _)| cursor.is_none_or(|at| name.as_str() > at));
        let mut names: Vec<String> = after.map(|((_, name), _)| name.clone()).collect();
        let limit = limit.clamp(1, PAGE_NAMES_MAX) as usize;
        let more = names.len() > limit;
        names.truncate(limit);
        let cursor = if more { names.last().cloned() } else { None };
        Ok(Page { names, cursor })
    }

    pub(crate) fn timer_set(
        &mut self,
        name: &str,
        due: Timestamp,
        payload: &[u8],
    ) -> Result<(), TimerError> {
        let key = self.timer_key(name)?;
        if payload.len() > TIMER_BYTES_MAX {
            return Err(TimerError::Invalid(format!("payload is over {TIMER_BYTES_MAX} bytes")));
        }
        let latest = self.call.time.as_millis().saturating_add(YEAR_MS);
        if due.as_millis() > latest {
            return Err(TimerError::TooFar(Timestamp::from_millis(latest)));
        }
        let timer = SetTimer {
            key: key.0.clone(),
            name: name.to_owned(),
            due,
            payload: payload.to_vec(),
            set_by: self.call.id.clone(),
            correlation_id: self.call.correlation_id.clone(),
            trace_parent: self.call.trace_parent.clone(),
        };
        self.timers.insert(key, timer);
        Ok(())
    }

    pub(crate) fn timer_cancel(&mut self, name: &str) -> Result<(), TimerError> {
        let key = self.timer_key(name)?;
        self.timers.remove(&key);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "the component's imports may fail")]
    pub(crate) fn config_get(&self, key: &str) -> Result<Option<String>, ConfigError> {
        Ok(self.config.get(key).cloned())
    }

    #[expect(clippy::unnecessary_wraps, reason = "the component's imports may fail")]
    pub(crate) fn config_all(&self) -> Result<Vec<(String, String)>, ConfigError> {
        Ok(self.config.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn state_key(&self, name: &str) -> Result<(Vec<u8>, String), StateError> {
        let key = self.lane()?;
        // Those names are of handlers of local topics (source: the contract).
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with("local:") {
            return Err(StateError::InvalidName);
        }
        Ok((key, name.to_owned()))
    }

    /// The key whose state is meant.
    fn lane(&self) -> Result<Vec<u8>, StateError> {
        if !self.state_granted {
            return Err(StateError::NotGranted("state = true".to_owned()));
        }
        if !self.state_available {
            return Err(StateError::Unavailable("the test made it so".to_owned()));
        }
        // A host never delivers such an event to a stateful subscription: it is `invalid`.
        let without_key = || StateError::Unavailable("the event has no key".to_owned());
        self.call.key.clone().ok_or_else(without_key)
    }

    fn timer_key(&self, name: &str) -> Result<(Vec<u8>, String), TimerError> {
        if !self.timers_granted {
            return Err(TimerError::NotGranted("timers = true".to_owned()));
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(TimerError::Invalid("name is not 1 to 1,024 bytes".to_owned()));
        }
        let without_key = || TimerError::Invalid("the event has no key".to_owned());
        Ok((self.call.key.clone().ok_or_else(without_key)?, name.to_owned()))
    }

    fn lives(&self, value: &Value) -> bool {
        value.ends.is_none_or(|ends| self.call.time.as_millis() < ends)
    }
}

impl SetTimer {
    pub(super) fn into_timer(self) -> Timer {
        Timer {
            name: self.name,
            key: self.key,
            due: self.due,
            payload: self.payload,
            set_by: self.set_by,
            correlation_id: self.correlation_id,
            trace_parent: self.trace_parent,
            attempt: 1,
            ..Timer::default()
        }
    }
}

fn check_emission(emission: &Emission) -> Result<(), EmitError> {
    if emission.payload.len() as u64 > EVENT_BYTES_MAX {
        return Err(EmitError::TooLarge { bytes_max: EVENT_BYTES_MAX });
    }
    if emission.event_type.is_empty() {
        return Err(EmitError::Invalid("type is empty".to_owned()));
    }
    let reserved =
        |name: &str| name == "traceparent" || name.starts_with("ce_") || name.starts_with("dlq-");
    match emission.headers.iter().find(|header| reserved(&header.name)) {
        Some(header) => Err(EmitError::Invalid(format!("header {} is the host's", header.name))),
        None => Ok(()),
    }
}

/// All text and data of an emission, as a host counts it.
fn size(emission: &Emission) -> usize {
    let Emission { version, subject, content_type, correlation_id, .. } = emission;
    let text = [version, subject, content_type, correlation_id].into_iter().flatten();
    let headers = emission.headers.iter().map(|header| header.name.len() + header.value.len());
    let key = emission.key.as_ref().map_or(0, Vec::len);
    let names = emission.topic.len() + emission.event_type.len();
    text.map(String::len).chain(headers).sum::<usize>() + key + names + emission.payload.len()
}

fn matches(pattern: &str, topic: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => topic.starts_with(prefix),
        None => pattern == topic,
    }
}
