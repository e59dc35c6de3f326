//! Owns commands between being sent and being answered: who handles each, who waits, and what came
//! of it. A command is an event like any other: it is published by whoever takes it in, and its
//! answer is what its subscription made durable about it.

mod desk;
mod follow;
mod kept;
mod outcome;

use std::sync::Arc;

use bytestring::ByteString;
use gristmill_config::CommandConfig;
use gristmill_engine::Bytes as Size;
use gristmill_store::{ReadLimit, Topic};
use tokio::sync::watch;
use uuid::Uuid;

use self::desk::Desk;
pub(crate) use self::desk::{Full, Waiting};
use self::follow::Follower;
pub(crate) use self::outcome::Outcome;
use crate::binding::{Binding, Role};
use crate::broker;
use crate::host::Host;
use crate::plugins::Refusal;

/// Namespace of the ids of commands that their sender named. Changing it would have a repeated
/// command handled twice.
const NAMESPACE: Uuid = Uuid::from_u128(0x7e0f_5d1c_3a44_4c5b_8f0e_5b1d_61c2_90aa);
/// Beginning of the second part of such an id.
const NAMED: &str = "key-";

/// Id of a command: `NAME/UUID`, and `NAME/key-UUID` where its sender named it, the same every
/// time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandId(String);

impl CommandId {
    /// A new one, or the one of that idempotency key.
    pub(crate) fn new(name: &str, key: Option<&str>) -> Self {
        let Some(key) = key else { return Self(format!("{name}/{}", Uuid::new_v4())) };
        // No name of a command has a slash in it, so no two pairs spell the same.
        let uuid = Uuid::new_v5(&NAMESPACE, format!("{name}/{key}").as_bytes());
        Self(format!("{name}/{NAMED}{uuid}"))
    }

    /// The id that `text` is, if it is a command's.
    fn read(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once('/')?;
        Uuid::try_parse(rest.strip_prefix(NAMED).unwrap_or(rest)).ok()?;
        Some(Self(text.to_owned()))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Name of the command.
    fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(name, _)| name)
    }

    /// What chooses its partition without a key, where its sender named it.
    pub(crate) fn spread(&self) -> Option<u64> {
        let (_, low) = Uuid::from_u128(self.number()?).as_u64_pair();
        Some(low)
    }

    /// What it is remembered by, where its sender named it.
    fn number(&self) -> Option<u128> {
        let (_, rest) = self.0.split_once('/')?;
        Uuid::try_parse(rest.strip_prefix(NAMED)?).ok().map(|uuid| uuid.as_u128())
    }
}

/// Where a command goes, and where it is answered.
#[derive(Debug)]
pub(crate) struct Route {
    /// What the operator says of it.
    pub(crate) config: CommandConfig,
    /// Where it is published.
    pub(crate) topic: Topic,
    /// Who handles it.
    pub(crate) binding: Arc<Binding>,
    /// Why that does not handle anything now, if it does not.
    pub(crate) paused: Option<&'static str>,
    /// Topics in which an answer may come.
    answers: Vec<Topic>,
}

/// Why a command cannot be sent now.
#[derive(Debug)]
pub(crate) enum Unroutable {
    /// No command has this name.
    Unknown(Refusal),
    /// What it needs is not there yet, or is not as it must be.
    NotReady(String),
}

/// All commands of a host.
#[derive(Debug)]
pub(crate) struct Commands {
    host: Host,
    desk: Arc<Desk>,
    follower: Follower,
}

impl Commands {
    /// Begins to follow the topics of replies, if there are any.
    pub(crate) fn start(host: &Host, stopping: watch::Receiver<bool>) -> Arc<Self> {
        let desk = Arc::new(Desk::new(Arc::clone(host.shared())));
        let follower = Follower::start(host, &desk, stopping);
        let commands = Arc::new(Self { host: host.clone(), desk, follower });
        let early = Arc::clone(&commands);
        tokio::spawn(async move {
            for command in early.host.shared().config.commands.named.values() {
                let Some(topic) = early.host.broker().topic(&command.reply) else { continue };
                if let Err(error) = early.follower.follow(&topic).await {
                    tracing::debug!(code = error.code(), %error, "follow replies early");
                }
            }
        });
        commands
    }

    /// Where a command goes.
    pub(crate) fn route(&self, name: &str) -> Result<Route, Unroutable> {
        let named = &self.host.shared().config.commands.named;
        let config = named.get(name).cloned().ok_or_else(|| {
            let known = named.keys().cloned().collect();
            Unroutable::Unknown(Refusal::Unknown { kind: "command", name: name.to_owned(), known })
        })?;
        let handler = &config.subscription;
        let status = self.host.subscription(handler).map_err(|_unknown| {
            Unroutable::NotReady(format!(
                "subscription {handler:?}, which handles it, is not there"
            ))
        })?;
        let find = |name: &str| {
            let found = self.host.broker().topic(name);
            found.ok_or_else(|| Unroutable::NotReady(format!("topic {name:?} is not there")))
        };
        let (topic, reply) = (find(&config.topic)?, find(&config.reply)?);
        let binding = status.binding;
        let mut sources = binding.sources.iter();
        let source = sources.find(|it| it.role == Role::Given && it.name == topic.name);
        let source = source.ok_or_else(|| {
            let reason =
                format!("subscription {handler:?} does not read {:?}, where it goes", topic.name);
            Unroutable::NotReady(reason)
        })?;
        let aside = [source.dead_letters, binding.fallback].into_iter().flatten();
        let aside = aside.filter_map(|it| self.host.broker().topic_by_id(it.topic));
        let answers = std::iter::once(reply).chain(aside).collect();
        Ok(Route { config, topic, binding, paused: status.paused, answers })
    }

    /// Hears of every answer from now on. With `is_named` it also waits until earlier answers are
    /// known.
    ///
    /// # Errors
    ///
    /// The broker's.
    pub(crate) async fn follow(&self, route: &Route, is_named: bool) -> Result<(), broker::Error> {
        for topic in &route.answers {
            loop {
                let mut looked = self.follower.follow(topic).await?;
                // What could not look back is followed anew.
                if !is_named || looked.wait_for(|done| *done).await.is_ok() {
                    break;
                }
                tokio::time::sleep(follow::REFUSED_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Has somebody wait for the answer to a command that is about to be published.
    pub(crate) fn wait(&self, id: &CommandId) -> Result<Waiting, Full> {
        self.desk.wait(id)
    }

    /// What came of a command that was sent before, as far as that is remembered.
    ///
    /// # Errors
    ///
    /// The broker's.
    pub(crate) fn known(&self, id: &CommandId) -> Result<Option<Arc<Outcome>>, broker::Error> {
        let Some(place) = id.number().and_then(|number| self.desk.find(number)) else {
            return Ok(None);
        };
        let Some(topic) = self.host.broker().topic_by_id(place.topic) else { return Ok(None) };
        let limit = ReadLimit { events: 1, bytes: Size(0) };
        let read = self.host.broker().read(place.topic, place.partition, place.offset, limit)?;
        let found = read.first().filter(|stored| stored.offset == place.offset);
        Ok(found.and_then(|stored| {
            let (of, said) = self.desk.understand(&topic.name, stored)?;
            said.outcome(stored).filter(|_| of == *id).map(Arc::new)
        }))
    }

    /// `ce_source` of every command.
    pub(crate) fn source(&self) -> ByteString {
        format!("/{}/commands", self.host.shared().config.name).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_unless_its_sender_named_it() {
        let (one, other) = (CommandId::new("pay", None), CommandId::new("pay", None));
        assert_ne!(one, other);
        assert_eq!((one.name(), one.number()), ("pay", None));
        let named = CommandId::new("pay", Some("k"));
        assert_eq!(named, CommandId::new("pay", Some("k")));
        assert_eq!(CommandId::read(named.text()), Some(named.clone()));
        assert!(named.number().is_some());
        for (name, key) in [("pay", "l"), ("pays", "k")] {
            assert_ne!(CommandId::new(name, Some(key)).number(), named.number(), "{name} {key}");
        }
        for text in ["", "pay", "pay/", "pay/1", "orders/0/17", "pay/key-"] {
            assert_eq!(CommandId::read(text), None, "{text}");
        }
    }
}
