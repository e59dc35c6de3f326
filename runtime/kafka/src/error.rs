//! Owns every error of Kafka an operator can see, its code and its advice. It decides which of
//! the hundred codes of the protocol ask the caller for the same thing, and recovers from none.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Why Kafka did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No client can be made of the properties together: a key file is missing, two contradict.
    #[error("create Kafka client: {reason}")]
    Client {
        /// What the client library said; it names the property.
        reason: String,
    },
    /// A property is unknown, has an impossible value, or is one that Gristmill sets itself.
    #[error("set Kafka property \"{name}\": {reason}")]
    Property {
        /// The property.
        name: String,
        /// What is wrong with it. Never its value, which may be a secret.
        reason: String,
    },
    /// No broker answered in time, or the one that must is not ready. It passes.
    #[error("{doing}")]
    Unavailable {
        /// What was being done.
        doing: String,
        /// What the broker or the connection said.
        #[source]
        source: Cause,
    },
    /// A broker does not believe who this is, or this does not believe who the broker is. It
    /// passes when somebody corrects it, which may be done there as well as here.
    #[error("authenticate with Kafka")]
    Authentication {
        /// What was said.
        #[source]
        source: Cause,
    },
    /// This user may not do that.
    #[error("{doing}: no right to {resource}")]
    Unauthorised {
        /// What was being done.
        doing: String,
        /// The kind and name of what is protected: `topic "orders"`.
        resource: String,
    },
    /// There is no topic of this name, or it is being deleted.
    #[error("find topic \"{topic}\"")]
    TopicUnknown {
        /// Its name.
        topic: String,
    },
    /// A topic of this name exists.
    #[error("create topic \"{topic}\": it exists")]
    TopicExists {
        /// Its name.
        topic: String,
    },
    /// A topic cannot be made or changed like this, or is not as it must be.
    #[error("{doing}")]
    TopicInvalid {
        /// What was being done, to which topic.
        doing: String,
        /// What is wrong.
        #[source]
        source: Cause,
    },
    /// The topic has no such partition.
    #[error("find partition {partition} of topic \"{topic}\"")]
    PartitionUnknown {
        /// The topic.
        topic: String,
        /// The partition that does not exist.
        partition: u32,
    },
    /// There is no consumer group of this name.
    #[error("find consumer group \"{group}\"")]
    GroupUnknown {
        /// Its name.
        group: String,
    },
    /// The group has members; what was asked is only possible without.
    #[error("{doing}: the group has members")]
    GroupActive {
        /// What was being done, to which group.
        doing: String,
    },
    /// A record is larger than the client or the topic takes.
    #[error("{doing}: the record is too large")]
    TooLarge {
        /// What was being done, to which topic.
        doing: String,
        /// What refused it.
        #[source]
        source: Cause,
    },
    /// Another live host uses the same identity and has taken its place.
    #[error("{doing}: another host has the same identity")]
    Fenced {
        /// What was being done, with the identity.
        doing: String,
        /// What the broker said.
        #[source]
        source: Cause,
    },
    /// As much as is allowed waits for the brokers already.
    #[error("{doing}: as much as may waits for the brokers already")]
    Full {
        /// What was being done.
        doing: String,
    },
    /// Anything that has no better name here.
    #[error("{doing}")]
    Other {
        /// What was being done.
        doing: String,
        /// What was said.
        #[source]
        source: Cause,
    },
}

/// What a broker, a connection or the client library said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Cause {
    text: String,
}

/// What a caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Try again later.
    Retry,
    /// Do not try the same again.
    Reject,
    /// Stop the process, or do not start it: a human must change something.
    Fatal,
}

/// What a request was about; it decides what an ambiguous code of the protocol means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum About<'a> {
    /// The cluster as a whole.
    Cluster,
    /// A topic.
    Topic(&'a str),
    /// A partition of a topic.
    Partition(&'a str, u32),
    /// A consumer group.
    Group(&'a str),
    /// A transactional id.
    Transaction(&'a str),
}

impl Error {
    /// Stable code, `E0601` to `E0699`; its page is `docs/errors/CODE.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Client { .. } => "E0601",
            Self::Property { .. } => "E0602",
            Self::Unavailable { .. } => "E0603",
            Self::Authentication { .. } => "E0604",
            Self::Unauthorised { .. } => "E0605",
            Self::TopicUnknown { .. } => "E0606",
            Self::TopicExists { .. } => "E0607",
            Self::TopicInvalid { .. } => "E0608",
            Self::PartitionUnknown { .. } => "E0609",
            Self::GroupUnknown { .. } => "E0610",
            Self::GroupActive { .. } => "E0611",
            Self::TooLarge { .. } => "E0612",
            Self::Fenced { .. } => "E0613",
            Self::Full { .. } => "E0614",
            Self::Other { .. } => "E0615",
        }
    }

    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Unavailable { .. } | Self::Authentication { .. } | Self::Full { .. } => {
                Class::Retry
            }
            Self::Unauthorised { .. }
            | Self::TopicUnknown { .. }
            | Self::TopicExists { .. }
            | Self::TopicInvalid { .. }
            | Self::PartitionUnknown { .. }
            | Self::GroupUnknown { .. }
            | Self::GroupActive { .. }
            | Self::TooLarge { .. }
            | Self::Other { .. } => Class::Reject,
            Self::Client { .. } | Self::Property { .. } | Self::Fenced { .. } => Class::Fatal,
        }
    }

    /// Whether the same may succeed later, without a change here.
    pub fn is_retriable(&self) -> bool {
        self.class() == Class::Retry
    }

    /// One line of advice for the operator.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Client { .. } => "correct the property it names under `[broker.properties]`",
            Self::Property { .. } => {
                "librdkafka's CONFIGURATION.md lists properties and their values"
            }
            Self::Unavailable { .. } => {
                "check that the brokers run and that their addresses can be reached from here"
            }
            Self::Authentication { .. } => {
                "check security.protocol, sasl.* and ssl.* under `[broker.properties]`"
            }
            Self::Unauthorised { .. } => "give this user the right; docs/errors/E0605.md lists all",
            Self::TopicUnknown { .. } => "create the topic, or correct its name",
            Self::TopicExists { .. } => "use the topic that exists, or delete it first",
            Self::TopicInvalid { .. } => "change what it names, or the topic",
            Self::PartitionUnknown { .. } => {
                "partitions are numbered from 0 to the topic's count less one"
            }
            Self::GroupUnknown { .. } => "`gristmill groups list` shows the names",
            Self::GroupActive { .. } => {
                "stop every host that runs this subscription, then try again; pausing it is not \
                 enough: a paused one stays a member"
            }
            Self::TooLarge { .. } => {
                "make it smaller, or raise message.max.bytes here and max.message.bytes there"
            }
            Self::Fenced { .. } => {
                "two hosts run with one host id: give each its own data directory, never a copy"
            }
            Self::Full { .. } => "slow down; it clears as soon as the brokers catch up",
            Self::Other { .. } => "read the cause",
        }
    }

    /// What `error` means when it ended `doing`, which was about `about`.
    pub(crate) fn of(doing: impl Into<String>, error: &KafkaError, about: About<'_>) -> Self {
        if let KafkaError::ClientConfig(_, reason, name, _) = error {
            return Self::Property { name: name.clone(), reason: reason.clone() };
        }
        if let KafkaError::ClientCreation(reason) = error {
            return Self::Client { reason: reason.clone() };
        }
        if let KafkaError::Transaction(error) = error {
            // It has a text of its own, which says more.
            return Self::of_code(doing, error.code(), about).with_cause(error.to_string());
        }
        let doing = doing.into();
        let Some(code) = code_of(error) else {
            return Self::Other { doing, source: Cause::new(error.to_string()) };
        };
        Self::of_code(doing, code, about)
    }

    /// What a code of the protocol means when it ended `doing`, which was about `about`.
    pub(crate) fn of_code(doing: impl Into<String>, code: Code, about: About<'_>) -> Self {
        let doing = doing.into();
        let source = Cause::new(code.to_string());
        if let Some(error) = Self::of_name(&doing, code, about) {
            return error;
        }
        if is_authentication(code) {
            Self::Authentication { source }
        } else if is_authorisation(code) {
            Self::Unauthorised { doing, resource: about.resource() }
        } else if is_invalid_topic(code) {
            Self::TopicInvalid { doing, source }
        } else if matches!(code, Code::MessageSizeTooLarge | Code::InvalidMessageSize) {
            Self::TooLarge { doing, source }
        } else if is_fenced(code) {
            Self::Fenced { doing, source }
        } else if code == Code::QueueFull {
            Self::Full { doing }
        } else if is_passing(code) {
            Self::Unavailable { doing, source }
        } else {
            Self::Other { doing, source }
        }
    }

    /// The errors that say which name is meant.
    fn of_name(doing: &str, code: Code, about: About<'_>) -> Option<Self> {
        let unknown = matches!(
            code,
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownTopicId
        );
        match about {
            About::Partition(topic, partition) if code == Code::UnknownPartition => {
                Some(Self::PartitionUnknown { topic: topic.to_owned(), partition })
            }
            About::Topic(topic) | About::Partition(topic, _) if unknown => {
                Some(Self::TopicUnknown { topic: topic.to_owned() })
            }
            About::Topic(topic) if code == Code::TopicAlreadyExists => {
                Some(Self::TopicExists { topic: topic.to_owned() })
            }
            About::Group(group) if code == Code::GroupIdNotFound => {
                Some(Self::GroupUnknown { group: group.to_owned() })
            }
            About::Group(_) if code == Code::NonEmptyGroup => {
                Some(Self::GroupActive { doing: doing.to_owned() })
            }
            About::Cluster
            | About::Topic(_)
            | About::Partition(..)
            | About::Group(_)
            | About::Transaction(_) => None,
        }
    }

    /// The same error with more said about its cause, where it has one.
    pub(crate) fn with_cause(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Unavailable { source, .. }
            | Self::Authentication { source }
            | Self::TopicInvalid { source, .. }
            | Self::TooLarge { source, .. }
            | Self::Fenced { source, .. }
            | Self::Other { source, .. } => source.text = text.into(),
            Self::Client { .. }
            | Self::Property { .. }
            | Self::Unauthorised { .. }
            | Self::TopicUnknown { .. }
            | Self::TopicExists { .. }
            | Self::PartitionUnknown { .. }
            | Self::GroupUnknown { .. }
            | Self::GroupActive { .. }
            | Self::Full { .. } => {}
        }
        self
    }
}

impl Cause {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// What was said, in one line.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl About<'_> {
    /// The kind and name of what is protected.
    fn resource(&self) -> String {
        match self {
            Self::Cluster => "cluster".to_owned(),
            Self::Topic(topic) | Self::Partition(topic, _) => format!("topic \"{topic}\""),
            Self::Group(group) => format!("group \"{group}\""),
            Self::Transaction(id) => format!("transactional id \"{id}\""),
        }
    }
}

/// The code of the protocol behind an error, if there is one.
pub(crate) fn code_of(error: &KafkaError) -> Option<Code> {
    if let KafkaError::AdminOp(code) = error {
        // rdkafka's own accessor forgets it.
        return Some(*code);
    }
    error.rdkafka_error_code()
}

/// Wrong user, wrong password, wrong mechanism, or a certificate that does not hold.
pub(crate) fn is_authentication(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::SSL
    )
}

/// Whether a connection ended because the broker did not accept this host's certificate, or that
/// there is none. Since TLS 1.3 it says so when the connection counts as made already, and the
/// library calls that a failure of the network (source: RFC 8446, section 6.2).
pub(crate) fn is_certificate_refused(reason: &str) -> bool {
    // Bad, unsupported, revoked, expired, unknown, of an unknown authority; denied; required.
    const ALERTS: [u8; 8] = [42, 43, 44, 45, 46, 48, 49, 116];
    let said = reason.split("SSL alert number ").nth(1).unwrap_or_default();
    let digits = said.find(|it: char| !it.is_ascii_digit()).map_or(said, |end| &said[..end]);
    digits.parse().is_ok_and(|number| ALERTS.contains(&number))
}

/// This user may not do that.
pub(crate) fn is_authorisation(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}

fn is_invalid_topic(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidTopic
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::InvalidReplicaAssignment
            | Code::InvalidConfig
            | Code::PolicyViolation
            | Code::TopicDeletionDisabled
    )
}

fn is_fenced(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::FencedInstanceId
            | Code::UnreleasedInstanceId
    )
}

/// What passes by itself: Kafka's retriable errors, and the client's own of the same kind
/// (source: the `retriable` column of the protocol's error codes in Kafka's documentation).
fn is_passing(code: Code) -> bool {
    is_unreachable(code)
        || matches!(
            code,
            Code::WaitingForCoordinator
                | Code::WaitCache
                | Code::Interrupted
                | Code::Retry
                | Code::ISRInsufficient
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::BrokerNotAvailable
                | Code::ReplicaNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::NotEnoughReplicas
                | Code::NotEnoughReplicasAfterAppend
                | Code::NotController
                | Code::ConcurrentTransactions
                | Code::KafkaStorageError
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::OffsetNotAvailable
                | Code::PreferredLeaderNotAvailable
                | Code::EligibleLeadersNotAvailable
                | Code::UnstableOffsetCommit
                | Code::ThrottlingQuotaExceeded
                | Code::RebalanceInProgress
                | Code::ReassignmentInProgress
                | Code::ListenerNotFound
                | Code::RebootstrapRequired
                // The client ended before it was done: nobody refused.
                | Code::PurgeQueue
                | Code::PurgeInflight
        )
}

/// No answer came: the connection or the time is at fault, not the request.
pub(crate) fn is_unreachable(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::Resolve
            | Code::MessageTimedOut
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::UnknownBroker
            | Code::DestroyBroker
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_about_certificates_are_told_from_others() {
        let said = |what: &str| format!("Receive failed: SSL routines::{what} (after 3ms)");
        for (reason, expected) in [
            ("sslv3 alert bad certificate: SSL alert number 42", true),
            ("tlsv13 alert certificate required: SSL alert number 116", true),
            ("tlsv1 alert user cancelled: SSL alert number 90", false),
            ("alert number 42", false),
            ("unexpected eof while reading", false),
        ] {
            assert_eq!(is_certificate_refused(&said(reason)), expected, "{reason}");
        }
    }
}
