//! Decides which command runs and how the process ends. It does nothing itself: each group of
//! commands has a module with its arguments and its `run`.

mod complaints;
mod exit;
mod output;
mod plugin;
mod problem;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{exit::Exit, output::Output};

/// Consumes topics, runs a sandboxed plugin per event, publishes what it emits.
#[derive(Debug, Parser)]
#[command(name = "gristmill", version, about, after_help = exit::HELP)]
struct Cli {
    /// Answers in JSON on standard output
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a host until it is told to stop
    Run(run::Args),
    /// Writes, builds, tests and inspects plugins
    #[command(subcommand)]
    Plugin(plugin::Command),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let result = match cli.command {
        Command::Run(args) => run::run(&args, &output),
        Command::Plugin(command) => plugin::run(command, &output),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            output.error(&error);
            Exit::of(&error).into()
        }
    }
}
