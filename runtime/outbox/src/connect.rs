//! Owns how a database is reached: it opens sessions, and hears notifications. It asks for no
//! rows.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio_postgres::{AsyncMessage, Config, Connection, Socket};

use crate::error::Error;
use crate::session::Session;
use crate::settings::{self, Settings};
use crate::statements::Statements;
use crate::tls::{Encrypted, Tls};

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Longest wait for an answer. A database that is silent for so long is taken for gone.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Time after which a connection that says nothing is asked whether it still is one.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How each session works: it ends soon where the host has vanished; times without a zone are UTC,
/// as whoever keeps such means them; what is said to be done is on disk. A plan is made for what
/// is asked, and goes along the order of rows: the planner cannot know how many are of a shard, and
/// by itself sorts all that wait for each claim (measured with 100,000 of them: 220 ms, and so 2).
const SETTING_UP: &str = "SET TIME ZONE 'UTC'; SET client_min_messages = warning; \
    SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
    SET plan_cache_mode = force_custom_plan; SET jit = off; SET enable_sort = off; \
    SET enable_nestloop = off; \
    SELECT set_config('synchronous_commit', 'on', false) \
    WHERE current_setting('synchronous_commit') = 'off'";

/// A database with a table in it. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    settings: Arc<Settings>,
    config: Arc<Config>,
    news: Arc<Notify>,
}

impl Database {
    /// Takes the settings, and connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::Parameters`].
    pub fn open(settings: Settings) -> Result<Self, Error> {
        let mut config = settings::config(&settings.database)?;
        if config.get_application_name().is_none() {
            config.application_name("gristmill outbox");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_MAX);
        }
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).keepalives_retries(2);
        let (settings, config) = (Arc::new(settings), Arc::new(config));
        Ok(Self { settings, config, news: Arc::new(Notify::new()) })
    }

    /// Connects, and looks at the table.
    ///
    /// # Errors
    ///
    /// [`Error::Away`], [`Error::Refused`], [`Error::Table`].
    pub async fn session(&self) -> Result<Session, Error> {
        let doing = format!("connect to the database of table {:?}", self.settings.table);
        let connecting = self.config.connect(Tls);
        let (client, connection) =
            within(CONNECT_MAX.saturating_mul(2), &doing, connecting).await?;
        tokio::spawn(drive(connection, Arc::clone(&self.news)));
        answer(&doing, client.batch_execute(SETTING_UP)).await?;
        let statements = Statements::of(&client, &self.settings).await?;
        Ok(Session::new(client, Arc::clone(&self.settings), statements))
    }

    /// Ends when there may be news: the database told of new rows, or somebody called
    /// [`Database::tell`].
    pub fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// Lets everybody who waits look.
    pub fn tell(&self) {
        self.news.notify_waiters();
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Database").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Serves a connection until it ends, and hears what the database tells unasked.
async fn drive(mut connection: Connection<Socket, Encrypted>, news: Arc<Notify>) {
    // How it ended is told to whoever waits for an answer.
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notification(_) = message {
            news.notify_waiters();
        }
    }
}

/// What the database answers while `doing` something.
pub(crate) async fn answer<T>(
    doing: &str,
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    within(ANSWER_MAX, doing, asked).await
}

async fn within<T>(
    longest: Duration,
    doing: &str,
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(longest, asked).await {
        Ok(answered) => answered.map_err(|error| Error::of(doing, &error)),
        Err(_elapsed) => Err(Error::silent(doing)),
    }
}

/// A name as SQL has it, in its own letters.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
