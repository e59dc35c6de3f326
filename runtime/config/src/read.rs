//! Reads documents and secrets from files: the only I/O of this crate. It checks nothing but that
//! the file can be read, is text and is not absurdly large.

use std::{fs::File, io::Read, path::Path};

use crate::{Place, Problem, Secret, Severity, problem::code};

/// Largest document or secret read, in bytes. A larger file is the wrong file.
pub const BYTES_MAX: u64 = 4 * 1_048_576;

/// Reads a document's text.
///
/// # Errors
///
/// A problem E0124 when the file is missing, unreadable, not UTF-8 or larger than [`BYTES_MAX`].
pub fn document(path: &Path) -> Result<String, Problem> {
    text(path).map_err(|why| unreadable(path, "document", &why))
}

/// The secret's text. One line end at the end of a file is not part of it.
///
/// # Errors
///
/// A problem E0124, naming the secret's file, in the same cases as [`document`]. It never shows
/// the secret.
pub fn secret(secret: &Secret) -> Result<String, Problem> {
    match secret {
        Secret::Text(text) => Ok(text.clone()),
        Secret::File(path) => {
            let text = text(path).map_err(|why| unreadable(path, "secret", &why))?;
            let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
            Ok(line.unwrap_or(&text).to_owned())
        }
    }
}

fn unreadable(path: &Path, what: &str, why: &str) -> Problem {
    Problem {
        file: path.display().to_string(),
        line: Place::START.line,
        column: Place::START.column,
        code: code::UNREADABLE,
        severity: Severity::Error,
        reason: format!("read {what}: {why}"),
        instead: None,
    }
}

fn text(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let mut limited = file.take(BYTES_MAX + 1);
    limited.read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > BYTES_MAX {
        return Err(format!("it is larger than {BYTES_MAX} bytes"));
    }
    Ok(text)
}
