//! Decides which class an attempt's failure has and what operators read of it. It never decides
//! what happens next.

use gristmill_engine::{FailureClass, Millis};
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::{
    Failure, Limits, attempt::Unavailable, bindings::gristmill::plugin::types, host::Host,
    limiter::Denied, log::truncated,
};

/// Longest reason, in bytes (source: the contract, `dlq-error-message`).
const REASON_BYTES_MAX: usize = 1 << 10;
/// Longest detail, in bytes (source: the contract, `dlq-error-detail`).
const DETAIL_BYTES_MAX: usize = 8 << 10;

/// The attempt's deadline passed.
#[derive(Debug, thiserror::Error)]
#[error("the deadline passed")]
pub(crate) struct DeadlinePassed;

/// What the handler itself answered.
pub(crate) fn answered(failure: types::Failure, host: &Host) -> Failure {
    let attempt = host.attempt.as_ref();
    match failure {
        types::Failure::Retry(advice) => {
            let retry_after = advice.after_ms.map(Millis);
            match attempt.and_then(|attempt| attempt.unavailable.as_ref()) {
                Some(Unavailable { code, reason }) => Failure {
                    retry_after,
                    code: Some((*code).to_owned()),
                    detail: detail(&format!("the handler said: {}", advice.reason)),
                    ..new(FailureClass::Infrastructure, reason)
                },
                None => Failure { retry_after, ..new(FailureClass::Retryable, &advice.reason) },
            }
        }
        types::Failure::Reject(rejection) => {
            let refused = attempt.and_then(|attempt| attempt.refused.as_ref());
            let class = match refused {
                Some(_) => FailureClass::Output,
                None => FailureClass::Rejected,
            };
            let refusal = refused.map(|error| format!("an emission was refused: {error}"));
            Failure {
                code: rejection.code.map(|code| truncated(&code, REASON_BYTES_MAX).to_owned()),
                detail: detail(&refusal.unwrap_or_default()),
                ..new(class, &rejection.reason)
            }
        }
    }
}

/// What ended the guest against its will.
pub(crate) fn ended(error: &wasmtime::Error, host: &Host) -> Failure {
    let limits = &host.settings.limits;
    let (class, code, reason) = if error.is::<DeadlinePassed>() {
        return timed_out(limits, error.downcast_ref());
    } else if matches!(error.downcast_ref(), Some(Trap::OutOfFuel)) {
        let fuel = limits.fuel.unwrap_or_default();
        (FailureClass::Timeout, "E0343", format!("the fuel of {fuel} units is spent"))
    } else if error.is::<PoolConcurrencyLimitError>() {
        (FailureClass::Infrastructure, "E0345", "no instance is free".to_owned())
    } else if let Some(denied) = host.limiter.denied() {
        (FailureClass::Memory, "E0344", denied_reason(denied, limits))
    } else {
        (FailureClass::Trap, "E0341", trap_reason(error, host))
    };
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let mut text = error.root_cause().to_string();
    if let Some(backtrace) = backtrace {
        text = format!("{text}\n{backtrace}");
    }
    Failure { code: Some(code.to_owned()), detail: detail(&text), ..new(class, &reason) }
}

/// The deadline passed, in guest code (then with a backtrace) or in a wait.
pub(crate) fn timed_out(limits: &Limits, backtrace: Option<&WasmBacktrace>) -> Failure {
    let reason = format!("not finished within {} ms", limits.timeout.as_millis());
    let text = backtrace.map_or_else(
        || "the handler was waiting".to_owned(),
        |backtrace| format!("the handler was at\n{backtrace}"),
    );
    let code = Some("E0342".to_owned());
    Failure { code, detail: detail(&text), ..new(FailureClass::Timeout, &reason) }
}

/// A timer came due, but the plugin has no handler for timers.
pub(crate) fn no_timer_handler() -> Failure {
    let reason = "the plugin exports no timer handler";
    Failure { code: Some("E0347".to_owned()), ..new(FailureClass::Rejected, reason) }
}

/// It asked for a request that was not to be sent: what it would have done then is not known.
pub(crate) fn withheld(request: &str) -> Failure {
    let reason = format!("the handler asks for {request}, and nothing is sent");
    Failure { code: Some("E0349".to_owned()), ..new(FailureClass::Infrastructure, &reason) }
}

/// The host is ending: no instance will be free again.
pub(crate) fn no_seat() -> Failure {
    let reason = "no instance is free";
    Failure { code: Some("E0345".to_owned()), ..new(FailureClass::Infrastructure, reason) }
}

fn new(class: FailureClass, reason: &str) -> Failure {
    let reason = truncated(reason, REASON_BYTES_MAX).to_owned();
    Failure { class, retry_after: None, reason, code: None, detail: String::new() }
}

fn detail(text: &str) -> String {
    truncated(text, DETAIL_BYTES_MAX).to_owned()
}

fn denied_reason(denied: Denied, limits: &Limits) -> String {
    match denied {
        Denied::Memory(wanted) => {
            format!("memory limit of {} bytes hit: {wanted} asked for", limits.memory_bytes)
        }
        Denied::Table(wanted) => {
            format!("table limit of {} elements hit: {wanted} asked for", limits.table_elements)
        }
    }
}

/// The panic's own words where the SDK logged them, else the trap's.
fn trap_reason(error: &wasmtime::Error, host: &Host) -> String {
    match host.log.last_words() {
        Some(words) => words.to_owned(),
        None => error.root_cause().to_string(),
    }
}
