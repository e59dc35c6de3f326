//! Owns the seam between the typed API and the component's bindings. It never holds anything
//! between two calls but the panic hook.

#[cfg(feature = "http")]
mod outgoing;

use std::{panic, sync::Once, time::Duration};

use crate::{
    ConfigError, Emission, EmitError, Event, Failure, Header, Host, Outcome, Page, StateError,
    Timer, TimerError, Timestamp, log::Level, time::millis,
};

pub use bindings::{handler, timed};
use bindings::{
    handler::{
        gristmill::plugin::{publish, state, types},
        wasi::{config::store, logging::logging},
    },
    timed::gristmill::plugin::timers,
};
pub use types::{Event as WitEvent, Failure as WitFailure, Timer as WitTimer};
pub use wit_bindgen::rt;

#[allow(
    warnings,
    unsafe_code,
    clippy::all,
    clippy::pedantic,
    reason = "generated from the contract"
)]
mod bindings {
    /// Bindings of the world without timers.
    pub mod handler {
        wit_bindgen::generate!({
            world: "handler",
            path: "wit",
            generate_all,
            pub_export_macro: true,
            export_macro_name: "__export_handler_world",
            default_bindings_module: "gristmill_plugin::__private::handler",
            runtime_path: "gristmill_plugin::__private::rt",
        });
    }

    /// What the world with timers has besides. Two worlds with one export would clash in the
    /// names of their macros, hence a world of the rest.
    pub mod timed {
        wit_bindgen::generate!({
            inline: "
                package gristmill:sdk;
                world timed {
                    import gristmill:plugin/timers@0.1.0;
                    export gristmill:plugin/timer-handler@0.1.0;
                }
            ",
            path: "wit",
            with: { "gristmill:plugin/types@0.1.0": super::handler::gristmill::plugin::types },
            generate_all,
            pub_export_macro: true,
            export_macro_name: "__export_timed_world",
            default_bindings_module: "gristmill_plugin::__private::timed",
            runtime_path: "gristmill_plugin::__private::rt",
        });
    }
}

/// Exports a handler; named by `export!` alone.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_handler {
    ($handle:path) => {
        struct Component;
        impl $crate::__private::handler::exports::gristmill::plugin::event_handler::Guest
            for Component
        {
            fn handle(
                event: $crate::__private::WitEvent,
            ) -> Result<(), $crate::__private::WitFailure> {
                $crate::__private::run_event($handle, event)
            }
        }
        $crate::__private::handler::__export_handler_world!(Component);
    };
}

/// Exports a handler and a timer handler; named by `export!` alone.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_timed_handler {
    ($handle:path, $on_timer:path) => {
        struct Component;
        impl $crate::__private::handler::exports::gristmill::plugin::event_handler::Guest
            for Component
        {
            fn handle(
                event: $crate::__private::WitEvent,
            ) -> Result<(), $crate::__private::WitFailure> {
                $crate::__private::run_event($handle, event)
            }
        }
        impl $crate::__private::timed::exports::gristmill::plugin::timer_handler::Guest
            for Component
        {
            fn on_timer(
                timer: $crate::__private::WitTimer,
            ) -> Result<(), $crate::__private::WitFailure> {
                $crate::__private::run_timer($on_timer, timer)
            }
        }
        $crate::__private::handler::__export_handler_world!(Component);
        $crate::__private::timed::__export_timed_world!(Component);
    };
}

/// The imports of the component.
#[derive(Debug)]
pub(crate) struct Imports;

/// Calls the handler as the component's export does.
///
/// # Errors
///
/// What the handler fails with.
pub fn run_event(
    handle: fn(&Event, &mut Host) -> Outcome,
    event: types::Event,
) -> Result<(), types::Failure> {
    report_panics();
    handle(&event.into(), &mut Host { imports: Imports }).map_err(Into::into)
}

/// Calls the timer handler as the component's export does.
///
/// # Errors
///
/// What the handler fails with.
pub fn run_timer(
    on_timer: fn(&Timer, &mut Host) -> Outcome,
    timer: types::Timer,
) -> Result<(), types::Failure> {
    report_panics();
    on_timer(&timer.into(), &mut Host { imports: Imports }).map_err(Into::into)
}

/// Sends panics to the host's log: on this target they would end in a trap without a word.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(|panic| {
            let text = panic.payload_as_str().unwrap_or("a value that is no text");
            let line = match panic.location() {
                Some(place) => format!("panicked at {place}: {text}"),
                None => format!("panicked: {text}"),
            };
            log(Level::Critical, "panic", &line);
        }));
    });
}

/// Writes one line to the host's log.
pub(crate) fn log(level: Level, context: &str, line: &str) {
    let level = match level {
        Level::Trace => logging::Level::Trace,
        Level::Debug => logging::Level::Debug,
        Level::Info => logging::Level::Info,
        Level::Warn => logging::Level::Warn,
        Level::Error => logging::Level::Error,
        Level::Critical => logging::Level::Critical,
    };
    logging::log(level, context, line);
}

#[expect(clippy::unused_self, reason = "native tests have a world here")]
impl Imports {
    pub(crate) fn emit(&mut self, emission: Emission) -> Result<(), EmitError> {
        Ok(publish::emit(&emission.into())?)
    }

    pub(crate) fn state_get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        Ok(state::get(name)?)
    }

    pub(crate) fn state_set(
        &mut self,
        name: &str,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<(), StateError> {
        Ok(state::set(name, value, ttl_ms)?)
    }

    pub(crate) fn state_delete(&mut self, name: &str) -> Result<(), StateError> {
        Ok(state::delete(name)?)
    }

    pub(crate) fn state_page(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page, StateError> {
        let page = state::list_names(prefix, cursor, limit)?;
        Ok(Page { names: page.names, cursor: page.cursor })
    }

    pub(crate) fn timer_set(
        &mut self,
        name: &str,
        due: Timestamp,
        payload: &[u8],
    ) -> Result<(), TimerError> {
        Ok(timers::set(name, due.as_millis(), payload)?)
    }

    pub(crate) fn timer_cancel(&mut self, name: &str) -> Result<(), TimerError> {
        Ok(timers::cancel(name)?)
    }

    #[cfg(feature = "http")]
    pub(crate) fn http_send(
        &mut self,
        call: crate::Call,
    ) -> Result<crate::Response, crate::HttpError> {
        outgoing::send(call)
    }

    pub(crate) fn config_get(&self, key: &str) -> Result<Option<String>, ConfigError> {
        Ok(store::get(key)?)
    }

    pub(crate) fn config_all(&self) -> Result<Vec<(String, String)>, ConfigError> {
        Ok(store::get_all()?)
    }
}

impl From<types::Header> for Header {
    fn from(header: types::Header) -> Self {
        Self { name: header.name, value: header.value }
    }
}

impl From<Header> for types::Header {
    fn from(header: Header) -> Self {
        Self { name: header.name, value: header.value }
    }
}

impl From<types::Event> for Event {
    fn from(event: types::Event) -> Self {
        Self {
            id: event.id,
            event_type: event.type_,
            version: event.version,
            source: event.source,
            subject: event.subject,
            time: Timestamp::from_millis(event.time),
            topic: event.topic,
            partition: event.partition,
            offset: event.offset,
            key: event.key,
            payload: event.payload,
            tombstone: event.tombstone,
            headers: event.headers.into_iter().map(Into::into).collect(),
            timestamp: Timestamp::from_millis(event.timestamp),
            content_type: event.content_type,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            trace_parent: event.trace_parent,
            tenant: event.tenant,
            attempt: event.attempt,
            previous_error: event.previous_error,
        }
    }
}

impl From<types::Timer> for Timer {
    fn from(timer: types::Timer) -> Self {
        Self {
            name: timer.name,
            key: timer.key,
            due: Timestamp::from_millis(timer.due),
            payload: timer.payload,
            set_by: timer.set_by,
            correlation_id: timer.correlation_id,
            trace_parent: timer.trace_parent,
            partition: timer.partition,
            attempt: timer.attempt,
            previous_error: timer.previous_error,
        }
    }
}

impl From<Emission> for publish::Emission {
    fn from(emission: Emission) -> Self {
        Self {
            topic: emission.topic,
            type_: emission.event_type,
            version: emission.version,
            subject: emission.subject,
            key: emission.key,
            payload: emission.payload,
            content_type: emission.content_type,
            headers: emission.headers.into_iter().map(Into::into).collect(),
            correlation_id: emission.correlation_id,
        }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry { reason, after } => {
                let after_ms = after.map(millis as fn(Duration) -> u64);
                Self::Retry(types::RetryAdvice { reason, after_ms })
            }
            Failure::Reject { reason, code } => Self::Reject(types::Rejection { reason, code }),
        }
    }
}

impl From<publish::EmitError> for EmitError {
    fn from(error: publish::EmitError) -> Self {
        match error {
            publish::EmitError::NotGranted(line) => Self::NotGranted(line),
            publish::EmitError::UnknownTopic(topic) => Self::UnknownTopic(topic),
            publish::EmitError::TooLarge(bytes_max) => Self::TooLarge { bytes_max },
            publish::EmitError::LimitReached(limit) => Self::LimitReached(limit),
            publish::EmitError::Schema(violations) => Self::Schema(violations),
            publish::EmitError::Invalid(how) => Self::Invalid(how),
        }
    }
}

impl From<state::StateError> for StateError {
    fn from(error: state::StateError) -> Self {
        match error {
            state::StateError::NotGranted(line) => Self::NotGranted(line),
            state::StateError::TooLarge(bytes_max) => Self::TooLarge { bytes_max },
            state::StateError::InvalidName => Self::InvalidName,
            state::StateError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<timers::TimerError> for TimerError {
    fn from(error: timers::TimerError) -> Self {
        match error {
            timers::TimerError::NotGranted(line) => Self::NotGranted(line),
            timers::TimerError::TooFar(latest) => Self::TooFar(Timestamp::from_millis(latest)),
            timers::TimerError::LimitReached(most) => Self::LimitReached(most),
            timers::TimerError::Invalid(how) => Self::Invalid(how),
        }
    }
}

impl From<store::Error> for ConfigError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Upstream(why) | store::Error::Io(why) => Self::Unavailable(why),
        }
    }
}
