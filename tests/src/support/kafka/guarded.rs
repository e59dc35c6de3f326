//! Owns a broker that does not let everybody in: one door wants a password, another a certificate,
//! and nobody may do anything who was not given the right to. Tests themselves have a third door
//! where nobody is asked, so that what they see does not depend on what they test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context, Result};
use serde_json::json;
use tempfile::TempDir;

use super::Cluster;
use super::broker::{Doors, Purpose};
use super::witness::Ground;
use crate::support::certificates::Authority;

/// A guarded broker. Tests that run at the same time share it; it ends with the last of them.
#[derive(Debug)]
pub struct Guarded {
    ground: Ground,
    doors: Doors,
    authority: Authority,
    files: TempDir,
}

/// What somebody may do with something.
#[derive(Debug, Clone)]
pub struct Right {
    /// `TOPIC`, `GROUP`, `TRANSACTIONAL_ID` or `CLUSTER`.
    pub kind: &'static str,
    /// Its name; how names begin if it ends in `*`.
    pub name: String,
    /// Kafka's names of operations, such as `READ`.
    pub operations: &'static [&'static str],
}

impl Guarded {
    /// The broker that tests share, started if it does not run.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Mutex<Weak<Guarded>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guarded) = shared.upgrade() {
            return Ok(guarded);
        }
        let guarded = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&guarded);
        Ok(guarded)
    }

    fn start() -> Result<Self> {
        let files = tempfile::Builder::new().prefix("gristmill-certificates-").tempdir()?;
        let authority = Authority::new("Gristmill tests")?;
        let broker = authority.issue("broker")?;
        let path = |name: &str| files.path().join(name).display().to_string();
        let (own, trusted) = (path("broker.pem"), path("authority.pem"));
        fs::write(&own, broker.key + &broker.certificate)?;
        fs::write(&trusted, authority.pem()?)?;
        let settings = [
            ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
            // The tests' own door, the brokers' and the controllers'.
            ("super.users", "User:ANONYMOUS"),
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", &own),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", &trusted),
            ("sasl.enabled.mechanisms", "SCRAM-SHA-512"),
            (
                "listener.name.passwords.scram-sha-512.sasl.jaas.config",
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            ),
            ("listener.name.certificates.ssl.client.auth", "required"),
        ];
        let cluster = Cluster::start_for((Purpose::Guarded, &settings), 1)?;
        let doors = cluster.doors().context("its broker asks nobody")?;
        Ok(Self { ground: Ground::of(cluster)?, doors, authority, files })
    }

    /// What there is to know of it, without being asked who asks.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Where passwords are asked for, by SCRAM-SHA-512 over TLS.
    pub fn passwords(&self) -> String {
        format!("127.0.0.1:{}", self.doors.passwords)
    }

    /// Where certificates are asked for.
    pub fn certificates(&self) -> String {
        format!("127.0.0.1:{}", self.doors.certificates)
    }

    /// The certificate of the authority that vouches for the broker.
    pub fn authority(&self) -> PathBuf {
        self.files.path().join("authority.pem")
    }

    /// Writes a certificate of `User:CN=name` and its key into a folder: `host.pem`, `host.key`.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub fn issue(&self, name: &str, folder: &Path) -> Result<()> {
        let issued = self.authority.issue(name)?;
        fs::write(folder.join("host.pem"), issued.certificate)?;
        Ok(fs::write(folder.join("host.key"), issued.key)?)
    }

    /// Lets somebody in who has this password, or another one from now on.
    ///
    /// # Errors
    ///
    /// When the cluster refuses.
    pub fn admit(&self, user: &str, password: &str) -> Result<()> {
        self.ground.ask(&json!({"ask": "admit", "user": user, "password": password})).map(drop)
    }

    /// Gives a user rights, beside those it has.
    ///
    /// # Errors
    ///
    /// When the cluster refuses.
    pub fn allow(&self, user: &str, rights: &[Right]) -> Result<()> {
        let right = |Right { kind, name, operations }: &Right| {
            let (begin, pattern) = match name.strip_suffix('*') {
                Some(begin) => (begin, "PREFIXED"),
                None => (&**name, "LITERAL"),
            };
            json!({"kind": kind, "name": begin, "pattern": pattern, "operations": operations})
        };
        let rights: Vec<_> = rights.iter().map(right).collect();
        self.ground.ask(&json!({"ask": "allow", "user": user, "rights": rights})).map(drop)
    }

    /// What the broker denied a user, as its log says it.
    ///
    /// # Errors
    ///
    /// When there is no log.
    pub fn denied(&self, user: &str) -> Result<Vec<String>> {
        let log = self.ground.cluster().folder().join("broker-1/broker.log");
        let log = fs::read_to_string(log).context("read the broker's log")?;
        let of_user = format!("Principal = User:{user} is Denied");
        Ok(log.lines().filter(|line| line.contains(&of_user)).map(str::to_owned).collect())
    }
}
