//! Decides what of the log is written and how a line looks. Log lines go to standard error.

use std::io;

use gristmill_config::{LogFormat, Telemetry};
use tracing_subscriber::EnvFilter;

use crate::output::Output;
use crate::problem::Problem;

/// Starts the log: with `filter`, else as configured.
pub(super) fn start(
    filter: Option<&str>,
    telemetry: &Telemetry,
    output: &Output,
) -> Result<(), Problem> {
    let text = filter.filter(|text| !text.is_empty()).unwrap_or(&telemetry.log);
    let filter = EnvFilter::try_new(directives(text)).map_err(|_told_by_the_hint| {
        Problem::usage("E0551", format!("read the log filter {text:?}"))
            .hint("write a level (error, warn, info, debug, trace), or TARGET=LEVEL,…")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(output.colours_notes())
        .with_writer(io::stderr);
    let started = match telemetry.log_format {
        LogFormat::Text if !output.is_json() => builder.try_init(),
        LogFormat::Text | LogFormat::Json => {
            builder.json().flatten_event(true).with_ansi(false).try_init()
        }
    };
    started.map_err(|error| Problem::environment("E0554", "start the log").source(error))
}

/// A bare level is that of our own modules: those of libraries would bury them.
fn directives(text: &str) -> String {
    match text.to_ascii_lowercase().as_str() {
        level @ ("info" | "debug" | "trace") => format!("warn,gristmill={level}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_spares_the_libraries() {
        for (text, holds) in [
            ("info", "warn,gristmill=info"),
            ("DEBUG", "warn,gristmill=debug"),
            ("error", "error"),
            ("off", "off"),
            ("info,fjall=debug", "info,fjall=debug"),
        ] {
            assert_eq!(directives(text), holds, "{text}");
            assert!(EnvFilter::try_new(directives(text)).is_ok(), "{text}");
        }
    }
}
