//! Decides what one attempt is allowed and keeps what it asked for until it ends. It never stores
//! or publishes anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use bytes::Bytes;
use gristmill_telemetry::{Span, TraceContext};
use sha2::{Digest, Sha256};

use crate::{
    Effects, Emission, EmitError, Grants, Handled, Limits, Request, StateChange, StateError,
    TimerError, TimerRequest, World,
};

/// Longest state or timer name, in bytes (source: the contract, `wit/plugin.wit`).
const NAME_BYTES_MAX: usize = 1_024;
/// How names begin under which handlers of local topics keep state with the subscription that
/// causes their events; nobody else's do (source: the contract, `wit/plugin.wit`).
pub const LOCAL_NAMES: &str = "local:";
/// Largest timer payload, in bytes (source: the contract).
const TIMER_PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// Furthest a timer may be set ahead of the event's time, in milliseconds (source: the contract).
const TIMER_AHEAD_MS_MAX: u64 = 365 * 24 * 3_600_000;
/// Most names in one page (source: the contract).
const PAGE_NAMES_MAX: u32 = 1_000;
/// Counted for every state or timer change besides its name and value, so that deleting without
/// end is bounded too.
const CHANGE_BYTES: u64 = 64;

/// One attempt while it runs.
pub(crate) struct Attempt {
    pub(crate) handled: Handled,
    pub(crate) number: u32,
    pub(crate) world: Box<dyn World>,
    /// First emission that was refused: a rejection after it is class `output`.
    pub(crate) refused: Option<EmitError>,
    /// What a handler needs was unavailable: a retry after it is class `infrastructure`.
    pub(crate) unavailable: Option<Unavailable>,
    /// The first request that was withheld.
    pub(crate) withheld: Option<String>,
    /// Its own span, where traces are known of.
    pub(crate) span: Option<TraceContext>,
    /// Spans of its requests that have ended.
    pub(crate) calls: Vec<Span>,
    emissions: Vec<Emission>,
    emitted_bytes: u64,
    writes: BTreeMap<String, Write>,
    timers: Vec<TimerRequest>,
    change_bytes: u64,
}

/// What a handler needed and did not get, through no fault of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unavailable {
    pub(crate) code: &'static str,
    /// In a sentence.
    pub(crate) reason: String,
}

/// What the randomness of an attempt grows from: the same at every attempt of one event.
#[derive(Clone, Copy)]
pub(crate) struct Seed<'a> {
    pub(crate) id: &'a str,
    /// Topic, or name of the timer.
    pub(crate) place: &'a str,
    pub(crate) partition: u32,
    /// Offset, or due time of the timer.
    pub(crate) position: u64,
}

impl Seed<'_> {
    /// A hash begun with `purpose` and the seed, the same at every attempt of one event.
    pub(crate) fn hashed(&self, purpose: &[u8]) -> Sha256 {
        let mut hasher = Sha256::new();
        hasher.update(purpose);
        for text in [self.id, self.place] {
            // Lengths keep ("ab", "c") apart from ("a", "bc").
            hasher.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(self.partition.to_le_bytes());
        hasher.update(self.position.to_le_bytes());
        hasher
    }
}

/// The last write of one name; `None` deletes it.
type Write = Option<(Bytes, Option<u64>)>;

/// One page of state names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) names: Vec<String>,
    pub(crate) cursor: Option<String>,
}

impl Attempt {
    pub(crate) fn new(request: &Request, world: Box<dyn World>) -> Self {
        Self {
            handled: request.handled.clone(),
            number: request.attempt,
            world,
            refused: None,
            unavailable: None,
            withheld: None,
            span: request.span,
            calls: Vec::new(),
            emissions: Vec::new(),
            emitted_bytes: 0,
            writes: BTreeMap::new(),
            timers: Vec::new(),
            change_bytes: 0,
        }
    }

    /// What the randomness of the attempt grows from.
    pub(crate) fn seed(&self) -> Seed<'_> {
        match &self.handled {
            Handled::Event(event) => Seed {
                id: &event.id,
                place: &event.topic,
                partition: event.partition,
                position: event.offset,
            },
            Handled::Timer(timer) => Seed {
                id: &timer.set_by,
                place: &timer.name,
                partition: timer.partition,
                position: timer.due_ms,
            },
        }
    }

    /// Number of emissions accepted so far.
    pub(crate) fn emissions(&self) -> u32 {
        u32::try_from(self.emissions.len()).unwrap_or(u32::MAX)
    }

    /// Takes an emission, or says why not.
    pub(crate) fn emit(&mut self, emission: Emission, limits: &Limits) -> Result<(), EmitError> {
        let checked = self.check_emission(&emission, limits);
        match checked {
            Ok(bytes) => {
                self.emitted_bytes = bytes;
                self.emissions.push(emission);
                Ok(())
            }
            Err(error) => {
                self.refused.get_or_insert_with(|| error.clone());
                Err(error)
            }
        }
    }

    /// The value a handler sees under `name`.
    pub(crate) fn state_get(
        &mut self,
        name: &str,
        grants: Grants,
    ) -> Result<Option<Bytes>, StateError> {
        check_state(name, grants)?;
        match self.writes.get(name) {
            Some(Some((_, Some(0))) | None) => Ok(None),
            Some(Some((value, _))) => Ok(Some(value.clone())),
            None => {
                let read = self.world.state_get(name);
                self.noted(read)
            }
        }
    }

    /// Sets or, without a value, deletes `name`.
    pub(crate) fn state_write(
        &mut self,
        name: String,
        write: Write,
        grants: Grants,
        limits: &Limits,
    ) -> Result<(), StateError> {
        check_state(&name, grants)?;
        let value_bytes = write.as_ref().map_or(0, |(value, _)| size(value.len()));
        if value_bytes > limits.value_bytes {
            return Err(StateError::TooLarge(limits.value_bytes));
        }
        let replaced = self.writes.get(&name).map_or(0, |write| change_bytes(&name, write));
        let used = self.change_bytes.saturating_sub(replaced);
        let wanted = change_bytes(&name, &write);
        if used.saturating_add(wanted) > limits.state_bytes {
            let overhead = wanted - value_bytes;
            let room = limits.state_bytes.saturating_sub(used).saturating_sub(overhead);
            return Err(StateError::TooLarge(room));
        }
        self.change_bytes = used + wanted;
        self.writes.insert(name, write);
        Ok(())
    }

    /// One page of the names a handler sees: what the store has, overlaid by this attempt.
    pub(crate) fn state_names(
        &mut self,
        prefix: &str,
        cursor: Option<String>,
        limit: u32,
        grants: Grants,
    ) -> Result<Page, StateError> {
        if !grants.state {
            return Err(StateError::NotGranted(STATE_LINE.to_owned()));
        }
        if prefix.starts_with(LOCAL_NAMES) {
            return Ok(Page { names: Vec::new(), cursor: None });
        }
        let limit = limit.clamp(1, PAGE_NAMES_MAX);
        // One name more than asked for tells whether there is another page.
        let wanted = limit as usize + 1;
        let mut after = cursor;
        let mut names: Vec<String> = Vec::new();
        loop {
            let found = self.world.state_names(prefix, after.as_deref(), limit + 1);
            let stored = self.noted(found)?;
            let exhausted = stored.len() < wanted;
            let upto = if exhausted { None } else { stored.last().cloned() };
            names.extend(self.overlaid(stored, prefix, after.as_deref(), upto.as_deref()));
            if names.len() >= wanted || exhausted {
                break;
            }
            after = upto;
        }
        let more = names.len() >= wanted;
        names.truncate(limit as usize);
        let cursor = if more { names.last().cloned() } else { None };
        Ok(Page { names, cursor })
    }

    /// Takes a timer setting, or says why not.
    pub(crate) fn timer_set(
        &mut self,
        name: String,
        due_ms: u64,
        payload: Bytes,
        (grants, limits): (Grants, &Limits),
    ) -> Result<(), TimerError> {
        self.check_timer(&name, grants, limits)?;
        if payload.len() > TIMER_PAYLOAD_BYTES_MAX {
            let what =
                format!("payload of {} bytes, at most {TIMER_PAYLOAD_BYTES_MAX}", payload.len());
            return Err(TimerError::Invalid(what));
        }
        let latest = self.world.event_time().saturating_add(TIMER_AHEAD_MS_MAX);
        if due_ms > latest {
            return Err(TimerError::TooFar(latest));
        }
        self.world.timer_room(due_ms)?;
        self.count_timer(name.len() + payload.len(), limits)?;
        self.timers.push(TimerRequest::Set { name, due_ms, payload });
        Ok(())
    }

    /// Takes the cancelling of a timer, or says why not.
    pub(crate) fn timer_cancel(
        &mut self,
        name: String,
        grants: Grants,
        limits: &Limits,
    ) -> Result<(), TimerError> {
        self.check_timer(&name, grants, limits)?;
        self.count_timer(name.len(), limits)?;
        self.timers.push(TimerRequest::Cancel { name });
        Ok(())
    }

    /// What the attempt asked for, once it has succeeded.
    pub(crate) fn into_effects(self) -> Effects {
        let state = self.writes.into_iter().map(|(name, write)| match write {
            Some((value, ttl_ms)) => StateChange::Set { name, value, ttl_ms },
            None => StateChange::Delete { name },
        });
        Effects {
            emissions: self.emissions,
            state: state.collect(),
            timers: self.timers,
            bytes: self.emitted_bytes.saturating_add(self.change_bytes),
        }
    }

    /// Sum of emitted bytes with `emission`, when it may be published.
    fn check_emission(&mut self, emission: &Emission, limits: &Limits) -> Result<u64, EmitError> {
        if let Some(what) = malformed(emission) {
            return Err(EmitError::Invalid(what));
        }
        if self.emissions() >= limits.emissions {
            return Err(EmitError::LimitReached(format!(
                "{} emissions per event",
                limits.emissions
            )));
        }
        let bytes = self.emitted_bytes.saturating_add(emission.bytes());
        if bytes > limits.emitted_bytes {
            let limit = limits.emitted_bytes;
            return Err(EmitError::LimitReached(format!("{limit} emitted bytes per event")));
        }
        self.world.check_emission(emission)?;
        Ok(bytes)
    }

    fn check_timer(&self, name: &str, grants: Grants, limits: &Limits) -> Result<(), TimerError> {
        if !grants.timers {
            return Err(TimerError::NotGranted("timers = true".to_owned()));
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            let what = format!("name of {} bytes, 1 to {NAME_BYTES_MAX} are allowed", name.len());
            return Err(TimerError::Invalid(what));
        }
        if size(self.timers.len()) >= u64::from(limits.timers) {
            return Err(TimerError::LimitReached(u64::from(limits.timers)));
        }
        Ok(())
    }

    fn count_timer(&mut self, bytes: usize, limits: &Limits) -> Result<(), TimerError> {
        let wanted = self.change_bytes.saturating_add(size(bytes)).saturating_add(CHANGE_BYTES);
        if wanted > limits.state_bytes {
            let what = format!("more than {} bytes of changes per event", limits.state_bytes);
            return Err(TimerError::Invalid(what));
        }
        self.change_bytes = wanted;
        Ok(())
    }

    /// Names of `stored` and of this attempt within (`after`, `upto`], without deleted ones.
    fn overlaid(
        &self,
        stored: Vec<String>,
        prefix: &str,
        after: Option<&str>,
        upto: Option<&str>,
    ) -> Vec<String> {
        let mut names: BTreeSet<String> = stored.into_iter().collect();
        let own = self
            .writes
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix));
        for (name, write) in own {
            let within = after.is_none_or(|after| name.as_str() > after)
                && upto.is_none_or(|upto| name.as_str() <= upto);
            match write {
                Some((_, ttl)) if *ttl != Some(0) && within => {
                    names.insert(name.clone());
                }
                Some((_, Some(0))) | None => {
                    names.remove(name);
                }
                Some(_) => {}
            }
        }
        names.into_iter().collect()
    }

    /// Remembers that the store was unavailable.
    fn noted<T>(&mut self, read: Result<T, StateError>) -> Result<T, StateError> {
        if let Err(StateError::Unavailable(why)) = &read {
            let reason = format!("the store is unavailable: {why}");
            self.unavailable.get_or_insert(Unavailable { code: "E0346", reason });
        }
        read
    }
}

const STATE_LINE: &str = "state = true";

fn check_state(name: &str, grants: Grants) -> Result<(), StateError> {
    if !grants.state {
        return Err(StateError::NotGranted(STATE_LINE.to_owned()));
    }
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with(LOCAL_NAMES) {
        return Err(StateError::InvalidName);
    }
    Ok(())
}

/// How an emission breaks the contract by itself.
fn malformed(emission: &Emission) -> Option<String> {
    if emission.topic.is_empty() {
        return Some("the topic is empty".to_owned());
    }
    if emission.kind.is_empty() {
        return Some("the type is empty".to_owned());
    }
    emission.headers.iter().find_map(|(name, _)| {
        let starts = |prefix: &str| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if name.is_empty() {
            Some("a header has no name".to_owned())
        } else if starts("ce_") || starts("dlq-") || name.eq_ignore_ascii_case("traceparent") {
            Some(format!("the host writes header {name:?} itself"))
        } else {
            None
        }
    })
}

fn change_bytes(name: &str, write: &Write) -> u64 {
    let value = write.as_ref().map_or(0, |(value, _)| value.len());
    size(name.len()).saturating_add(size(value)).saturating_add(CHANGE_BYTES)
}

fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
