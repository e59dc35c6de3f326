//! Exports the trail that the plugin `audit` keeps, and verifies it: that no entry was changed,
//! removed or added, and that it has every event its topics hold. It shares no code with the
//! plugin.

mod chain;
mod entry;
mod heads;
mod sources;
mod trail;
mod verify;

use clap::Subcommand;

use self::trail::Place;
use crate::exit::Exit;
use crate::output::Output;
use crate::remote::Remote;

/// What `gristmill audit` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

/// The commands of `gristmill audit`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Prints a trail, one entry per line, whole and in order
    Export {
        /// Topic of the trail
        topic: String,
    },
    /// Finds out whether a trail is as it was written
    Verify(verify::Args),
}

/// Runs one command.
///
/// # Errors
///
/// When no host answers, or a trail cannot be read.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Export { topic } => {
            let place = Place { topic: Some(topic.clone()), file: None };
            let client = args.remote.client()?;
            let mut is_open = true;
            place.each(&client, |text, _| {
                is_open = is_open && output.stream(text);
                Ok(())
            })?;
            Ok(Exit::Done)
        }
        Command::Verify(verify) => verify::run(&args.remote.client()?, verify, output),
    }
}
