//! Makes bearer tokens: the secret for whoever uses it, its hash for the host's configuration. It
//! stores neither.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::problem::Problem;

/// What every token begins with, so that scanners for leaked secrets know one.
const PREFIX: &str = "gristmill_";

/// What `gristmill token` does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Makes a token, and the lines that admit it
    New(New),
}

/// What `gristmill token new` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// What it is called in the configuration and in logs
    name: String,
    /// What it may do: read, publish, operate
    #[arg(long = "role", value_name = "ROLE", value_parser = ["read", "publish", "operate"],
        default_values = ["read"])]
    roles: Vec<String>,
    /// A topic, or a pattern with `*`, that it may do it to; all unless given
    #[arg(long = "topic", value_name = "PATTERN")]
    topics: Vec<String>,
    /// When it ends, in RFC 3339
    #[arg(long, value_name = "MOMENT")]
    expires: Option<String>,
}

/// Prints a token and what goes into the configuration.
///
/// # Errors
///
/// E0568 when the configuration would refuse these lines.
pub(crate) fn run(command: &Command, output: &Output) -> anyhow::Result<Exit> {
    let Command::New(new) = command;
    let token = made();
    let lines = lines(new, &token);
    refuse_wrong(&lines)?;
    output.json(&json!({ "name": new.name, "token": token, "configuration": lines }));
    output.line(&token);
    output.note("\nNobody can show it again. In gristmill.toml:\n");
    output.note(output.paint_note(Style::Bold, lines.trim_end()));
    Ok(Exit::Done)
}

fn made() -> String {
    // Two random UUIDs: 244 bits, as six of each are fixed.
    let half = || uuid::Uuid::new_v4().simple();
    format!("{PREFIX}{}{}", half(), half())
}

/// The table that admits the token.
fn lines(new: &New, token: &str) -> String {
    let list = |texts: &[String]| {
        let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
        quoted.join(", ")
    };
    let hash = Sha256::digest(token);
    let mut lines = format!(
        "[tokens.{}]\nhash = \"sha256:{hash:x}\"\nroles = [{}]\n",
        new.name,
        list(&new.roles)
    );
    if !new.topics.is_empty() {
        lines.extend(["topics = [", &list(&new.topics), "]\n"]);
    }
    if let Some(expires) = &new.expires {
        lines.extend(["expires = \"", expires, "\"\n"]);
    }
    lines
}

/// The lines are read as a host would read them.
fn refuse_wrong(lines: &str) -> Result<(), Problem> {
    let source = gristmill_config::Source { name: "gristmill.toml", text: lines };
    let read = gristmill_config::host(&source, &|_| None);
    let Err(problems) = read else { return Ok(()) };
    let said: Vec<String> = problems.iter().map(|problem| problem.reason.clone()).collect();
    Err(Problem::usage("E0568", format!("no host would take it: {}", said.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str, topics: &[&str], expires: Option<&str>) -> New {
        New {
            name: name.to_owned(),
            roles: vec!["publish".to_owned(), "read".to_owned()],
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            expires: expires.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn a_host_takes_what_is_printed() {
        let (one, other) = (made(), made());
        assert!(one.starts_with(PREFIX) && one != other, "{one} {other}");
        let lines = lines(&new("shop", &["orders.*"], Some("2027-01-01T00:00:00Z")), &one);
        assert!(refuse_wrong(&lines).is_ok(), "{lines}");
        assert!(lines.contains("roles = [\"publish\", \"read\"]\ntopics = [\"orders.*\"]\n"));
        assert!(!lines.contains(&one), "the secret is in the configuration");
    }

    #[test]
    fn what_no_host_takes_is_refused() {
        for wrong in [
            new("My Shop", &[], None),
            new("shop", &["a b"], None),
            new("shop", &[], Some("tomorrow")),
        ] {
            assert!(refuse_wrong(&lines(&wrong, &made())).is_err(), "{wrong:?}");
        }
    }
}
