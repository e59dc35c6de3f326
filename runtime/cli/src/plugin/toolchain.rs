//! Decides which cargo builds a plugin for Wasm, and with what around it. It installs nothing.
//!
//! In this order: a toolchain that has the Wasm standard library (`rustup target add
//! wasm32-unknown-unknown`), one that has the library's source and can build it (rustup's
//! `rust-src`, or a distribution's packages). Looked at are the `cargo` on `PATH` and `/usr/bin`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::problem::Problem;

/// What plugins are compiled for: no system interface, so a component imports the contract only.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Where distributions put their cargo.
const SYSTEM_BIN: &str = "/usr/bin";

/// Variables that would make another toolchain of the one chosen, or add flags for the host.
const UNWANTED: [&str; 8] = [
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// A cargo that can build for Wasm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    /// Set when the standard library has to be built first.
    linker: Option<PathBuf>,
}

impl Toolchain {
    /// Finds a toolchain for the crate in `folder`, whose `rust-toolchain.toml` counts.
    ///
    /// # Errors
    ///
    /// E0504 when none can build for Wasm, E0505 when one could but there is no linker.
    pub(crate) fn find(folder: &Path) -> Result<Self, Problem> {
        let candidates = [
            (PathBuf::from("cargo"), PathBuf::from("rustc")),
            (Path::new(SYSTEM_BIN).join("cargo"), Path::new(SYSTEM_BIN).join("rustc")),
        ];
        for (cargo, rustc) in &candidates {
            if has_standard_library(rustc, folder) {
                let (cargo, rustc) = (cargo.clone(), rustc.clone());
                return Ok(Self { cargo, rustc, linker: None });
            }
        }
        for (cargo, rustc) in candidates {
            if has_library_source(&rustc, folder) && runs(&cargo, folder) {
                let linker = find_linker(&rustc, folder).ok_or_else(no_linker)?;
                return Ok(Self { cargo, rustc, linker: Some(linker) });
            }
        }
        Err(no_toolchain())
    }

    /// The command that builds, up to the options a caller adds.
    pub(crate) fn build(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        for name in UNWANTED {
            command.env_remove(name);
        }
        command.args(["build", "--target", TARGET]);
        if let Some(linker) = &self.linker {
            // The option to build the standard library is not stable, its use here is: the
            // compiler of a distribution takes it when it is told to.
            command
                .args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"])
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTC", &self.rustc)
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        command
    }

    /// What it is, in a line for humans.
    pub(crate) fn name(&self) -> String {
        let how = if self.linker.is_some() { ", building the standard library" } else { "" };
        format!("{} for {TARGET}{how}", self.cargo.display())
    }
}

/// The first line that `rustc` prints for these arguments, as a path.
fn print(rustc: &Path, folder: &Path, arguments: &[&str]) -> Option<PathBuf> {
    let mut command = Command::new(rustc);
    for name in UNWANTED {
        command.env_remove(name);
    }
    let output = command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next().filter(|_| output.status.success())?;
    Some(PathBuf::from(line))
}

fn runs(cargo: &Path, folder: &Path) -> bool {
    print(cargo, folder, &["--version"]).is_some()
}

fn has_standard_library(rustc: &Path, folder: &Path) -> bool {
    let libraries = print(rustc, folder, &["--print", "target-libdir", "--target", TARGET]);
    let mut files = libraries.into_iter().filter_map(|path| fs::read_dir(path).ok()).flatten();
    files.any(|file| {
        file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
    })
}

fn has_library_source(rustc: &Path, folder: &Path) -> bool {
    let sysroot = print(rustc, folder, &["--print", "sysroot"]);
    sysroot.is_some_and(|path| path.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file())
}

/// A linker for Wasm: that of the toolchain, of any other, or LLVM's own on `PATH`.
fn find_linker(rustc: &Path, folder: &Path) -> Option<PathBuf> {
    let sysroot = print(rustc, folder, &["--print", "sysroot"]);
    let rustup = env::var_os("RUSTUP_HOME").map(PathBuf::from);
    let rustup = rustup.or_else(|| Some(env::home_dir()?.join(".rustup")));
    let others = rustup.and_then(|path| fs::read_dir(path.join("toolchains")).ok());
    let mut others: Vec<PathBuf> =
        others.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    others.sort();
    let shipped = sysroot.into_iter().chain(others).find_map(|path| shipped_linker(&path));
    shipped.or_else(linker_on_path)
}

/// The linker that comes with the toolchain in `sysroot`.
fn shipped_linker(sysroot: &Path) -> Option<PathBuf> {
    let targets = fs::read_dir(sysroot.join("lib/rustlib")).ok()?;
    let mut linkers =
        targets.filter_map(Result::ok).map(|target| target.path().join("bin/rust-lld"));
    linkers.find(|linker| linker.is_file())
}

/// `rust-lld`, `wasm-ld`, or the newest `wasm-ld-NN`.
fn linker_on_path() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let rank = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        match name {
            "rust-lld" => Some(u32::MAX),
            "wasm-ld" => Some(u32::MAX - 1),
            _ => name.strip_prefix("wasm-ld-")?.parse().ok(),
        }
    };
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let files = files.filter_map(|file| Some(file.ok()?.path()));
    let ranked = files.filter_map(|path| Some((rank(&path)?, path)));
    ranked.max_by_key(|(rank, _)| *rank).map(|(_, path)| path)
}

fn no_toolchain() -> Problem {
    let hint = if Path::new("/etc/debian_version").is_file() {
        "run `rustup target add wasm32-unknown-unknown`, or `apt-get install rustc-web cargo-web \
         rust-web-src lld`"
    } else {
        "run `rustup target add wasm32-unknown-unknown`"
    };
    Problem::environment("E0504", "find a Rust toolchain for wasm32-unknown-unknown").hint(hint)
}

fn no_linker() -> Problem {
    let hint = if Path::new("/etc/debian_version").is_file() {
        "run `apt-get install lld`, or install any toolchain with rustup"
    } else {
        "install LLVM's lld, or any toolchain with rustup"
    };
    Problem::environment("E0505", "find a linker for WebAssembly").hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_a_toolchain_is_known_by_its_linker() {
        let sysroot = tempfile::tempdir().unwrap();
        assert_eq!(shipped_linker(sysroot.path()), None);
        let folder = sysroot.path().join("lib/rustlib/x86_64-unknown-linux-gnu/bin");
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(shipped_linker(sysroot.path()), None);
        fs::write(folder.join("rust-lld"), "").unwrap();
        assert_eq!(shipped_linker(sysroot.path()), Some(folder.join("rust-lld")));
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_install() {
        for (problem, code) in [(no_toolchain(), "E0504"), (no_linker(), "E0505")] {
            assert_eq!(problem.code, code);
            assert!(
                problem.hint.is_some_and(|hint| hint.contains("install") || hint.contains("add"))
            );
        }
    }
}
