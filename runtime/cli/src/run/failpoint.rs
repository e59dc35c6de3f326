//! Kills the process between two steps of a commit, or tells which step it came to, for the tests
//! that prove recovery. Without `GRISTMILL_FAILPOINT` and `GRISTMILL_STEP_FILE` it does nothing.

use std::env;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gristmill_kafka::{Hook as TransactionHook, Step as TransactionStep};
use gristmill_store::{Hook, Step};

use crate::output::Output;
use crate::problem::Problem;

/// Names the step and how often it is reached before the process ends: `synced:3`.
const VARIABLE: &str = "GRISTMILL_FAILPOINT";

/// Names a file whose first byte is always the letter of the last step reached: whoever kills the
/// process can tell whether a commit was on its way.
const STEP_FILE: &str = "GRISTMILL_STEP_FILE";

/// A step of a commit of the store, or of a transaction on Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Store(Step),
    Transaction(TransactionStep),
}

/// Every step with its name and its letter.
const STEPS: [(&str, u8, Point); 11] = [
    ("built", b'b', Point::Store(Step::Built)),
    ("synced", b's', Point::Store(Step::Synced)),
    ("noted", b'n', Point::Store(Step::Noted)),
    ("published", b'p', Point::Store(Step::Published)),
    ("told", b't', Point::Store(Step::Told)),
    ("admitted", b'A', Point::Transaction(TransactionStep::Admitted)),
    ("begun", b'B', Point::Transaction(TransactionStep::Begun)),
    ("offsets-sent", b'O', Point::Transaction(TransactionStep::OffsetsSent)),
    ("written", b'W', Point::Transaction(TransactionStep::Written)),
    ("committed", b'C', Point::Transaction(TransactionStep::Committed)),
    ("waited", b'P', Point::Transaction(TransactionStep::Waited)),
];

/// Hooks of the store and of transactions.
type Hooks = (Option<Hook>, Option<TransactionHook>);

/// The hooks the environment asks for, if any.
pub(super) fn hooks(output: &Output) -> Result<Hooks, Problem> {
    let (failpoint, file) = (failpoint()?, step_file()?);
    if failpoint.is_none() && file.is_none() {
        return Ok((None, None));
    }
    let watch =
        Arc::new(Watch { failpoint, file, reached: AtomicU64::new(0), output: output.clone() });
    let transactions = Arc::clone(&watch);
    Ok((
        Some(Arc::new(move |step| watch.reach(Point::Store(step)))),
        Some(Arc::new(move |step, _took| transactions.reach(Point::Transaction(step)))),
    ))
}

struct Watch {
    failpoint: Option<(Point, u64)>,
    file: Option<File>,
    reached: AtomicU64,
    output: Output,
}

impl Watch {
    fn reach(&self, at: Point) {
        if let Some(file) = &self.file {
            tell(file, at);
        }
        if let Some((point, count)) = self.failpoint
            && at == point
            && self.reached.fetch_add(1, Ordering::Relaxed).saturating_add(1) == count
        {
            let name = STEPS.iter().find(|(.., it)| *it == at).map_or("", |(name, ..)| name);
            self.output.note(format!("failpoint: {name} for time {count}, ending now"));
            std::process::abort();
        }
    }
}

/// Not synced: the page cache outlives the process, which is all a kill takes.
fn tell(file: &File, at: Point) {
    let letter =
        STEPS.iter().find(|(.., point)| *point == at).map_or(b' ', |(_, letter, _)| *letter);
    // A test that cannot be told counts nothing, and says so.
    drop(file.write_all_at(&[letter], 0));
}

fn failpoint() -> Result<Option<(Point, u64)>, Problem> {
    let Some(text) = env::var_os(VARIABLE) else { return Ok(None) };
    let wrong = || {
        let names: Vec<_> = STEPS.iter().map(|(name, ..)| *name).collect();
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

fn parse(text: &str) -> Option<(Point, u64)> {
    let (name, count) = text.split_once(':')?;
    let (.., point) = STEPS.iter().find(|(it, ..)| *it == name)?;
    let count = count.parse().ok().filter(|count| *count > 0)?;
    Some((*point, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failpoint_is_a_step_and_a_count() {
        for (text, holds) in [
            ("built:1", Some((Point::Store(Step::Built), 1))),
            ("told:20", Some((Point::Store(Step::Told), 20))),
            ("written:2", Some((Point::Transaction(TransactionStep::Written), 2))),
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
        for (point, holds) in [
            (Point::Store(Step::Built), "b"),
            (Point::Transaction(TransactionStep::Begun), "B"),
            (Point::Store(Step::Told), "t"),
        ] {
            tell(&file, point);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), holds);
        }
    }
}
