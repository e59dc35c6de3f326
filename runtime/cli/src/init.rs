//! Writes what a host needs to begin: a commented configuration, its schema for editors, a folder
//! for plugins. It overwrites nothing unless told to.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::problem::Problem;

/// What must not be in version control.
const IGNORED: &str = ".gristmill/";

/// What `gristmill init` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder, made if it is not there
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Overwrites gristmill.toml and the schemas
    #[arg(long)]
    force: bool,
}

/// Writes the files.
///
/// # Errors
///
/// E0555 when one of them is there already, E0556 when one cannot be written.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let files = [
        ("gristmill.toml", gristmill_config::starter().to_owned()),
        ("gristmill.schema.json", format!("{:#}\n", gristmill_config::host_schema())),
        ("manifest.schema.json", format!("{:#}\n", gristmill_config::manifest_schema())),
    ];
    if !args.force {
        refuse_existing(&args.dir, files.iter().map(|(name, _)| *name))?;
    }
    make(&args.dir.join("plugins"))?;
    for (name, text) in &files {
        write(&args.dir.join(name), text)?;
    }
    ignore(&args.dir.join(".gitignore"))?;
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    output.json(&json!({ "folder": args.dir, "files": names }));
    tell(&args.dir, output);
    Ok(Exit::Done)
}

fn tell(dir: &Path, output: &Output) {
    let is_here = dir == Path::new(".");
    let beside = if is_here { Path::new("") } else { dir };
    let at = |name: &str| beside.join(name).display().to_string();
    output.line(format!("{} is written, plugins go to {}", at("gristmill.toml"), at("plugins")));
    output.line("\nWhat is next:");
    if !is_here {
        output.line(output.paint(Style::Bold, &format!("  cd {}", dir.display())));
    }
    for (command, why) in [
        ("gristmill check", "says what is wrong with the configuration, if anything"),
        ("gristmill run", "starts the host at http://127.0.0.1:8080"),
        ("gristmill plugin new hello", "writes a first plugin"),
    ] {
        output.line(format!("  {}  {why}", output.paint(Style::Bold, &format!("{command:<27}"))));
    }
}

fn refuse_existing<'a>(dir: &Path, names: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
    let there: Vec<&str> = names.filter(|name| dir.join(name).exists()).collect();
    if there.is_empty() {
        return Ok(());
    }
    Err(Problem::usage("E0555", format!("{} has {} already", dir.display(), there.join(", ")))
        .hint("give --force to overwrite, or name another folder"))
}

/// Adds what is to be ignored to whatever the file says.
fn ignore(path: &Path) -> Result<(), Problem> {
    let text = fs::read_to_string(path).unwrap_or_default();
    if text.lines().any(|line| line.trim() == IGNORED) {
        return Ok(());
    }
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    write(path, &format!("{text}{gap}{IGNORED}\n"))
}

fn make(dir: &Path) -> Result<(), Problem> {
    fs::create_dir_all(dir).map_err(|error| {
        Problem::environment("E0556", format!("make folder {}", dir.display())).source(error)
    })
}

fn write(path: &Path, text: &str) -> Result<(), Problem> {
    fs::write(path, text).map_err(|error| {
        Problem::environment("E0556", format!("write {}", path.display())).source(error)
    })
}
