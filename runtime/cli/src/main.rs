//! Decides which command runs and how the process ends. It does nothing itself: each group of
//! commands has a module with its arguments and its `run`.

mod answer;
mod check;
mod complaints;
mod completions;
mod confirm;
mod consume;
mod dlq;
mod event;
mod exit;
mod health;
mod init;
mod json;
mod output;
mod plugin;
mod plugins;
mod problem;
mod produce;
mod remote;
mod run;
mod subscriptions;
mod table;
mod topics;
mod units;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{exit::Exit, output::Output};

/// Consumes topics, runs a sandboxed plugin per event, publishes what it emits.
#[derive(Debug, Parser)]
#[command(name = "gristmill", version, after_help = exit::HELP)]
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
    /// Finds everything that is wrong with the configuration and the manifests
    Check(check::Args),
    /// Writes a first configuration, its schemas and a folder for plugins
    Init(init::Args),
    /// Says whether a host is ready: exit code 0, else 1
    Health(health::Args),
    /// Writes, builds, tests and inspects plugins
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Shows the plugins of a host, rolls back, pauses and resumes
    Plugins(plugins::Args),
    /// Shows what subscriptions do and how far behind they are
    Subscriptions(subscriptions::Args),
    /// Lists, describes, makes and deletes topics
    Topics(topics::Args),
    /// Publishes events, one per line
    Produce(produce::Args),
    /// Prints the events of a topic
    Consume(consume::Args),
    /// Shows dead letters and drives them again
    Dlq(dlq::Args),
    /// Prints what makes a shell complete commands
    Completions(completions::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let result = match cli.command {
        Command::Run(args) => run::run(&args, &output),
        Command::Check(args) => check::run(&args, &output),
        Command::Init(args) => init::run(&args, &output),
        Command::Health(args) => health::run(&args, &output),
        Command::Plugin(command) => plugin::run(command, &output),
        Command::Plugins(args) => plugins::run(args, &output),
        Command::Subscriptions(args) => subscriptions::run(&args, &output),
        Command::Topics(args) => topics::run(args, &output),
        Command::Produce(args) => produce::run(&args, &output),
        Command::Consume(args) => consume::run(&args, &output),
        Command::Dlq(args) => dlq::run(args, &output),
        Command::Completions(args) => Ok(completions::run(&args, &output)),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            output.error(&error);
            Exit::of(&error).into()
        }
    }
}
