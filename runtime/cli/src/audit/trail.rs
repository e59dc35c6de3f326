//! Reads the entries of a trail, from its topic or from a file that was exported.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use super::entry::Entry;
use crate::look::Look;
use crate::problem::Problem;
use crate::remote::Client;

/// Where a trail is.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Topic of the trail
    #[arg(required_unless_present = "file")]
    pub(super) topic: Option<String>,
    /// Reads it from an exported file instead; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "topic")]
    pub(super) file: Option<PathBuf>,
}

impl Place {
    /// Gives every entry to `take`, with its text; entries of a chain in their order.
    pub(super) fn each(
        &self,
        client: &Client,
        mut take: impl FnMut(&str, Entry) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut read = |text: &str, of: &dyn Fn() -> String| {
            let entry = serde_json::from_str(text).map_err(|error| {
                Problem::failed("E0590", format!("{} is no entry of a trail", of())).source(error)
            })?;
            take(text, entry)
        };
        let Some(topic) = &self.topic else {
            return self.lines(|number, line| read(line, &|| format!("line {number}")));
        };
        Look::new(client, std::slice::from_ref(topic), "earliest")?.each(|event| {
            let place = || format!("{}:{}:{}", event.topic(), event.partition(), event.offset());
            read(event.payload_json().unwrap_or_default(), &place)
        })
    }

    fn lines(
        &self,
        mut take: impl FnMut(usize, &str) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let path = self.file.clone().unwrap_or_else(|| "-".into());
        let failed = |error: io::Error| {
            Problem::environment("E0562", format!("read {}", path.display())).source(error)
        };
        let reader: Box<dyn BufRead> = if path.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            Box::new(BufReader::new(File::open(&path).map_err(failed)?))
        };
        for (number, line) in (1..).zip(reader.lines()) {
            let line = line.map_err(failed)?;
            if !line.trim().is_empty() {
                take(number, &line)?;
            }
        }
        Ok(())
    }
}
