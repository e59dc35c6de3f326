//! Decides which command runs and how the process ends. It does nothing itself: each group of
//! commands has a module with its arguments and its `run`.

mod answer;
mod audit;
mod check;
mod complaints;
mod completions;
mod confirm;
mod consume;
mod dlq;
mod event;
mod exit;
mod explain;
mod follow;
mod groups;
mod health;
mod init;
mod json;
mod look;
mod outbox;
mod output;
mod plugin;
mod plugins;
mod problem;
mod produce;
mod rebuild;
mod records;
mod remote;
mod replay;
mod replication;
mod run;
mod saga;
mod send;
mod snapshot;
mod subscriptions;
mod table;
mod token;
mod topics;
mod trace;
mod units;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{exit::Exit, output::Output};

/// An event is allocated on one thread and freed on another: the system's allocator pays for that
/// with a fifth of a worker's time (source: `docs/adr/2026-11-28-where-a-host-spends-its-time.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// Tells which settings hold for a subscription, stage by stage, and where each comes from
    Explain(explain::Args),
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
    /// Lists, describes and resets consumer groups of a Kafka cluster
    Groups(groups::Args),
    /// Shows topics that are copied to other clusters
    Replication(replication::Args),
    /// Lists, describes, makes, grows and deletes topics
    Topics(topics::Args),
    /// Publishes events, one per line
    Produce(produce::Args),
    /// Sends a command and prints what its handler replies
    Send(send::Args),
    /// Prints the events of a topic
    Consume(consume::Args),
    /// Shows what an event caused, and what caused it, in all topics
    Trace(trace::Args),
    /// Shows sagas, and has one go on or be undone
    Saga(saga::Args),
    /// Exports the trail of the plugin audit, and verifies it
    Audit(audit::Args),
    /// Shows dead letters and drives them again
    Dlq(dlq::Args),
    /// Shows how outboxes stand, retries and discards rows that cannot be published
    Outbox(outbox::Args),
    /// Runs a range of a topic through a subscription once more, without its effects or with them
    Replay(replay::Args),
    /// Makes the state of a subscription anew from its topics, beside the running one
    Rebuild(rebuild::Args),
    /// Takes, lists and deletes snapshots of what subscriptions keep
    Snapshot(snapshot::Args),
    /// Makes tokens for the HTTP surface of a host
    #[command(subcommand)]
    Token(token::Command),
    /// Prints what makes a shell complete commands
    Completions(completions::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let result = match cli.command {
        Command::Run(args) => run::run(&args, &output),
        Command::Check(args) => check::run(&args, &output),
        Command::Explain(args) => explain::run(&args, &output),
        Command::Init(args) => init::run(&args, &output),
        Command::Health(args) => health::run(&args, &output),
        Command::Plugin(command) => plugin::run(command, &output),
        Command::Plugins(args) => plugins::run(args, &output),
        Command::Subscriptions(args) => subscriptions::run(&args, &output),
        Command::Groups(args) => groups::run(args, &output),
        Command::Replication(args) => replication::run(&args, &output),
        Command::Topics(args) => topics::run(args, &output),
        Command::Produce(args) => produce::run(&args, &output),
        Command::Send(args) => send::run(&args, &output),
        Command::Consume(args) => consume::run(&args, &output),
        Command::Trace(args) => trace::run(&args, &output),
        Command::Saga(args) => saga::run(&args, &output),
        Command::Audit(args) => audit::run(&args, &output),
        Command::Dlq(args) => dlq::run(args, &output),
        Command::Outbox(args) => outbox::run(args, &output),
        Command::Replay(args) => replay::run(&args, &output),
        Command::Rebuild(args) => rebuild::run(&args, &output),
        Command::Snapshot(args) => snapshot::run(args, &output),
        Command::Token(command) => token::run(&command, &output),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::CommandFactory;

    use super::Cli;

    /// Commands without subcommands, by their full name, with their options.
    fn commands(command: &clap::Command, name: &str, found: &mut BTreeMap<String, Vec<String>>) {
        if !command.has_subcommands() {
            let options = command.get_arguments().filter_map(|argument| argument.get_long());
            let told_once = ["json", "url", "token-file", "help"];
            let own = options.filter(|option| !told_once.contains(option));
            found.insert(name.to_owned(), own.map(str::to_owned).collect());
        }
        for inner in command.get_subcommands() {
            commands(inner, &format!("{name} {}", inner.get_name()), found);
        }
    }

    #[test]
    fn every_command_and_option_is_documented() {
        let page = include_str!("../../../docs/cli.md");
        let mut sections: BTreeMap<String, &str> = BTreeMap::new();
        for section in page.split("\n### `").skip(1) {
            let (name, text) = section.split_once('`').unwrap();
            assert!(sections.insert(name.to_owned(), text).is_none(), "{name} twice");
        }
        let mut found = BTreeMap::new();
        commands(&Cli::command(), "gristmill", &mut found);
        let names: Vec<_> = found.keys().collect();
        assert_eq!(names, sections.keys().collect::<Vec<_>>());
        for (name, options) in &found {
            let text = sections[name];
            assert!(text.contains("```console\n$ "), "{name} has no example");
            for option in options {
                let is_told =
                    ["`", " "].iter().any(|end| text.contains(&format!("`--{option}{end}")));
                assert!(is_told, "{name} lacks --{option}");
            }
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
