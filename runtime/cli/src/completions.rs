//! Writes what makes a shell complete `gristmill` commands.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::exit::Exit;
use crate::output::Output;

/// What `gristmill completions` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script for a shell.
pub(crate) fn run(args: &Args, output: &Output) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "gristmill", &mut script);
    output.text(&String::from_utf8_lossy(&script));
    Exit::Done
}
