//! Shows the sagas that an orchestrator keeps, and has one go on or be undone. What is kept is the
//! state of its subscription, in the form that `docs/sagas.md` fixes; what is said to one is an
//! event in the topic of its answers.

mod kept;
mod list;
mod say;
mod show;

use clap::Subcommand;

use self::kept::Lane;
use self::say::Word;
use crate::exit::Exit;
use crate::output::Output;
use crate::remote::Remote;

/// What `gristmill saga` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

/// The commands of `gristmill saga`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the sagas of a subscription and how far each is
    List(list::Args),
    /// Shows what happened to the sagas of a key
    Show {
        #[command(flatten)]
        lane: Lane,
    },
    /// Has a stuck saga go on, once what it is stuck at is mended
    Resume {
        #[command(flatten)]
        lane: Lane,
    },
    /// Has a running saga undone
    Cancel {
        #[command(flatten)]
        lane: Lane,
        /// Why; goes to its history
        #[arg(long, default_value = "cancelled by an operator")]
        reason: String,
    },
}

/// Runs one command.
///
/// # Errors
///
/// When no host answers, it refuses, or there is no such saga.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let client = args.remote.client()?;
    match &args.command {
        Command::List(args) => list::run(&client, args, output),
        Command::Show { lane } => show::run(&client, lane, output),
        Command::Resume { lane } => say::run(&client, lane, &Word::Resume, output),
        Command::Cancel { lane, reason } => {
            say::run(&client, lane, &Word::Cancel { reason }, output)
        }
    }
}
