//! Owns a handler's view of its key's timers. It never fires one.

use std::{error::Error, fmt};

use crate::{Timestamp, host::Imports};

/// Timers of the handled event's key.
#[derive(Debug)]
pub struct Timers<'host> {
    pub(crate) imports: &'host mut Imports,
}

impl Timers<'_> {
    /// Sets the timer `name`, overwriting one of that name. It fires once, at `due` or later, in
    /// this key's lane. A moment already past fires as soon as the lane is free.
    ///
    /// # Errors
    ///
    /// [`TimerError`]; `?` rejects the event.
    pub fn set(
        &mut self,
        name: &str,
        due: Timestamp,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), TimerError> {
        self.imports.timer_set(name, due, payload.as_ref())
    }

    /// Cancels the timer `name`; nothing happens when there is none.
    ///
    /// # Errors
    ///
    /// [`TimerError`]; `?` rejects the event.
    pub fn cancel(&mut self, name: &str) -> Result<(), TimerError> {
        self.imports.timer_cancel(name)
    }
}

/// Why a timer call was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerError {
    /// The manifest does not grant timers; the text is the line that would.
    NotGranted(String),
    /// More than a year ahead of the handled event's time; the latest moment allowed.
    TooFar(Timestamp),
    /// The subscription holds as many timers as it may (default 1,000,000).
    LimitReached(u64),
    /// The name is empty or longer than 1,024 bytes, or the payload is over 64 KiB.
    Invalid(String),
}

impl TimerError {
    /// The stable word that `?` rejects the event with.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotGranted(_) => "timer-not-granted",
            Self::TooFar(_) => "timer-too-far",
            Self::LimitReached(_) => "timer-limit",
            Self::Invalid(_) => "timer-invalid",
        }
    }
}

impl fmt::Display for TimerError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted(line) => write!(out, "timers are not granted; grant: {line}"),
            Self::TooFar(latest) => write!(out, "timer is due after {latest}, the latest moment"),
            Self::LimitReached(most) => write!(out, "subscription holds {most} timers already"),
            Self::Invalid(how) => write!(out, "malformed timer: {how}"),
        }
    }
}

impl Error for TimerError {}
