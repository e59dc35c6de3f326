//! Says whether a host is ready. Its exit code is all a container's health check looks at.

use std::time::Duration;

use serde_json::Value;

use crate::answer::{is, list, text};
use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::problem::Problem;
use crate::remote::Remote;

/// A host that takes longer to say that it is well is not.
const WITHIN: Duration = Duration::from_secs(5);

/// What `gristmill health` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
}

/// Asks `/readyz`.
///
/// # Errors
///
/// When no host answers; the exit code is 1 then as well.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let client = args.remote.client_within(Some(WITHIN))?;
    // Whether it says no, or nothing: a host that is not ready.
    let unwell = |mut problem: Problem| {
        problem.exit = Exit::Failed;
        problem
    };
    let looked = client.look("/readyz").map_err(Problem::from).map_err(unwell);
    let (status, answer) = looked?;
    output.json(&answer);
    if status == 200 && is(&answer, "ready") {
        output.line(output.paint(Style::Good, "ready"));
        return Ok(Exit::Done);
    }
    output.line(output.paint(Style::Bad, "not ready"));
    for check in list(&answer, "checks").iter().filter(|check| !is(check, "ok")) {
        output.line(failing(check));
    }
    Ok(Exit::Failed)
}

fn failing(check: &Value) -> String {
    format!("  {}: {}", text(check, "name"), text(check, "reason"))
}
