//! Kills the process between two steps of a commit, or tells which step it came to, for the tests
//! that prove recovery. Without `GRISTMILL_FAILPOINT` and `GRISTMILL_STEP_FILE` it does nothing.

use std::env;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gristmill_store::{Hook, Step};

use crate::output::Output;
use crate::problem::Problem;

/// Names the step and how often it is reached before the process ends: `synced:3`.
const VARIABLE: &str = "GRISTMILL_FAILPOINT";

/// Names a file whose first byte is always the initial letter of the last step reached: whoever
/// kills the process can tell whether a commit was on its way.
const STEP_FILE: &str = "GRISTMILL_STEP_FILE";

const STEPS: [(&str, Step); 5] = [
    ("built", Step::Built),
    ("synced", Step::Synced),
    ("noted", Step::Noted),
    ("published", Step::Published),
    ("told", Step::Told),
];

/// The hook the environment asks for, if any.
pub(super) fn hook(output: Output) -> Result<Option<Hook>, Problem> {
    let (failpoint, file) = (failpoint()?, step_file()?);
    if failpoint.is_none() && file.is_none() {
        return Ok(None);
    }
    let reached = AtomicU64::new(0);
    Ok(Some(Arc::new(move |at: Step| {
        if let Some(file) = &file {
            tell(file, at);
        }
        if let Some((step, count)) = failpoint
            && at == step
            && reached.fetch_add(1, Ordering::Relaxed).saturating_add(1) == count
        {
            output.note(format!("failpoint: {at:?} for time {count}, ending now"));
            std::process::abort();
        }
    })))
}

/// Not synced: the page cache outlives the process, which is all a kill takes.
fn tell(file: &File, at: Step) {
    let name = STEPS.iter().find(|(_, step)| *step == at).map(|(name, _)| name.as_bytes());
    let initial = name.and_then(|name| name.get(..1)).unwrap_or_default();
    // A test that cannot be told counts nothing, and says so.
    drop(file.write_all_at(initial, 0));
}

fn failpoint() -> Result<Option<(Step, u64)>, Problem> {
    let Some(text) = env::var_os(VARIABLE) else { return Ok(None) };
    let wrong = || {
        let names: Vec<_> = STEPS.iter().map(|(name, _)| *name).collect();
        Problem::usage("E0553", format!("{VARIABLE} is {}", text.display()))
            .hint(format!("write STEP:N, N from 1, STEP one of {}", names.join(", ")))
    };
    text.to_str().and_then(parse).map(Some).ok_or_else(wrong)
}

fn step_file() -> Result<Option<File>, Problem> {
    let Some(path) = env::var_os(STEP_FILE).map(PathBuf::from) else { return Ok(None) };
    let opened = OpenOptions::new().create(true).truncate(true).write(true).open(&path);
    opened.map(Some).map_err(|error| {
        Problem::environment("E0554", format!("open {}", path.display()))
            .hint(format!("{STEP_FILE} names a file to be written, for tests only"))
            .source(error)
    })
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

    #[test]
    fn the_step_file_holds_the_last_step_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("step");
        let file = File::create(&path).unwrap();
        for (step, holds) in [(Step::Built, "b"), (Step::Published, "p"), (Step::Told, "t")] {
            tell(&file, step);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), holds);
        }
    }
}
