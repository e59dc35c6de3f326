//! Decides what is built and where components go. Cargo compiles; the components are made here.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use crate::{
    exit::Exit,
    output::{Output, Style},
    plugin::{
        component::{self, Description},
        inspect,
        toolchain::Toolchain,
    },
    problem::Problem,
};

/// Arguments of `gristmill plugin build`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The plugin's folder, or a workspace of plugins
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Folder the components go to, or the file of a single one; beside each Cargo.toml without
    #[arg(long, value_name = "DIR|FILE.wasm")]
    out: Option<PathBuf>,
    /// Cargo profile
    #[arg(long, default_value = "release")]
    profile: String,
    /// Folder for what cargo compiles; share it, and the standard library is built once
    #[arg(long, value_name = "DIR", env = "CARGO_TARGET_DIR")]
    target_dir: Option<PathBuf>,
    /// Cargo features to turn on
    #[arg(long, value_delimiter = ',')]
    features: Vec<String>,
    /// Fails rather than change Cargo.lock
    #[arg(long)]
    locked: bool,
}

/// One line of what cargo reports on standard output.
#[derive(Debug, Deserialize)]
struct Artifact {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    target: ArtifactTarget,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    #[serde(default)]
    fresh: bool,
}

#[derive(Debug, Default, Deserialize)]
struct ArtifactTarget {
    #[serde(default)]
    name: String,
    #[serde(default)]
    crate_types: Vec<String>,
}

/// A module that cargo built.
struct Module {
    name: String,
    package: PathBuf,
    file: PathBuf,
    fresh: bool,
}

/// A component that was written, or stood there already.
#[derive(Debug, Serialize)]
struct Built {
    file: PathBuf,
    changed: bool,
    seconds: f64,
    #[serde(flatten)]
    description: Description,
}

/// Builds every plugin of a folder.
///
/// # Errors
///
/// E0503 to E0509: no crate, no toolchain, a failed build, a module that is no plugin, a file.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let modules = compile(args, output)?;
    if let (Some(out), [_, _, ..]) = (&args.out, modules.as_slice())
        && is_file(out)
    {
        let what = format!("write {} plugins to the one file {}", modules.len(), out.display());
        return Err(Problem::usage("E0503", what).hint("give a folder to --out").into());
    }
    let mut built = Vec::new();
    for module in &modules {
        built.push(convert(module, args.out.as_deref(), started)?);
    }
    output.json(&built);
    for component in &built {
        show(component, output);
    }
    Ok(Exit::Done)
}

/// Runs cargo, whose progress streams by, and returns the modules it made.
fn compile(args: &Args, output: &Output) -> Result<Vec<Module>, Problem> {
    let manifest = args.folder.join("Cargo.toml");
    let no_crate = |what: String| {
        Problem::usage("E0503", what).hint("`gristmill plugin new NAME` writes a plugin's crate")
    };
    if !manifest.is_file() {
        return Err(no_crate(format!("find a crate in {}", args.folder.display())));
    }
    let toolchain = Toolchain::find(&args.folder)?;
    output.note(output.paint(Style::Dim, &toolchain.name()));
    let mut command = toolchain.build();
    command.args(["--profile", &args.profile, "--message-format=json-render-diagnostics"]);
    // Cargo runs in the folder, so that the folder's own settings hold.
    command.current_dir(&args.folder);
    if let Some(folder) = &args.target_dir {
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
        command.arg("--target-dir").arg(absolute);
    }
    if !args.features.is_empty() {
        command.args(["--features", &args.features.join(",")]);
    }
    if args.locked {
        command.arg("--locked");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let ended = |source| Problem::environment("E0509", "run cargo").source(source);
    let modules = wait(command.spawn().map_err(ended)?).map_err(ended)?;
    let Some(modules) = modules else {
        let what = format!("build {}", args.folder.display());
        return Err(Problem::failed("E0506", what).hint("cargo says above what is wrong"));
    };
    if modules.is_empty() {
        let what = format!("find a plugin in {}: no crate makes a cdylib", args.folder.display());
        return Err(no_crate(what));
    }
    Ok(modules)
}

/// What cargo built; none when it failed.
fn wait(mut cargo: Child) -> std::io::Result<Option<Vec<Module>>> {
    let mut modules = Vec::new();
    if let Some(stdout) = cargo.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            modules.extend(serde_json::from_str(&line?).ok().and_then(module));
        }
    }
    Ok(cargo.wait()?.success().then_some(modules))
}

/// The plugin's module in an artifact, if it is one.
fn module(artifact: Artifact) -> Option<Module> {
    let is_plugin = artifact.reason == "compiler-artifact"
        && artifact.target.crate_types.iter().any(|kind| kind == "cdylib");
    let is_wasm = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "wasm");
    let file = artifact.filenames.into_iter().find(is_wasm).filter(|_| is_plugin)?;
    let package = artifact.manifest_path.parent()?.to_owned();
    Some(Module { name: artifact.target.name, package, file, fresh: artifact.fresh })
}

/// Writes the component of a module, unless the very same stands there.
fn convert(module: &Module, out: Option<&Path>, started: Instant) -> Result<Built, Problem> {
    let file = place(module, out);
    let failed = |what: &str, path: &Path| {
        let what = format!("{what} {}", path.display());
        move |source| Problem::environment("E0509", what).source(source)
    };
    let core = fs::read(&module.file).map_err(failed("read", &module.file))?;
    let bytes = component::encode(core)?;
    let description = component::describe(&bytes)?;
    if description.world.is_none() {
        let what = format!("check plugin {:?}: it exports no handler", module.name);
        return Err(Problem::failed("E0507", what).hint(component::EXPORT_HINT));
    }
    if description.lacks_timer_handler() {
        let what = format!("check plugin {:?}: it sets timers and handles none", module.name);
        let hint = "write gristmill_plugin::export!(handle, on_timer)";
        return Err(Problem::failed("E0508", what).hint(hint));
    }
    let changed = !(module.fresh && fs::read(&file).is_ok_and(|there| there == bytes));
    if changed {
        write(&file, &bytes).map_err(failed("write", &file))?;
    }
    Ok(Built { file, changed, seconds: started.elapsed().as_secs_f64(), description })
}

/// Where the component of `module` goes: by the name of its crate, dashes kept.
fn place(module: &Module, out: Option<&Path>) -> PathBuf {
    match out {
        Some(out) if is_file(out) => out.to_owned(),
        folder => {
            let name = package_name(&module.package).unwrap_or_else(|| module.name.clone());
            folder.unwrap_or(&module.package).join(format!("{name}.wasm"))
        }
    }
}

/// The name in a package's `Cargo.toml`: a library's own has underscores for dashes.
pub(crate) fn package_name(package: &Path) -> Option<String> {
    let text = fs::read_to_string(package.join("Cargo.toml")).ok()?;
    let document: toml_edit::Document<String> = toml_edit::Document::parse(text).ok()?;
    Some(document.get("package")?.get("name")?.as_str()?.to_owned())
}

fn is_file(out: &Path) -> bool {
    out.extension().is_some_and(|extension| extension == "wasm")
}

/// Writes by way of a hidden file beside it: a host that watches the folder sees the whole
/// component or the one before.
fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let partial = folder.join(format!(".{name}.{}.partial", std::process::id()));
    fs::write(&partial, bytes)?;
    fs::rename(&partial, file)
}

fn show(built: &Built, output: &Output) {
    let Built { file, changed, seconds, description } = built;
    let size = inspect::size(description.bytes);
    let digest = description.digest.get(..12).unwrap_or_default();
    let mark = if *changed { "built" } else { "unchanged" };
    let file = file.display();
    output.line(format!(
        "{} {file}  {size}  sha256:{digest}…  {seconds:.1} s",
        output.paint(Style::Good, mark)
    ));
    let imports = description.imports.join(", ");
    output.line(output.paint(Style::Dim, &format!("  imports {imports}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_built_cdylib_is_a_plugin() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/a/b-c/Cargo.toml","target":
            {"name":"b_c","crate_types":["cdylib","rlib"]},"filenames":["/t/b_c.rlib",
            "/t/b_c.wasm"],"fresh":true}"#;
        let found = module(serde_json::from_str(line).unwrap()).unwrap();
        assert_eq!((found.name.as_str(), found.fresh), ("b_c", true));
        assert_eq!(found.file, Path::new("/t/b_c.wasm"));
        assert_eq!(place(&found, None), Path::new("/a/b-c/b_c.wasm"));
        assert_eq!(place(&found, Some(Path::new("p"))), Path::new("p/b_c.wasm"));
        assert_eq!(place(&found, Some(Path::new("p/x.wasm"))), Path::new("p/x.wasm"));
        for other in [
            line.replace("cdylib\",\"", ""),
            line.replace("compiler-artifact", "build-script-executed"),
            line.replace("b_c.wasm", "b_c.so"),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ] {
            assert!(module(serde_json::from_str(&other).unwrap()).is_none(), "{other}");
        }
    }

    #[test]
    fn a_component_is_named_by_its_package() {
        let package = tempfile::tempdir().unwrap();
        assert_eq!(package_name(package.path()), None);
        fs::write(package.path().join("Cargo.toml"), "[package]\nname = \"b-c\"\n").unwrap();
        assert_eq!(package_name(package.path()).as_deref(), Some("b-c"));
    }

    #[test]
    fn a_file_is_written_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/geo.wasm");
        write(&file, b"one").unwrap();
        write(&file, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }
}
