//! Decides how a component is shown to whoever wants to run it. It runs nothing.

use std::{fs, path::PathBuf};

use crate::{
    exit::Exit,
    output::{Output, Style},
    plugin::component,
    problem::Problem,
};

/// Arguments of `gristmill plugin inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component
    file: PathBuf,
}

/// Shows what a component is; exit code 1 when it is no plugin.
///
/// # Errors
///
/// E0509 when the file cannot be read, E0513 when it is no component.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let bytes = fs::read(&args.file).map_err(|source| {
        Problem::environment("E0509", format!("read {}", args.file.display())).source(source)
    })?;
    let description = component::describe(&bytes)?;
    output.json(&description);
    let show = |name: &str, value: &str| {
        output.line(format!("{} {value}", output.paint(Style::Bold, &format!("{name:<8}"))));
    };
    let world = match (description.world, &description.version) {
        (Some(world), Some(version)) => format!("gristmill:plugin/{world}@{version}"),
        _ => "none of gristmill:plugin; this is no plugin".to_owned(),
    };
    show("world", &world);
    show("size", &size(description.bytes));
    show("digest", &format!("sha256:{}", description.digest));
    for (label, names) in [("imports", &description.imports), ("exports", &description.exports)] {
        show(label, &names.join(&format!("\n{:9}", "")));
    }
    let grants = description.grants.join(&format!("\n{:9}", ""));
    show("grants", if grants.is_empty() { "none needed" } else { &grants });
    Ok(if description.world.is_some() { Exit::Done } else { Exit::Failed })
}

/// `bytes` for humans: KiB with one decimal place, or bytes below one KiB.
pub(crate) fn size(bytes: usize) -> String {
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let tenths = bytes.saturating_mul(10) / 1_024;
    format!("{}.{} KiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_kibibytes() {
        for (bytes, text) in [(0, "0 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"), (1_587, "1.5 KiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
