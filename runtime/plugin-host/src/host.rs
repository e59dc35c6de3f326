//! Owns what stands behind a guest's imports of the contract: translates them to the attempt and
//! back. It decides nothing itself.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::{Result, format_err};

use crate::{
    Emission, EmitError, RunnerSettings, StateError, TimerError,
    alarm::Alarms,
    attempt::{Attempt, Unavailable},
    bindings::{
        gristmill::plugin::{publish, state, timers, types},
        wasi::{config::store, logging::logging},
    },
    finished::Usage,
    limiter::Limiter,
    log::{Level, Log, Source},
    ticker::Slice,
    wasi::Wasi,
};

/// The data of one store.
pub(crate) struct Host {
    pub(crate) settings: Arc<RunnerSettings>,
    pub(crate) slice: Arc<Slice>,
    pub(crate) alarms: Arc<Alarms>,
    pub(crate) limiter: Limiter,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) log: Log,
    /// Made when a guest first calls WASI: one that never does pays nothing.
    pub(crate) wasi: Option<Box<Wasi>>,
}

impl Host {
    pub(crate) fn new(
        settings: Arc<RunnerSettings>,
        slice: Arc<Slice>,
        alarms: Arc<Alarms>,
    ) -> Self {
        let limiter = Limiter::new(&settings.limits);
        Self { settings, slice, alarms, limiter, attempt: None, log: Log::default(), wasi: None }
    }

    /// Makes the store ready for an attempt.
    pub(crate) fn begin_attempt(&mut self, attempt: Attempt) {
        self.slice.begin_attempt(self.settings.limits.timeout);
        self.limiter.begin_attempt();
        self.log = Log::default();
        if let Some(wasi) = &mut self.wasi {
            wasi.begin_attempt(&attempt);
        }
        self.attempt = Some(attempt);
    }

    /// Takes the attempt back, with everything it wrote to its streams logged.
    pub(crate) fn end_attempt(&mut self) -> Option<Attempt> {
        self.drain_streams(true);
        self.attempt.take()
    }

    /// What the store itself knows of the attempt's cost.
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            memory_bytes_peak: self.limiter.memory_bytes_peak(),
            emissions: self.attempt.as_ref().map_or(0, Attempt::emissions),
            ..Usage::default()
        }
    }

    /// The running attempt. Between attempts no guest code runs, so there always is one.
    pub(crate) fn attempt(&mut self) -> Result<&mut Attempt> {
        self.attempt
            .as_mut()
            .ok_or_else(|| format_err!("the guest called the host between attempts"))
    }

    /// Passes one line to the log.
    pub(crate) fn line(&mut self, level: Level, context: &str, text: &str) {
        let Some(attempt) = &self.attempt else { return };
        let names = (&self.settings.plugin, &self.settings.subscription);
        let source = Source::new(names, attempt, self.settings.limits.log_bytes);
        self.log.line(source, level, context, text);
    }

    /// Passes whole lines written to stdout and stderr to the log, with `all` unfinished ones too,
    /// and what became of requests.
    pub(crate) fn drain_streams(&mut self, all: bool) {
        let Some(wasi) = &mut self.wasi else { return };
        let (lines, told) = (wasi.take_lines(all), wasi.take_told(all));
        for (name, level, text) in lines {
            self.line(level, name, &text);
        }
        for (level, text) in told.lines {
            self.line(level, "http", &text);
        }
        let Some(attempt) = &mut self.attempt else { return };
        attempt.calls.extend(told.calls);
        if let Some(reason) = told.unavailable {
            attempt.unavailable.get_or_insert(Unavailable { code: "E0348", reason });
        }
        if let Some(request) = told.withheld {
            attempt.withheld.get_or_insert(request);
        }
    }
}

impl types::Host for Host {}

impl publish::Host for Host {
    fn emit(&mut self, emission: publish::Emission) -> Result<Result<(), publish::EmitError>> {
        let settings = Arc::clone(&self.settings);
        let taken = self.attempt()?.emit(emission.into(), &settings.limits);
        Ok(taken.map_err(Into::into))
    }
}

impl state::Host for Host {
    fn get(&mut self, name: String) -> Result<Result<Option<Vec<u8>>, state::StateError>> {
        let grants = self.settings.grants;
        let read = self.attempt()?.state_get(&name, grants);
        Ok(read.map(|value| value.map(Vec::from)).map_err(Into::into))
    }

    fn set(
        &mut self,
        name: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Result<Result<(), state::StateError>> {
        let settings = Arc::clone(&self.settings);
        let write = Some((Bytes::from(value), ttl_ms));
        let done = self.attempt()?.state_write(name, write, settings.grants, &settings.limits);
        Ok(done.map_err(Into::into))
    }

    fn delete(&mut self, name: String) -> Result<Result<(), state::StateError>> {
        let settings = Arc::clone(&self.settings);
        let done = self.attempt()?.state_write(name, None, settings.grants, &settings.limits);
        Ok(done.map_err(Into::into))
    }

    fn list_names(
        &mut self,
        prefix: String,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<Result<state::Page, state::StateError>> {
        let grants = self.settings.grants;
        let page = self.attempt()?.state_names(&prefix, cursor, limit, grants);
        let page = page.map(|page| state::Page { names: page.names, cursor: page.cursor });
        Ok(page.map_err(Into::into))
    }
}

impl timers::Host for Host {
    fn set(
        &mut self,
        name: String,
        due: u64,
        payload: Vec<u8>,
    ) -> Result<Result<(), timers::TimerError>> {
        let settings = Arc::clone(&self.settings);
        let allowed = (settings.grants, &settings.limits);
        let done = self.attempt()?.timer_set(name, due, Bytes::from(payload), allowed);
        Ok(done.map_err(Into::into))
    }

    fn cancel(&mut self, name: String) -> Result<Result<(), timers::TimerError>> {
        let settings = Arc::clone(&self.settings);
        let done = self.attempt()?.timer_cancel(name, settings.grants, &settings.limits);
        Ok(done.map_err(Into::into))
    }
}

impl store::Host for Host {
    fn get(&mut self, key: String) -> Result<Result<Option<String>, store::Error>> {
        let found = self.settings.config.iter().find(|(name, _)| *name == key);
        Ok(Ok(found.map(|(_, value)| value.clone())))
    }

    fn get_all(&mut self) -> Result<Result<Vec<(String, String)>, store::Error>> {
        Ok(Ok(self.settings.config.clone()))
    }
}

impl logging::Host for Host {
    fn log(&mut self, level: logging::Level, context: String, message: String) -> Result<()> {
        self.drain_streams(false);
        self.line(level.into(), &context, &message);
        Ok(())
    }
}

impl From<publish::Emission> for Emission {
    fn from(emission: publish::Emission) -> Self {
        let headers = emission.headers.into_iter();
        Self {
            topic: emission.topic,
            kind: emission.type_,
            version: emission.version,
            subject: emission.subject,
            key: emission.key.map(Bytes::from),
            payload: Bytes::from(emission.payload),
            content_type: emission.content_type,
            headers: headers.map(|header| (header.name.into(), header.value.into())).collect(),
            correlation_id: emission.correlation_id,
        }
    }
}

impl From<EmitError> for publish::EmitError {
    fn from(error: EmitError) -> Self {
        match error {
            EmitError::NotGranted(line) => Self::NotGranted(line),
            EmitError::UnknownTopic(topic) => Self::UnknownTopic(topic),
            EmitError::TooLarge(bytes) => Self::TooLarge(bytes),
            EmitError::LimitReached(limit) => Self::LimitReached(limit),
            EmitError::Schema(violations) => Self::Schema(violations),
            EmitError::Invalid(how) => Self::Invalid(how),
        }
    }
}

impl From<StateError> for state::StateError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::NotGranted(line) => Self::NotGranted(line),
            StateError::TooLarge(bytes) => Self::TooLarge(bytes),
            StateError::InvalidName => Self::InvalidName,
            StateError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<TimerError> for timers::TimerError {
    fn from(error: TimerError) -> Self {
        match error {
            TimerError::NotGranted(line) => Self::NotGranted(line),
            TimerError::TooFar(latest) => Self::TooFar(latest),
            TimerError::LimitReached(limit) => Self::LimitReached(limit),
            TimerError::Invalid(how) => Self::Invalid(how),
        }
    }
}

impl From<logging::Level> for Level {
    fn from(level: logging::Level) -> Self {
        match level {
            logging::Level::Trace => Self::Trace,
            logging::Level::Debug => Self::Debug,
            logging::Level::Info => Self::Info,
            logging::Level::Warn => Self::Warn,
            logging::Level::Error => Self::Error,
            logging::Level::Critical => Self::Critical,
        }
    }
}
