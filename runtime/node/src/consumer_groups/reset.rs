//! Sets back, or ahead, what a consumer group committed: first it says what each offset is and
//! would become, then it does that while nobody reads. What a host makes of an offset below its
//! progress (a new epoch) is the engine's decision.

use gristmill_engine::Offset;
use gristmill_kafka::{Error as KafkaError, Sought, TopicDescription};
use serde::{Deserialize, Serialize};

use super::{ConsumerGroups, GroupsError};
use crate::{broker, topics};

/// Where a group is to go on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetTo {
    /// At the first event that is kept.
    Earliest,
    /// After the last event that can be read now.
    Latest,
    /// At the first event of this time or later, in milliseconds since 1970; after the last where
    /// all are earlier.
    TimestampMs(u64),
    /// At this offset, or where the partition begins or ends when that is nearer.
    Offset(u64),
}

/// What becomes of a subscription's state when its group is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateChoice {
    /// State, timers and parked events stay as they are; dedupe marks of events at or after the
    /// new offsets are void, so that these are processed again.
    Keep,
    /// State, timers, dedupe marks and parked events are deleted.
    Clear,
}

/// What a reset does, or has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reset {
    /// The group.
    pub group: String,
    /// The subscription it is of, where it is of one of this host name.
    pub subscription: Option<String>,
    /// How many members it has; with any it cannot be done.
    pub members: usize,
    /// True while nothing has been changed.
    pub dry_run: bool,
    /// What became of the state; `None` while nothing has been changed, and where there is none.
    pub state: Option<StateChoice>,
    /// The topic with the subscription's state; `None` where there is none.
    pub changelog: Option<String>,
    /// The topic with events that were forwarded to the partition of their key; it is emptied,
    /// since topics give them again, or are not to. `None` where there is none.
    pub repartition: Option<String>,
    /// Every partition that is meant, by topic.
    pub offsets: Vec<OffsetChange>,
    /// Set when not all topics of the group are meant: its state cannot be cleared then.
    #[serde(skip)]
    is_partial: bool,
}

/// What a reset does to one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OffsetChange {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// What is committed before; `None` where nothing is.
    pub was: Option<u64>,
    /// What is committed after.
    pub becomes: u64,
}

impl ConsumerGroups {
    /// Says what a reset of `group` would do: of all topics that it committed anything of, but for
    /// a host's own, or of `only` one, or one partition of that. It changes nothing, and is
    /// answered while the group has members too. Waits, also for open transactions.
    ///
    /// # Errors
    ///
    /// [`GroupsError::Kafka`] when group, topic or partition do not exist or the cluster does not
    /// answer; [`GroupsError::Nothing`]; [`GroupsError::Forwarded`] for one topic of several whose
    /// events are forwarded.
    pub fn plan(
        &self,
        group: &str,
        to: ResetTo,
        only: Option<(&str, Option<u32>)>,
    ) -> Result<Reset, GroupsError> {
        let topics = self.cluster.topics()?;
        let subscription = self.names.by_group(&topics).remove(group);
        let found = self.cluster.group(group)?;
        // A subscription may be told where to begin before it has ever run.
        if found.is_none() && (subscription.is_none() || only.is_none()) {
            return Err(KafkaError::GroupUnknown { group: group.to_owned() }.into());
        }
        let partitions = match only {
            Some((topic, partition)) => named(&topics, topic, partition)?,
            None => self.of_group(group, &topics)?,
        };
        if partitions.is_empty() {
            return Err(GroupsError::Nothing { group: group.to_owned() });
        }
        let exists = |name: &String| topics.iter().any(|topic| *topic.name == **name);
        let changelog = subscription.as_deref().map(|it| self.names.changelog(it));
        let repartition = subscription.as_deref().map(|it| self.names.repartition(it));
        let repartition = repartition.filter(exists);
        let is_given = only.is_some_and(|(topic, _)| !topic.starts_with(topics::INTERNAL));
        if is_given && repartition.is_some() {
            return Err(GroupsError::Forwarded { group: group.to_owned() });
        }
        Ok(Reset {
            group: group.to_owned(),
            subscription,
            members: found.map_or(0, |group| group.members.len()),
            dry_run: true,
            state: None,
            changelog: changelog.filter(exists),
            repartition: repartition.filter(|_| only.is_none()),
            offsets: self.changes(group, &partitions, to)?,
            is_partial: only.is_some(),
        })
    }

    /// Does what was planned. Without members a group's offsets are taken from whoever asks; what
    /// `state` says is done after that. Waits.
    ///
    /// # Errors
    ///
    /// [`GroupsError::Kafka`] when the group has members or the cluster does not answer: what was
    /// done by then stays, and the same may be done again. [`GroupsError::StateShared`] and
    /// [`GroupsError::NoState`] before anything is done.
    pub fn carry_out(&self, plan: Reset, state: StateChoice) -> Result<Reset, GroupsError> {
        plan.check(state)?;
        self.must_be_idle(&plan)?;
        let offsets: Vec<(&str, u32, Offset)> =
            plan.offsets.iter().map(|it| (&*it.topic, it.partition, Offset(it.becomes))).collect();
        self.cluster.set_committed(&plan.group, &offsets)?;
        let places: Vec<(&str, u32)> =
            offsets.iter().map(|(topic, partition, _)| (*topic, *partition)).collect();
        let now = self.cluster.committed(&plan.group, &places)?;
        // Whoever overwrote them is a member by now.
        if offsets.iter().zip(now).any(|((.., wanted), now)| now != Some(*wanted)) {
            return Err(active(&plan.group).into());
        }
        if let Some(changelog) = plan.changelog.as_deref().filter(|_| state == StateChoice::Clear) {
            self.must_be_idle(&plan)?;
            match self.cluster.delete(changelog) {
                Ok(()) | Err(KafkaError::TopicUnknown { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(repartition) = plan.repartition.as_deref() {
            self.must_be_idle(&plan)?;
            self.empty(repartition)?;
        }
        let state = plan.changelog.is_some().then_some(state);
        Ok(Reset { dry_run: false, state, ..plan })
    }

    /// Makes a topic for forwarded events anew: positions in it, and marks of what stood there,
    /// say nothing any more.
    fn empty(&self, name: &str) -> Result<(), KafkaError> {
        let Some(topic) = self.cluster.topic(name)? else { return Ok(()) };
        self.cluster.delete(name)?;
        let spec = topics::kept(name.to_owned(), topic.partitions);
        self.cluster.ensure(&broker::forwarding_topic(&spec, self.names.replication()))?;
        Ok(())
    }

    fn must_be_idle(&self, plan: &Reset) -> Result<(), KafkaError> {
        match self.cluster.group(&plan.group)? {
            Some(found) if !found.members.is_empty() => Err(active(&plan.group)),
            _ => Ok(()),
        }
    }

    /// All partitions of the topics that a group committed anything of. A host's own topics are
    /// left out: redriven dead letters would be driven again.
    fn of_group(
        &self,
        group: &str,
        topics: &[TopicDescription],
    ) -> Result<Vec<(String, u32)>, KafkaError> {
        let committed = self.committed(&[group], topics)?.pop().unwrap_or_default();
        let is_meant = |topic: &&TopicDescription| {
            !topic.name.starts_with(topics::INTERNAL)
                && (0..topic.partitions)
                    .any(|number| committed.contains_key(&(topic.name.to_string(), number)))
        };
        let meant = topics.iter().filter(is_meant);
        Ok(meant.flat_map(all).collect())
    }

    fn changes(
        &self,
        group: &str,
        partitions: &[(String, u32)],
        to: ResetTo,
    ) -> Result<Vec<OffsetChange>, KafkaError> {
        let asked: Vec<(&str, u32)> =
            partitions.iter().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
        let was = self.cluster.committed(group, &asked)?;
        let starts = self.cluster.offsets(&asked, Sought::Start)?;
        let ends = self.cluster.offsets(&asked, Sought::End)?;
        let sought = match to {
            ResetTo::TimestampMs(time) => self.cluster.offsets(&asked, Sought::At(time))?,
            ResetTo::Earliest => starts.clone(),
            ResetTo::Latest => ends.clone(),
            ResetTo::Offset(offset) => vec![Some(Offset(offset)); asked.len()],
        };
        let bounds = starts.into_iter().zip(ends);
        let mut changes = Vec::with_capacity(partitions.len());
        for (((place, was), sought), (start, end)) in
            partitions.iter().zip(was).zip(sought).zip(bounds)
        {
            let (start, end) = (start.unwrap_or_default(), end.unwrap_or_default());
            changes.push(OffsetChange {
                topic: place.0.clone(),
                partition: place.1,
                was: was.map(|was| was.0),
                becomes: becomes(sought, start, end).0,
            });
        }
        Ok(changes)
    }
}

impl Reset {
    /// Whether the state can be treated like that.
    ///
    /// # Errors
    ///
    /// [`GroupsError::StateShared`] when only a part of the group is reset, and
    /// [`GroupsError::NoState`] when it is no subscription's; both only of
    /// [`StateChoice::Clear`].
    pub fn check(&self, state: StateChoice) -> Result<(), GroupsError> {
        let group = || self.group.clone();
        if state == StateChoice::Keep {
            Ok(())
        } else if self.subscription.is_none() {
            Err(GroupsError::NoState { group: group() })
        } else if self.is_partial {
            Err(GroupsError::StateShared { group: group() })
        } else {
            Ok(())
        }
    }

    /// Refuses while the group has members.
    ///
    /// # Errors
    ///
    /// [`GroupsError::Kafka`], as [`ConsumerGroups::carry_out`] would.
    pub fn must_be_idle(&self) -> Result<(), GroupsError> {
        if self.members == 0 { Ok(()) } else { Err(active(&self.group).into()) }
    }
}

fn active(group: &str) -> KafkaError {
    KafkaError::GroupActive { doing: format!("reset offsets of group \"{group}\"") }
}

/// The partitions of one topic, or the one that is meant.
fn named(
    topics: &[TopicDescription],
    topic: &str,
    partition: Option<u32>,
) -> Result<Vec<(String, u32)>, KafkaError> {
    let unknown = || KafkaError::TopicUnknown { topic: topic.to_owned() };
    let found = topics.iter().find(|it| *it.name == *topic).ok_or_else(unknown)?;
    match partition {
        None => Ok(all(found).collect()),
        Some(partition) if partition < found.partitions => Ok(vec![(topic.to_owned(), partition)]),
        Some(partition) => Err(KafkaError::PartitionUnknown { topic: topic.to_owned(), partition }),
    }
}

fn all(topic: &TopicDescription) -> impl Iterator<Item = (String, u32)> + use<> {
    let name = topic.name.to_string();
    (0..topic.partitions).map(move |number| (name.clone(), number))
}

/// The offset to commit: what is sought, within what there is. Beyond the end a host would take it
/// for an offset of a former topic of that name.
fn becomes(sought: Option<Offset>, start: Offset, end: Offset) -> Offset {
    sought.unwrap_or(end).max(start).min(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_kept_within_its_partition() {
        for (sought, expected) in [
            (Some(5), 5),
            (Some(3), 3),
            (Some(0), 3),
            (Some(9), 9),
            (Some(10), 9),
            (Some(u64::MAX), 9),
            (None, 9),
        ] {
            let found = becomes(sought.map(Offset), Offset(3), Offset(9));
            assert_eq!(found, Offset(expected), "{sought:?}");
        }
    }

    #[test]
    fn where_to_is_read_as_it_is_documented() {
        for (text, expected) in [
            ("\"earliest\"", Some(ResetTo::Earliest)),
            ("\"latest\"", Some(ResetTo::Latest)),
            ("{\"timestamp_ms\":1795262400000}", Some(ResetTo::TimestampMs(1_795_262_400_000))),
            ("{\"offset\":7}", Some(ResetTo::Offset(7))),
            ("{\"offset\":-1}", None),
            ("{\"offset\":7,\"timestamp_ms\":7}", None),
            ("\"offset\"", None),
            ("\"beginning\"", None),
        ] {
            assert_eq!(serde_json::from_str(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn one_topic_or_one_partition_can_be_meant() {
        let topics = [TopicDescription { name: "orders".into(), id: 1, partitions: 2 }];
        let place = |number| ("orders".to_owned(), number);
        assert_eq!(named(&topics, "orders", None), Ok(vec![place(0), place(1)]));
        assert_eq!(named(&topics, "orders", Some(1)), Ok(vec![place(1)]));
        let code = |error: KafkaError| error.code();
        assert_eq!(named(&topics, "orders", Some(2)).map_err(code), Err("E0609"));
        assert_eq!(named(&topics, "order", None).map_err(code), Err("E0606"));
    }

    #[test]
    fn state_is_cleared_as_a_whole_and_only_where_there_is_some() {
        let plan = |subscription: Option<&str>, is_partial| Reset {
            group: "g".to_owned(),
            subscription: subscription.map(str::to_owned),
            members: 0,
            dry_run: true,
            state: None,
            changelog: None,
            repartition: None,
            offsets: Vec::new(),
            is_partial,
        };
        let code = |error: GroupsError| error.code();
        for (plan, expected) in [
            (plan(Some("s"), false), Ok(())),
            (plan(Some("s"), true), Err("E0431")),
            (plan(None, false), Err("E0431")),
        ] {
            assert_eq!(plan.check(StateChoice::Clear).map_err(code), expected, "{plan:?}");
            assert_eq!(plan.check(StateChoice::Keep).map_err(code), Ok(()), "{plan:?}");
        }
        let busy = Reset { members: 2, ..plan(Some("s"), false) };
        assert_eq!(busy.must_be_idle().map_err(code), Err("E0611"));
    }
}
