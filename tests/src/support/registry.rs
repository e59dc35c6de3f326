//! A schema registry of its own for a test: Apicurio, which speaks the Confluent API, as `make
//! registry` fetched it. Its schemas are in its memory and end with it.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::client::Client;
use super::server::Server;
use super::{component, wait};

/// A registry that has not started by then does not do so at all.
const PATIENCE: Duration = Duration::from_mins(2);
/// Where the Confluent API begins.
const API: &str = "/apis/ccompat/v7";

/// A running registry; ended when dropped.
#[derive(Debug)]
pub struct Registry {
    server: Server,
    client: Client,
}

impl Registry {
    /// Starts one, and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it is not there or does not start; with the end of its log.
    pub fn start() -> Result<Self> {
        Self::start_on(free_port()?)
    }

    /// The same on a port that was free.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn start_on(port: u16) -> Result<Self> {
        let installed = installed()?;
        let jar = fs::read_dir(&installed)?.filter_map(Result::ok).map(|entry| entry.path());
        let jar = jar.into_iter().find(|path| path.to_string_lossy().ends_with("-runner.jar"));
        let jar = jar.with_context(|| format!("no runner in {}", installed.display()))?;
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("java");
        command
            .args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args([format!("-Dquarkus.http.port={port}"), "-Dquarkus.http.host=127.0.0.1".into()])
            .arg("-jar")
            .arg(jar);
        let server = Server::start(&mut command, folder).context("`make setup` installs java")?;
        let client = Client::new(&format!("127.0.0.1:{port}"));
        let registry = Self { server, client };
        let path = format!("{API}/subjects");
        let answers = wait::until(PATIENCE, || Ok(registry.client.get(&path).ok()))?;
        answers.with_context(|| {
            format!("the registry does not answer:\n{}", registry.server.tail())
        })?;
        Ok(registry)
    }

    /// Address of its API.
    pub fn url(&self) -> String {
        format!("{}{API}", self.client.url())
    }

    /// Address of the API of one on that port.
    pub fn url_on(port: u16) -> String {
        format!("http://127.0.0.1:{port}{API}")
    }

    /// Adds a schema to a subject; its id.
    ///
    /// # Errors
    ///
    /// When the registry refuses it.
    pub fn register(&self, subject: &str, kind: &str, schema: &str) -> Result<u32> {
        let body = json!({ "schema": schema, "schemaType": kind });
        let path = format!("{API}/subjects/{subject}/versions");
        let told: Value = self.client.send(&path, &body)?;
        let id = told["id"].as_u64().with_context(|| format!("no id: {told}"))?;
        u32::try_from(id).context("an id of 32 bits")
    }

    /// Ends it: its port answers nobody any more.
    ///
    /// # Errors
    ///
    /// When it cannot be ended.
    pub fn kill(self) -> Result<()> {
        self.server.kill()
    }
}

/// A port that nobody listens on now.
///
/// # Errors
///
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?.local_addr()?.port())
}

/// Where `make registry` put it: `$REGISTRY`, else `target/registry`.
fn installed() -> Result<PathBuf> {
    let default = || component::root().join("target/registry");
    let installed = std::env::var_os("REGISTRY").map_or_else(default, PathBuf::from);
    if !installed.join("pom.xml").is_file() {
        bail!("no registry in {}; `make registry` fetches it", installed.display());
    }
    Ok(installed)
}
