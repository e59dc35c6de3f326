//! Decides what a new plugin consists of: a handler with its native test, its manifest, and
//! sample events with what is expected. It builds nothing and overwrites nothing.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    exit::Exit,
    output::{Output, Style},
    problem::Problem,
};

/// Longest name of a plugin, in bytes.
const NAME_MAX: usize = 64;

/// Arguments of `gristmill plugin new`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name: a-z, 0-9 and dashes, beginning with a letter
    name: String,
    /// Folder to make; NAME without
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// A plugin that sets timers
    #[arg(long)]
    timed: bool,
    /// The SDK's folder; without, that of the checkout this binary was built in, else the published
    /// one
    #[arg(long, value_name = "DIR")]
    sdk_path: Option<PathBuf>,
}

/// The files of a plugin: name, and text with `{name}` and `{sdk}` in it.
type Files = [(&'static str, &'static str); 6];

const PLAIN: Files = [
    ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
    (".gitignore", include_str!("template/gitignore.txt")),
    ("src/lib.rs", include_str!("template/handler.rs.txt")),
    ("{name}.toml", include_str!("template/manifest.toml.txt")),
    ("tests/sample.events.jsonl", include_str!("template/sample.events.jsonl.txt")),
    ("tests/sample.golden.json", include_str!("template/sample.golden.json.txt")),
];

const TIMED: Files = [
    ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
    (".gitignore", include_str!("template/gitignore.txt")),
    ("src/lib.rs", include_str!("template/timed.rs.txt")),
    ("{name}.toml", include_str!("template/timed.toml.txt")),
    ("tests/sample.events.jsonl", include_str!("template/timed.events.jsonl.txt")),
    ("tests/sample.golden.json", include_str!("template/timed.golden.json.txt")),
];

/// Writes a new plugin.
///
/// # Errors
///
/// E0501 for a name that is none, E0502 when the folder is there, E0509 for a file.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    check_name(&args.name)?;
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let is_empty = fs::read_dir(&folder).map_or(true, |mut entries| entries.next().is_none());
    if !is_empty || folder.is_file() {
        let what = format!("make a plugin in {}: it is there already", folder.display());
        return Err(Problem::usage("E0502", what).hint("give another name or --folder").into());
    }
    let own = env::current_exe().ok().and_then(|binary| in_checkout(&binary));
    let sdk = sdk(args.sdk_path.as_deref().or(own.as_deref()))?;
    let mut written = Vec::new();
    for (name, text) in if args.timed { TIMED } else { PLAIN } {
        let file = folder.join(name.replace("{name}", &args.name));
        write(&file, &fill(text, &args.name, &sdk)).map_err(|source| {
            Problem::environment("E0509", format!("write {}", file.display())).source(source)
        })?;
        written.push(file);
    }
    output.json(&json!({ "name": args.name, "folder": folder, "files": written }));
    output.line(format!("{} {}", output.paint(Style::Good, "made"), folder.display()));
    for file in &written {
        output.line(output.paint(Style::Dim, &format!("  {}", file.display())));
    }
    output.line(format!(
        "\nNext:\n  cd {}\n  cargo test              # the handler, natively\n  \
         gristmill plugin build  # the component {}.wasm\n  \
         gristmill plugin test   # the component, over tests/*",
        folder.display(),
        args.name
    ));
    Ok(Exit::Done)
}

fn check_name(name: &str) -> Result<(), Problem> {
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if begins && name.len() <= NAME_MAX && name.bytes().all(allowed) && !name.ends_with('-') {
        return Ok(());
    }
    let hint = format!("use a-z, 0-9 and dashes, a letter first, at most {NAME_MAX}");
    Err(Problem::usage("E0501", format!("name a plugin {name:?}")).hint(hint))
}

/// The SDK of the checkout whose target folder `binary` lies in.
fn in_checkout(binary: &Path) -> Option<PathBuf> {
    let mut folders = binary.ancestors().skip(1).map(|folder| folder.join("plugins/sdk/rust"));
    folders.find(|folder| folder.join("Cargo.toml").is_file())
}

/// The SDK as a dependency.
fn sdk(path: Option<&Path>) -> Result<String, Problem> {
    let Some(path) = path else {
        return Ok("\"0.1\"".to_owned());
    };
    let absolute = fs::canonicalize(path).map_err(|source| {
        let what = format!("find the SDK in {}", path.display());
        Problem::usage("E0509", what).hint("give the folder of plugins/sdk/rust").source(source)
    })?;
    // A TOML string of the path; JSON's escapes are TOML's too.
    let text = serde_json::Value::from(absolute.to_string_lossy());
    Ok(format!("{{ path = {text} }}"))
}

fn fill(text: &str, name: &str, sdk: &str) -> String {
    text.replace("{name}", name).replace("{sdk}", sdk)
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let longest = "a".repeat(NAME_MAX);
        for name in ["a", "geo-2", longest.as_str()] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let too_long = "a".repeat(NAME_MAX + 1);
        for name in ["", "-a", "a-", "2a", "A", "a_b", "a/b", too_long.as_str()] {
            assert_eq!(check_name(name).unwrap_err().code, "E0501", "{name}");
        }
    }

    #[test]
    fn the_sdk_of_a_checkout_is_found_from_its_target_folder() {
        let checkout = tempfile::tempdir().unwrap();
        let (sdk, bin) = ("plugins/sdk/rust", "target/debug");
        for folder in [sdk, bin] {
            fs::create_dir_all(checkout.path().join(folder)).unwrap();
        }
        let binary = checkout.path().join(bin).join("gristmill");
        assert_eq!(in_checkout(&binary), None, "a folder without a crate is no SDK");
        fs::write(checkout.path().join(sdk).join("Cargo.toml"), "").unwrap();
        assert_eq!(in_checkout(&binary), Some(checkout.path().join(sdk)));
    }

    #[test]
    fn templates_have_no_gaps_left() {
        for (name, text) in PLAIN.into_iter().chain(TIMED) {
            let filled = fill(text, "geo", "\"0.1\"");
            assert!(!filled.contains("{name}") && !filled.contains("{sdk}"), "{name}");
        }
    }

    #[test]
    fn manifests_are_accepted() {
        for text in [PLAIN[3].1, TIMED[3].1] {
            let text = fill(text, "geo", "");
            let source = gristmill_config::Source { name: "geo.toml", text: &text };
            let manifest = gristmill_config::manifest(
                &source,
                &|_| None,
                &gristmill_config::Ceilings::default(),
            );
            let manifest = manifest.unwrap();
            assert_eq!(manifest.name, "geo");
            assert!(manifest.warnings.is_empty(), "{}", manifest.warnings);
        }
    }
}
