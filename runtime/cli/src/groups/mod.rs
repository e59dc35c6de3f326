//! Shows the consumer groups of a cluster and resets them. What a host would answer, it finds out
//! by itself where no host runs: a group is reset only while none does.

mod reset;
mod show;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use gristmill_config::HostConfig;
use gristmill_node::{ConsumerGroups, GroupsError};
use serde_json::{Value, json};

use crate::complaints;
use crate::exit::Exit;
use crate::output::Output;
use crate::problem::Problem;
use crate::remote::{Remote, Request, segment};
use crate::run::settings;

/// What `gristmill groups` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where groups are asked for.
#[derive(Debug, clap::Args)]
struct Place {
    /// Asks this host, instead of the cluster or the host that the configuration leads to
    #[arg(long, global = true, value_name = "URL", env = "GRISTMILL_URL", hide_env_values = true)]
    url: Option<String>,
    /// The configuration that names the cluster; without the option ./gristmill.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The commands of `gristmill groups`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Lists all groups with members and lag, and whose subscriptions they are
    List,
    /// Shows a group: its members, and how far each partition is
    Describe {
        /// The group
        group: String,
    },
    /// Sets a group without members back or ahead; asks the cluster itself
    Reset(reset::Args),
}

/// Runs one command.
///
/// # Errors
///
/// When neither a host nor the cluster answers, or the one that is asked refuses.
pub(crate) fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let Args { place, command } = args;
    let question = match command {
        Command::List => Question::List,
        Command::Describe { group } => Question::Describe(group),
        Command::Reset(args) => {
            let Some(config) = place.configuration(output)? else { return Ok(Exit::Usage) };
            return reset::run(&config, &args, output);
        }
    };
    let Some(answer) = place.ask(&question, output)? else { return Ok(Exit::Usage) };
    output.json(&answer);
    match question {
        Question::List => show::groups(&answer, output),
        Question::Describe(_) => show::group(&answer, output),
    }
    Ok(Exit::Done)
}

/// What a host and a cluster can both be asked.
enum Question {
    List,
    Describe(String),
}

impl Question {
    fn path(&self) -> String {
        match self {
            Self::List => "/api/v1/groups".to_owned(),
            Self::Describe(group) => format!("/api/v1/groups/{}", segment(group)),
        }
    }

    fn of_cluster(&self, config: &HostConfig) -> Result<Value, Problem> {
        let groups = ConsumerGroups::connect(config).map_err(Problem::from)?;
        let found = match self {
            Self::List => json!({ "groups": groups.list()? }),
            Self::Describe(group) => json!(groups.describe(group)?),
        };
        Ok(found)
    }
}

impl Place {
    /// Asks the host that is named, else one that runs with the configuration, else the cluster.
    /// `None` when the configuration is wrong, which was said.
    fn ask(&self, question: &Question, output: &Output) -> Result<Option<Value>, Problem> {
        if let Some(url) = &self.url {
            return of_host(url, question).map(Some);
        }
        let Some(config) = self.configuration(output)? else { return Ok(None) };
        // Left over by a crash, or by a host on another machine that shares the folder.
        if let Ok(address) = fs::read_to_string(config.data_dir.join("address")) {
            match of_host(&address, question) {
                Err(problem) if problem.code == ABSENT => {}
                answered => return answered.map(Some),
            }
        }
        question.of_cluster(&config).map(Some)
    }

    /// The configuration that names the cluster; `None` when it is wrong, which was said.
    fn configuration(&self, output: &Output) -> Result<Option<HostConfig>, Problem> {
        let named = self.config.as_deref();
        if named.is_none() && !Path::new(settings::FILE).exists() {
            let what = format!("find the cluster: there is no {} here", settings::FILE);
            return Err(Problem::usage("E0566", what)
                .hint("name it with --config, or a running host with --url"));
        }
        match settings::host(named, output) {
            Ok(config) => Ok(Some(config)),
            Err(problems) => {
                complaints::refused(&problems, "nobody knows which cluster", output);
                Ok(None)
            }
        }
    }
}

/// Nobody listens there.
const ABSENT: &str = "E0558";

fn of_host(url: &str, question: &Question) -> Result<Value, Problem> {
    Remote::at(url).client()?.get(Request::to(question.path()))
}

impl From<GroupsError> for Problem {
    fn from(error: GroupsError) -> Self {
        use std::error::Error;

        let exit = if error.is_environment() { Exit::Environment } else { Exit::Failed };
        let problem = Self::new(error.code(), exit, error.to_string());
        let problem = match error.hint() {
            Some(hint) => problem.hint(hint),
            None => problem,
        };
        match error.source() {
            Some(source) => problem.source(source.to_string()),
            None => problem,
        }
    }
}
