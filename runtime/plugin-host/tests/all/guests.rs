//! Builds the guests of `plugins/hostile`, once per test run: crates by cargo for the target
//! wasm32-unknown-unknown, text by `wat`, both made components here. It never runs one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const TARGET: &str = "wasm32-unknown-unknown";

/// The component of the guest in `plugins/hostile/<name>`.
pub(crate) fn component(name: &str) -> Vec<u8> {
    let text = hostile().join(name).join("guest.wat");
    if text.exists() {
        return component_of_text(&fs::read_to_string(text).unwrap());
    }
    let module = built().join(format!("{}.wasm", name.replace('-', "_")));
    encoded(&fs::read(&module).unwrap_or_else(|error| panic!("read {}: {error}", module.display())))
}

/// A component of the world `handler` from the text of a core module.
pub(crate) fn component_of_text(text: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_path(root().join("wit")).unwrap();
    component_of(
        resolve,
        "package test:guest; world w { include gristmill:plugin/handler@0.1.0; }",
        text,
    )
}

/// The same, with the imports of another package, given as WIT.
pub(crate) fn component_with(package: &str, imports: &str, text: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_path(root().join("wit")).unwrap();
    resolve.push_str("other.wit", package).unwrap();
    let world = format!(
        "package test:guest; world w {{ include gristmill:plugin/handler@0.1.0; {imports} }}"
    );
    component_of(resolve, &world, text)
}

/// A component of the world `w` of another contract, given as WIT.
pub(crate) fn component_of_wit(wit: &str, text: &str) -> Vec<u8> {
    component_of(Resolve::default(), wit, text)
}

fn component_of(mut resolve: Resolve, wit: &str, text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    encoded(&module)
}

/// Names of all guests: the folders of `plugins/hostile`.
pub(crate) fn names() -> Vec<String> {
    let entries = fs::read_dir(hostile()).unwrap().map(Result::unwrap);
    let guests = entries.filter(|entry| {
        let path = entry.path();
        path.join("Cargo.toml").exists() || path.join("guest.wat").exists()
    });
    let mut names: Vec<String> =
        guests.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Where build products go.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn encoded(module: &[u8]) -> Vec<u8> {
    ComponentEncoder::default().module(module).unwrap().validate(true).encode().unwrap()
}

/// Directory of the built core modules.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = target().join("guests");
        let mut cargo = cargo();
        cargo.args(["build", "--release", "--locked", "--target", TARGET, "--manifest-path"]);
        cargo.arg(hostile().join("Cargo.toml")).env("CARGO_TARGET_DIR", &target);
        let built = cargo.output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        target.join(TARGET).join("release")
    })
}

/// The cargo that can build for the target: the toolchain's own where it has the target's
/// standard library, else the distribution's, which builds that library from source.
fn cargo() -> Command {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = Command::new(rustc).args(["--print", "sysroot"]).output().unwrap();
    let sysroot = PathBuf::from(String::from_utf8(printed.stdout).unwrap().trim());
    if sysroot.join("lib/rustlib").join(TARGET).exists() {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.env_remove("RUSTFLAGS");
        return cargo;
    }
    let mut cargo = Command::new("/usr/bin/cargo");
    cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
    let path = env::var("PATH").unwrap_or_default();
    cargo.env("PATH", format!("/usr/bin:{path}"));
    for name in ["RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        cargo.env_remove(name);
    }
    if let Some(linker) = linker(&sysroot) {
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
    cargo
}

fn linker(sysroot: &Path) -> Option<PathBuf> {
    let hosts = fs::read_dir(sysroot.join("lib/rustlib")).ok()?;
    hosts.flatten().map(|host| host.path().join("bin/rust-lld")).find(|linker| linker.exists())
}

fn hostile() -> PathBuf {
    root().join("plugins/hostile")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
