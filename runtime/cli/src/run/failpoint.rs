//! Kills the process between two steps of a commit, for the tests that prove recovery. Without
//! `GRISTMILL_FAILPOINT` it does nothing.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gristmill_store::{Hook, Step};

use crate::output::Output;
use crate::problem::Problem;

/// Names the step and how often it is reached before the process ends: `synced:3`.
const VARIABLE: &str = "GRISTMILL_FAILPOINT";

const STEPS: [(&str, Step); 5] = [
    ("built", Step::Built),
    ("synced", Step::Synced),
    ("noted", Step::Noted),
    ("published", Step::Published),
    ("told", Step::Told),
];

/// The hook the environment asks for, if any.
pub(super) fn hook(output: Output) -> Result<Option<Hook>, Problem> {
    let Some(text) = env::var_os(VARIABLE) else { return Ok(None) };
    let wrong = || {
        let names: Vec<_> = STEPS.iter().map(|(name, _)| *name).collect();
        Problem::usage("E0553", format!("{VARIABLE} is {}", text.display()))
            .hint(format!("write STEP:N, N from 1, STEP one of {}", names.join(", ")))
    };
    let (step, count) = text.to_str().and_then(parse).ok_or_else(wrong)?;
    let reached = AtomicU64::new(0);
    Ok(Some(Arc::new(move |at: Step| {
        if at == step && reached.fetch_add(1, Ordering::Relaxed).saturating_add(1) == count {
            output.note(format!("failpoint: {at:?} for time {count}, ending now"));
            std::process::abort();
        }
    })))
}

fn parse(text: &str) -> Option<(Step, u64)> {
    let (name, count) = text.split_once(':')?;
    let (_, step) = STEPS.iter().find(|(it, _)| *it == name)?;
    let count = count.parse().ok().filter(|count| *count > 0)?;
    Some((*step, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failpoint_is_a_step_and_a_count() {
        for (text, holds) in [
            ("built:1", Some((Step::Built, 1))),
            ("told:20", Some((Step::Told, 20))),
            ("told:0", None),
            ("told", None),
            ("sync:1", None),
            ("synced:x", None),
        ] {
            assert_eq!(parse(text), holds, "{text}");
        }
    }
}
