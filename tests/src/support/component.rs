//! Finds the guests that `make guests` built, and makes components that differ and do the same.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

/// Root of the checkout.
pub fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// The component of a guest: of `$GUESTS`, else of `target/guests`.
///
/// # Errors
///
/// When it was not built.
pub fn guest(name: &str) -> Result<Vec<u8>> {
    let folder = env::var_os("GUESTS").map_or_else(|| root().join("target/guests"), PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    fs::read(&path).with_context(|| format!("read {}; `make guests` builds it", path.display()))
}

/// The host's binary: `$GRISTMILL`, else that of `profile` in `target`.
pub fn binary(profile: &str) -> PathBuf {
    env::var_os("GRISTMILL")
        .map_or_else(|| root().join("target").join(profile).join("gristmill"), PathBuf::from)
}

/// The same component with a custom section that says `word`: another digest, the same program.
///
/// # Panics
///
/// When `word` is longer than 100 bytes: its length must fit in one byte.
pub fn marked(component: &[u8], word: &str) -> Vec<u8> {
    const NAME: &str = "variant";
    assert!(word.len() <= 100, "the section's length is written as one byte");
    let short = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
    let mut marked = component.to_vec();
    // Section 0, its length, then the length of its name, the name and anything (source:
    // WebAssembly core specification 2.0, section 5.5.3).
    marked.extend([0, short(1 + NAME.len() + word.len()), short(NAME.len())]);
    marked.extend(NAME.bytes().chain(word.bytes()));
    marked
}
