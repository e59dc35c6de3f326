//! Decides which `gristmill plugin` command runs. It needs no running host and changes none.

mod build;
mod component;
mod diff;
mod inspect;
mod names;
mod new;
mod test;
mod toolchain;

use clap::Subcommand;

use crate::{exit::Exit, output::Output};

/// The commands of `gristmill plugin`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Writes a new plugin: handler, native test, manifest, sample events
    New(new::Args),
    /// Builds a Rust plugin, or every plugin of a workspace, into components
    Build(build::Args),
    /// Runs a built plugin over event files and compares with what is expected
    Test(test::Args),
    /// Shows what a component is, imports, exports and needs
    Inspect(inspect::Args),
}

/// Runs one command.
///
/// # Errors
///
/// What keeps the command from its answer; see the codes E0501 to E0599.
pub(crate) fn run(command: Command, output: &Output) -> anyhow::Result<Exit> {
    match command {
        Command::New(args) => new::run(&args, output),
        Command::Build(args) => build::run(&args, output),
        Command::Test(args) => test::run(&args, output),
        Command::Inspect(args) => inspect::run(&args, output),
    }
}
