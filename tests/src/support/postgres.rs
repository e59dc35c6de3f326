//! A PostgreSQL of its own for a test, in a folder of its own: started, stopped as if it had
//! crashed, started again. It knows no table.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

use super::registry::free_port;
use super::{process, wait};

/// A server that has not started by then does not do so at all.
const PATIENCE: Duration = Duration::from_mins(1);
/// User of the machine that runs it where the tests run as root, which it refuses.
const NOBODY: u32 = 65_534;

/// Whether what is committed must outlast the machine, as it does for everybody but tests: a
/// process that crashes loses nothing either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// It outlasts processes.
    Process,
    /// It outlasts the machine.
    Machine,
}

/// A server; ended when dropped.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    port: u16,
    safety: Safety,
    running: Option<Child>,
}

/// A connection, for a test that waits.
#[derive(Debug)]
pub struct Database {
    runtime: Runtime,
    client: Client,
}

impl Postgres {
    /// Makes a server, and starts it.
    ///
    /// # Errors
    ///
    /// When it is not installed or does not start; with the end of its log.
    pub fn start(safety: Safety) -> Result<Self> {
        let mut postgres = Self::new(safety)?;
        postgres.resume()?;
        Ok(postgres)
    }

    /// Makes a server that does not run yet.
    ///
    /// # Errors
    ///
    /// When it is not installed.
    pub fn new(safety: Safety) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("postgres-").tempdir()?;
        if is_root()? {
            chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
        }
        let postgres = Self { folder, port: free_port()?, safety, running: None };
        let made = postgres
            .command("initdb")?
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync", "-D"])
            .arg(postgres.data())
            .output()
            .context("start initdb")?;
        let told = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "initdb makes no database: {told}");
        Ok(postgres)
    }

    /// Starts it where it does not run, and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it does not start; with the end of its log.
    pub fn resume(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = self.command("postgres")?;
        command.arg("-D").arg(self.data()).args(["-c", "unix_socket_directories="]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={}", self.port)]);
        if self.safety == Safety::Process {
            command.args(["-c", "fsync=off"]);
        }
        let child =
            command.stdout(log.try_clone()?).stderr(log).spawn().context("start postgres")?;
        self.running = Some(child);
        let answers = wait::until(PATIENCE, || {
            let ended = self.running.as_mut().map(Child::try_wait).transpose()?.flatten();
            if let Some(status) = ended {
                bail!("postgres ended, {status}:\n{}", self.tail());
            }
            Ok(self.connect().ok())
        })?;
        answers.map(drop).with_context(|| format!("postgres does not answer:\n{}", self.tail()))
    }

    /// Stops it at once, as a crash would: what was not committed is gone.
    ///
    /// # Errors
    ///
    /// When it does not run, or does not end.
    pub fn crash(&mut self) -> Result<()> {
        let mut child = self.running.take().context("postgres does not run")?;
        process::signal(child.id(), "QUIT")?;
        child.wait()?;
        Ok(())
    }

    /// Where it is, for [`Postgres::connect_to`].
    pub fn address(&self) -> String {
        self.address_of("postgres")
    }

    /// Where a database of it is.
    pub fn address_of(&self, database: &str) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname={database}", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn connect(&self) -> Result<Database> {
        Self::connect_to(&self.address())
    }

    /// Connects to the server at an address.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn connect_to(address: &str) -> Result<Database> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(address, NoTls).await?;
            // Its end is told to whoever asks something.
            tokio::spawn(connection);
            anyhow::Ok(client)
        })?;
        Ok(Database { runtime, client })
    }

    /// Parameters of the database, as `[outbox.NAME]` takes them.
    pub fn parameters(&self) -> String {
        let port = self.port;
        format!(
            "database = {{ host = \"127.0.0.1\", port = \"{port}\", dbname = \"postgres\", \
             user = \"postgres\", sslmode = \"disable\" }}"
        )
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        process::tail(&self.log(), 30)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// One of its programs, run by somebody who is not root.
    fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(installed()?.join(program));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        if is_root()? {
            command.uid(NOBODY).gid(NOBODY);
        }
        Ok(command)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.running.is_some() {
            // One that has ended already cannot be ended again.
            drop(self.crash());
        }
    }
}

impl Database {
    /// Runs statements.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub fn run(&self, statements: &str) -> Result<()> {
        let ran = self.runtime.block_on(self.client.batch_execute(statements));
        ran.with_context(|| statements.to_owned())
    }

    /// Rows that a question is answered with.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub fn rows(&self, question: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let asked = self.runtime.block_on(self.client.query(question, values));
        asked.with_context(|| question.to_owned())
    }

    /// The number that a question is answered with.
    ///
    /// # Errors
    ///
    /// What the database says, or that it is no number.
    pub fn number(&self, question: &str) -> Result<i64> {
        let rows = self.rows(question, &[])?;
        Ok(rows.first().context("no row")?.try_get(0)?)
    }
}

fn is_root() -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata("/proc/self").context("look at this process")?.uid() == 0)
}

/// Folder of its programs: those on the path, else Debian's, of which the newest.
fn installed() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(|it| it.join("initdb").is_file());
    if let Some(folder) = on_path {
        return Ok(folder);
    }
    let versions = fs::read_dir(Path::new("/usr/lib/postgresql"));
    let folders = versions.into_iter().flatten().filter_map(Result::ok);
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.path().join("bin")).collect();
    folders.retain(|folder| folder.join("initdb").is_file());
    folders.sort();
    folders.pop().context("no PostgreSQL on this machine; `make setup` installs one")
}
