//! Serves the pages of an example to browsers, as its README does.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use super::component::root;

/// A folder of `examples/`, served. Killed when dropped.
#[derive(Debug)]
pub struct Pages {
    process: Child,
    /// Where it is served.
    pub address: String,
}

impl Pages {
    /// Serves the example of that name.
    ///
    /// # Errors
    ///
    /// When python3 does not start.
    pub fn of(example: &str) -> Result<Self> {
        let mut process = Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"])
            .current_dir(root().join("examples").join(example))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start python3")?;
        let mut said = String::new();
        let told = process.stdout.take().context("a pipe")?;
        BufReader::new(told).read_line(&mut said)?;
        let port = said.split(" port ").nth(1).and_then(|it| it.split(' ').next());
        let address = format!("http://127.0.0.1:{}", port.with_context(|| said.clone())?);
        Ok(Self { process, address })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
