//! Decides which event files a plugin is tested with and whether it did what is expected. It runs
//! the component as a host does, over a world in memory.
//!
//! A case is `tests/NAME.events.jsonl` beside `tests/NAME.golden.json`. Every line of the former
//! is a step (see [`steps`]); the latter holds the effects of every step, and the state and
//! timers that are left.

mod run;
mod steps;
mod value;
mod world;

use std::{
    fs,
    path::{Path, PathBuf},
};

use gristmill_config::{Ceilings, Manifest, Source};
use gristmill_plugin_host::{Plugin, Runtime, RuntimeSettings};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::{
    exit::Exit,
    output::{Output, Style},
    plugin::{
        build::package_name,
        diff::{Line, diff},
    },
    problem::Problem,
};

const EVENTS: &str = ".events.jsonl";
const GOLDEN: &str = ".golden.json";

/// Arguments of `gristmill plugin test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The plugin's folder, or a folder of plugins' folders
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Folder with NAME.wasm and NAME.toml; the plugin's own where they are not in it
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Takes what the plugin does as what is expected
    #[arg(long)]
    update: bool,
    /// What plugins log that is shown: a level, or directives TARGET=LEVEL
    #[arg(long, value_name = "FILTER", default_value = "warn", value_parser = filter)]
    log: String,
}

/// One plugin with its cases.
struct Suite {
    name: String,
    component: PathBuf,
    manifest: PathBuf,
    cases: Vec<PathBuf>,
}

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Passed,
    Failed,
    Updated,
}

/// A case that ran.
#[derive(Debug, Serialize)]
struct Report {
    plugin: String,
    case: String,
    verdict: Verdict,
    steps: usize,
    /// Lines that differ from what is expected, as `diff -u` marks them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    difference: Vec<String>,
}

/// Runs every case of a folder; exit code 1 when one differs.
///
/// # Errors
///
/// E0509 to E0514 for files that are missing or malformed, the host's own codes for a component
/// or manifest it refuses.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let suites = find(args)?;
    let log = tracing_subscriber::fmt().with_env_filter(&args.log).without_time();
    // Another subscriber, if there is one, has the lines as well.
    drop(log.with_writer(std::io::stderr).with_ansi(output.colours_notes()).try_init());
    // A handful of instances is plenty: cases run one by one.
    let runtime = Runtime::new(RuntimeSettings { instances_max: 4, ..RuntimeSettings::default() })
        .map_err(|error| {
            Problem::environment(error.code(), "start").hint(error.hint()).source(error)
        })?;
    let mut reports = Vec::new();
    for suite in &suites {
        let plugin = load(&runtime, &suite.component)?;
        let manifest = read_manifest(&suite.manifest)?;
        for case in &suite.cases {
            let target = run::Target { runtime: &runtime, plugin: &plugin, manifest: &manifest };
            let report = run_case(suite, case, &target, args.update)?;
            show(&report, output);
            reports.push(report);
        }
    }
    output.json(&reports);
    let failed = reports.iter().filter(|report| report.verdict == Verdict::Failed).count();
    if failed == 0 {
        return Ok(Exit::Done);
    }
    output.note(format!(
        "{failed} of {} cases differ; `gristmill plugin test --update` takes them as they are",
        reports.len()
    ));
    Ok(Exit::Failed)
}

/// A log filter as it was given, if it is one.
fn filter(text: &str) -> Result<String, tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(text).map(|_| text.to_owned())
}

/// The plugin in the folder, or those in the folders in it.
fn find(args: &Args) -> Result<Vec<Suite>, Problem> {
    let own = cases(&args.folder)?;
    let mut suites = Vec::new();
    if own.is_empty() {
        for folder in entries(&args.folder)? {
            if folder.is_dir() {
                let cases = cases(&folder)?;
                suites.extend((!cases.is_empty()).then(|| suite(&folder, cases, args)));
            }
        }
    } else {
        suites.push(suite(&args.folder, own, args));
    }
    if suites.is_empty() {
        let what = format!("find tests/NAME{EVENTS} in {}", args.folder.display());
        let hint = "write one event per line; `gristmill plugin new` writes a sample";
        return Err(Problem::usage("E0512", what).hint(hint));
    }
    Ok(suites)
}

fn suite(folder: &Path, cases: Vec<PathBuf>, args: &Args) -> Suite {
    let absolute = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let folder_name = || absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = package_name(folder).unwrap_or_else(folder_name);
    let manifest = format!("{name}.toml");
    let has_it = |plugins: &&Path| plugins.join(&manifest).is_file();
    let plugins = args.plugins.as_deref().filter(has_it).unwrap_or(folder);
    let component = plugins.join(format!("{name}.wasm"));
    let manifest = plugins.join(manifest);
    Suite { name, component, manifest, cases }
}

fn cases(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let tests = folder.join("tests");
    let mut files = if tests.is_dir() { entries(&tests)? } else { Vec::new() };
    files.retain(|file| file.to_string_lossy().ends_with(EVENTS));
    Ok(files)
}

/// What is in a folder, in order of names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let failed =
        |source| Problem::environment("E0509", format!("list {}", folder.display())).source(source);
    let entries = fs::read_dir(folder).map_err(failed)?;
    let paths: Result<Vec<PathBuf>, _> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn load(runtime: &Runtime, file: &Path) -> Result<Plugin, Problem> {
    let bytes = fs::read(file).map_err(|source| {
        let problem = Problem::environment("E0509", format!("read {}", file.display()));
        problem.hint("run `gristmill plugin build` first").source(source)
    })?;
    runtime.load(&bytes).map_err(|error| {
        let problem = Problem::failed(error.code(), format!("load {}", file.display()));
        problem.hint(error.hint()).source(error)
    })
}

fn read_manifest(file: &Path) -> Result<Manifest, Problem> {
    let text = fs::read_to_string(file).map_err(|source| {
        let problem = Problem::environment("E0509", format!("read {}", file.display()));
        problem.hint("a plugin's manifest lies beside its component").source(source)
    })?;
    let name = file.to_string_lossy();
    // The file alone decides: a test is the same on every machine.
    let environment = |_: &str| None;
    let source = Source { name: &name, text: &text };
    // No host is asked which fields it encrypts: events of tests are in the clear.
    let ceilings = Ceilings { encryption: None, ..Ceilings::default() };
    gristmill_config::manifest(&source, &environment, &ceilings).map_err(|problems| {
        Problem::usage("E0514", format!("read manifest {name}")).source(problems)
    })
}

fn run_case(
    suite: &Suite,
    file: &Path,
    target: &run::Target<'_>,
    update: bool,
) -> anyhow::Result<Report> {
    let text = fs::read_to_string(file).map_err(|source| {
        Problem::environment("E0509", format!("read {}", file.display())).source(source)
    })?;
    let steps = steps::read(&text, file)?;
    let actual = format!("{:#}\n", run::run(&steps, target)?);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let name = name.trim_end_matches(EVENTS);
    let golden = file.with_file_name(format!("{name}{GOLDEN}"));
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    let difference = diff(&expected, &actual);
    let verdict = match (difference.is_empty(), update) {
        (true, _) => Verdict::Passed,
        (false, false) => Verdict::Failed,
        (false, true) => {
            fs::write(&golden, &actual).map_err(|source| {
                Problem::environment("E0509", format!("write {}", golden.display())).source(source)
            })?;
            Verdict::Updated
        }
    };
    Ok(Report {
        plugin: suite.name.clone(),
        case: name.to_owned(),
        verdict,
        steps: steps.len(),
        difference: difference.iter().map(mark).collect(),
    })
}

fn mark(line: &Line<'_>) -> String {
    match line {
        Line::Same(text) => format!(" {text}"),
        Line::Removed(text) => format!("-{text}"),
        Line::Added(text) => format!("+{text}"),
        Line::Skipped(lines) => format!("@ {lines} equal lines"),
    }
}

fn show(report: &Report, output: &Output) {
    let (style, word) = match report.verdict {
        Verdict::Passed => (Style::Good, "passed"),
        Verdict::Failed => (Style::Bad, "failed"),
        Verdict::Updated => (Style::Hint, "updated"),
    };
    let Report { plugin, case, steps, .. } = report;
    output.line(format!("{} {plugin}: {case}, {steps} steps", output.paint(style, word)));
    if report.verdict != Verdict::Failed {
        return;
    }
    for line in &report.difference {
        let style = match line.as_bytes().first() {
            Some(b'-') => Style::Bad,
            Some(b'+') => Style::Good,
            _ => Style::Dim,
        };
        output.line(format!("  {}", output.paint(style, line)));
    }
}
