//! Decides which configuration a host runs with: the file, the defaults when there is none, and
//! what the command line says instead.

use std::env;
use std::path::{Path, PathBuf};

use gristmill_config::{HostConfig, Problems, Source};

use super::Args;
use crate::complaints;
use crate::output::Output;
use crate::problem::Problem;

/// Where the configuration is looked for.
pub(crate) const FILE: &str = "gristmill.toml";

/// The configuration; `None` when it is wrong, which was said.
pub(super) fn read(args: &Args, output: &Output) -> Result<Option<HostConfig>, Problem> {
    let mut config = match host(args.config.as_deref(), output) {
        Ok(config) => config,
        Err(problems) => {
            complaints::refused(&problems, "the host does not start", output);
            return Ok(None);
        }
    };
    complaints::notes(&config.warnings, output);
    if let Some(listen) = args.listen {
        let is_open = config.http.allow_anonymous || !config.tokens.is_empty();
        if !listen.ip().is_loopback() && !is_open {
            return Err(Problem::usage("E0552", format!("{listen} is open to other machines"))
                .hint(
                    "`gristmill token new` admits those you know; where the network is trusted, \
                     set `allow_anonymous = true` in [http]",
                ));
        }
        config.listen = listen;
    }
    if let Some(data_dir) = &args.data_dir {
        config.data_dir.clone_from(data_dir);
    }
    if let Some(plugins_dir) = &args.plugins_dir {
        config.plugins_dir.clone_from(plugins_dir);
    }
    Ok(Some(config))
}

/// Reads the host's configuration: of the file named, which must be there, else of `FILE`.
pub(crate) fn host(named: Option<&Path>, output: &Output) -> Result<HostConfig, Problems> {
    let (name, text) = document(named, output)?;
    gristmill_config::host(&Source { name: &name, text: &text }, &variable)
}

/// Name and text of that file; no text where there is none and none was named.
pub(crate) fn document(
    named: Option<&Path>,
    output: &Output,
) -> Result<(String, String), Problems> {
    let path = named.map_or_else(|| PathBuf::from(FILE), Path::to_path_buf);
    let text = if named.is_none() && !path.exists() {
        output.note(format!("no {FILE} here: every default holds; `gristmill init` writes one"));
        String::new()
    } else {
        gristmill_config::read::document(&path).map_err(|it| Problems::from_iter([it]))?
    };
    Ok((path.display().to_string(), text))
}

/// A variable of the environment, for `${NAME}`.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}
