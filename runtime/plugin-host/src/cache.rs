//! Owns compiled code on disk. It never runs it, and never trusts a file it cannot verify.
//!
//! A file is named by the component's digest, the engine's settings and the digest of its own
//! content: `<digest>-<settings>-<sum>.cwasm`. One rename makes it appear whole, and its name says
//! what it must contain. See `docs/adr/2026-11-21-plugin-host-compiled-code-cache.md` for what is
//! trusted.

use std::{
    fs::{self, File, OpenOptions},
    hash::{Hash, Hasher},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use sha2::{Digest, Sha256};
use wasmtime::{Engine, component::Component};

use crate::Source;

/// Bits of a file's mode that let others than its owner write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The directory of compiled code.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    /// Sixteen hexadecimal digits: another engine version or setting has others.
    settings: String,
}

impl Cache {
    /// Opens `dir`, making it where it is missing, and checks who may write to it.
    pub(crate) fn open(dir: &Path, engine: &Engine) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        check_owner(&fs::metadata(dir)?)?;
        let mut settings = SettingsHasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut settings);
        Ok(Self { dir: dir.to_owned(), settings: format!("{:016x}", settings.finish()) })
    }

    /// The compiled component, where a verified file has it. A file that does not hold what its
    /// name says is deleted and reported.
    pub(crate) fn read(&self, digest: &str, engine: &Engine) -> Option<Component> {
        let prefix = self.prefix(digest);
        let entries = fs::read_dir(&self.dir).ok()?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        for name in names.filter(|name| name.starts_with(&prefix)) {
            let path = self.dir.join(&name);
            let sum = name.get(prefix.len()..).and_then(|rest| rest.strip_suffix(".cwasm"));
            match sum.map(|sum| load(&path, sum, engine)) {
                Some(Ok(component)) => return Some(component),
                Some(Err(error)) => {
                    tracing::warn!(path = %path.display(), error, "compiled code discarded");
                    if let Err(error) = fs::remove_file(&path) {
                        tracing::warn!(path = %path.display(), %error, "compiled code not deleted");
                    }
                }
                // Another process is writing it.
                None => {}
            }
        }
        None
    }

    /// Keeps `compiled` for the next start. A failure is reported and costs only time.
    pub(crate) fn write(&self, digest: &str, compiled: &[u8]) {
        let sum = hex(&Sha256::digest(compiled));
        let name = format!("{}{sum}", self.prefix(digest));
        if let Err(error) = self.write_file(&name, compiled) {
            tracing::warn!(dir = %self.dir.display(), %error, "compiled code not kept");
        }
    }

    fn write_file(&self, name: &str, compiled: &[u8]) -> io::Result<()> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.dir.join(format!("{name}.{}-{number}.part", process::id()));
        let written = (|| {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&unfinished)?;
            file.write_all(compiled)?;
            file.sync_all()?;
            fs::rename(&unfinished, self.dir.join(format!("{name}.cwasm")))
        })();
        if written.is_err() {
            // The first error is the one to report; the rest of the file is harmless.
            drop(fs::remove_file(&unfinished));
        }
        written
    }

    fn prefix(&self, digest: &str) -> String {
        format!("{digest}-{}-", self.settings)
    }
}

/// Verifies the content of `path` against `sum` and gives it to the engine.
fn load(path: &Path, sum: &str, engine: &Engine) -> Result<Component, Source> {
    let mut file = File::open(path)?;
    check_owner(&file.metadata()?)?;
    let mut content = Sha256::new();
    io::copy(&mut file, &mut content)?;
    if hex(&content.finalize()) != sum {
        return Err("the content is not what the name says".into());
    }
    deserialize(engine, path)
}

/// Maps a verified file as code: what is not executed stays out of memory.
#[expect(unsafe_code, reason = "the engine cannot check that its own output was not forged")]
fn deserialize(engine: &Engine, verified: &Path) -> Result<Component, Source> {
    // SAFETY: the file has the SHA-256 that its writer, this crate, put into its name; it and its
    // directory belong to this process's user and are writable by no other, and this crate never
    // changes a file once it has its name: it is what `precompile_component` returned, unless
    // that user itself forged it.
    let component = unsafe { Component::deserialize_file(engine, verified) };
    component.map_err(Into::into)
}

/// Refuses what another user than this process's may have written.
fn check_owner(metadata: &fs::Metadata) -> io::Result<()> {
    let owner = metadata.uid();
    let user = rustix::process::geteuid().as_raw();
    if owner != user {
        let what = format!("it belongs to user {owner}, not to user {user}");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        let what = format!("others may write to it (mode {mode:o}); set it to 0700");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Ok(())
}

/// SHA-256 of a component's bytes, as a plugin's digest.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('0', char::from);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Hashes the engine's settings the same way in every process, as the standard hasher does not.
struct SettingsHasher(Sha256);

impl Hasher for SettingsHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.clone().finalize().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}
