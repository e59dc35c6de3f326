//! Owns a handler's log lines: `info!("seat {} is free", seat)`. It never decides which levels
//! are kept; the host keeps at most 64 KiB per event.

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever writes the plugin.
    Debug,
    /// A change worth knowing.
    Info,
    /// Odd, yet dealt with.
    Warn,
    /// A human must act.
    Error,
    /// The handler is about to trap.
    Critical,
}

/// Writes one line; `context` says where it comes from.
///
/// In a component it goes to the host's log, in a native test to
/// [`TestHost::logs`](crate::testing::TestHost::logs).
pub fn write(level: Level, context: &str, line: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::wasm::log(level, context, line);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::log(level, context, line);
}

/// Logs at level trace, with the syntax of `format!`.
#[macro_export]
macro_rules! trace {
    ($($line:tt)+) => {
        $crate::log::write($crate::log::Level::Trace, module_path!(), &format!($($line)+))
    };
}

/// Logs at level debug, with the syntax of `format!`.
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => {
        $crate::log::write($crate::log::Level::Debug, module_path!(), &format!($($line)+))
    };
}

/// Logs at level info, with the syntax of `format!`.
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => {
        $crate::log::write($crate::log::Level::Info, module_path!(), &format!($($line)+))
    };
}

/// Logs at level warn, with the syntax of `format!`.
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => {
        $crate::log::write($crate::log::Level::Warn, module_path!(), &format!($($line)+))
    };
}

/// Logs at level error, with the syntax of `format!`.
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => {
        $crate::log::write($crate::log::Level::Error, module_path!(), &format!($($line)+))
    };
}
