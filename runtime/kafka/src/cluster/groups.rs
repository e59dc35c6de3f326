//! Asks for consumer groups, their members and what they committed, and changes what nobody uses.
//! Joins none.

mod assignment;

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gristmill_engine::Offset;
use rdkafka::{
    TopicPartitionList,
    admin::AdminClient,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
    groups::{GroupInfo, GroupMemberInfo},
    topic_partition_list::Offset as Place,
};

use super::{Cluster, SLICE, client, offsets::number, wait};
use crate::{
    context::Context,
    error::{About, Error},
    ffi::group_offsets,
};

/// Clients of groups that are kept for the next question; each costs a few threads.
const BYSTANDERS_MAX: usize = 4;

/// The longest time that a request of librdkafka's may be given.
const FOREVER: Duration = Duration::from_hours(1);

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub name: String,
    /// `Stable`, `Empty`, `PreparingRebalance`, `CompletingRebalance` or `Dead`, as Kafka has it.
    pub state: String,
    /// What deals out its partitions; empty while it has no members.
    pub assignor: String,
    /// Its members.
    pub members: Vec<MemberDescription>,
}

/// A member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDescription {
    /// The id the group gave it.
    pub id: String,
    /// Its `client.id`.
    pub client_id: String,
    /// The address it connects from.
    pub host: String,
    /// Its partitions, by topic and number; empty while the group rebalances.
    pub partitions: Vec<(String, u32)>,
}

/// What a group has committed of one partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommittedOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Where the group goes on.
    pub offset: Offset,
}

/// Clients that know a group's coordinator without being members.
#[derive(Default)]
pub(super) struct Bystanders(Mutex<Standing>);

#[derive(Default)]
struct Standing {
    /// By group, the last used at the back.
    here: VecDeque<(String, Bystander)>,
    /// Those that gave way to others. They take a while to end, which nobody need wait for.
    leaving: Vec<Bystander>,
}

type Bystander = Arc<BaseConsumer<Context>>;

impl Cluster {
    /// What `group` committed for each of `partitions`, in that order; `None` where it committed
    /// nothing. Stable: it waits until the transactions that carry offsets of these partitions
    /// have ended.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the group's coordinator does not answer in time, or a
    /// transaction stays open for so long; [`Error::Unauthorised`].
    pub fn committed(
        &self,
        group: &str,
        partitions: &[(&str, u32)],
    ) -> Result<Vec<Option<Offset>>, Error> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let bystander = self.bystander(group)?;
        wait::patiently(self.timeout, |left| {
            let asked = self.asked_committed(&bystander, group, partitions, left.min(SLICE));
            // Without the right to look for the coordinator, it is looked for in vain.
            if matches!(asked, Err(Error::Unavailable { .. }))
                && bystander.client().context().is_denied()
            {
                let doing = format!("ask what group \"{group}\" committed");
                return Err(self.refused(
                    doing,
                    Code::GroupAuthorizationFailed,
                    About::Group(group),
                ));
            }
            asked
        })
    }

    fn asked_committed(
        &self,
        bystander: &BaseConsumer<Context>,
        group: &str,
        partitions: &[(&str, u32)],
        timeout: Duration,
    ) -> Result<Vec<Option<Offset>>, Error> {
        let doing = || format!("ask what group \"{group}\" committed");
        let mut wanted = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            wanted.add_partition(topic, number(*partition));
        }
        let asked = bystander.committed_offsets(wanted, timeout);
        let answer = self.answer(doing(), asked, About::Group(group))?;
        self.told_offsets(doing, &answer, partitions)
    }

    /// All that each of `groups` has committed, by topic and partition; nothing of one that does
    /// not exist. It does not wait for open transactions: what they carry is not told yet.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when a coordinator does not answer in time, [`Error::Unauthorised`].
    pub fn committed_all(&self, groups: &[&str]) -> Result<Vec<Vec<CommittedOffset>>, Error> {
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        // A client that ends with the request, for the reason that `delete_group` gives.
        let admin: AdminClient<_> = client(&self.inner.settings.admin(), self.context("admin"))?;
        let of = |group: &&str| {
            let asked = group_offsets::all(admin.inner(), group, (self.timeout, FOREVER));
            let doing = || format!("ask what group \"{group}\" committed");
            let mut found =
                asked.map_err(|code| self.refused(doing(), code, About::Group(group)))?;
            self.inner.health.answered();
            found.sort();
            Ok(found)
        };
        groups.iter().map(of).collect()
    }

    /// Commits `offsets` in the name of `group`, which must have no members.
    ///
    /// # Errors
    ///
    /// [`Error::GroupActive`]; [`Error::Unauthorised`]; [`Error::TopicUnknown`];
    /// [`Error::Unavailable`] when the group's coordinator does not answer in time: they may be
    /// committed all the same.
    pub fn set_committed(&self, group: &str, offsets: &[(&str, u32, Offset)]) -> Result<(), Error> {
        if offsets.is_empty() {
            return Ok(());
        }
        let doing = || format!("commit offsets of group \"{group}\"");
        let mut wanted = TopicPartitionList::with_capacity(offsets.len());
        for (topic, partition, offset) in offsets {
            let offset = Place::Offset(i64::try_from(offset.0).unwrap_or(i64::MAX));
            wanted
                .add_partition_offset(topic, number(*partition), offset)
                .map_err(|error| Error::of(doing(), &error, About::Group(group)))?;
        }
        // Finds the coordinator within the time of this call; a commit knows no time.
        let partitions: Vec<_> = offsets.iter().map(|(topic, at, _)| (*topic, *at)).collect();
        self.committed(group, &partitions)?;
        let bystander = self.bystander(group)?;
        let topic = offsets.first().map_or("", |(topic, ..)| topic);
        match bystander.commit(&wanted, CommitMode::Sync) {
            // A coordinator takes commits of strangers only for a group without members.
            Err(KafkaError::ConsumerCommit(
                Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress,
            )) => Err(Error::GroupActive { doing: doing() }),
            Err(KafkaError::ConsumerCommit(
                code @ (Code::UnknownTopicOrPartition | Code::TopicAuthorizationFailed),
            )) => Err(self.refused(doing(), code, About::Topic(topic))),
            asked => self.answer(doing(), asked, About::Group(group)),
        }
    }

    /// All consumer groups, by name. While a coordinator fails over, its groups are missing.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when not all brokers answer in time, [`Error::Unauthorised`].
    pub fn groups(&self) -> Result<Vec<GroupDescription>, Error> {
        let watcher = &self.inner.committed;
        let answer = self.persistently(watcher.client(), |slice| {
            let asked = watcher.fetch_group_list(None, slice);
            self.answer("list consumer groups", asked, About::Cluster)
        })?;
        // Workers of Kafka Connect, for one, are groups too, and consume nothing.
        let consumes = |group: &&GroupInfo| matches!(group.protocol_type(), "consumer" | "");
        let mut groups: Vec<_> = answer.groups().iter().filter(consumes).map(described).collect();
        groups.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(groups)
    }

    /// The consumer group of that name; `None` when there is none, or its coordinator is failing
    /// over.
    ///
    /// # Errors
    ///
    /// As [`Cluster::groups`].
    pub fn group(&self, name: &str) -> Result<Option<GroupDescription>, Error> {
        let watcher = &self.inner.committed;
        let answer = self.persistently(watcher.client(), |slice| {
            let asked = watcher.fetch_group_list(Some(name), slice);
            self.answer(format!("describe group \"{name}\""), asked, About::Group(name))
        })?;
        let found = answer.groups().iter().find(|group| group.name() == name);
        // A coordinator describes a group that does not exist as dead.
        Ok(found.map(described).filter(|group| group.state != "Dead"))
    }

    /// Deletes a group with all it committed.
    ///
    /// # Errors
    ///
    /// [`Error::GroupActive`], [`Error::GroupUnknown`], [`Error::Unauthorised`],
    /// [`Error::Unavailable`].
    pub fn delete_group(&self, name: &str) -> Result<(), Error> {
        let doing = || format!("delete group \"{name}\"");
        let about = About::Group(name);
        // Finds out whether there is a coordinator at all: see below.
        self.committed(name, &[(&self.inner.settings.own_topic, 0)])?;
        // librdkafka 2.12.1 uses memory it freed when a request for a coordinator ends by its time
        // before there is one (https://github.com/confluentinc/librdkafka/issues/4605). So the
        // time is never over, the wait is, and the client ends with it: that is done rightly.
        let admin: AdminClient<_> = client(&self.inner.settings.admin(), self.context("admin"))?;
        let options = Self::options(FOREVER);
        let asked = wait::block_on_for(self.timeout, admin.delete_groups(&[name], &options));
        let late = || self.refused(doing(), Code::OperationTimedOut, about);
        let answer = self.answer(doing(), asked.ok_or_else(late)?, about)?;
        match answer.into_iter().find_map(Result::err) {
            Some((_, code)) => Err(self.refused(doing(), code, about)),
            None => Ok(()),
        }
    }

    fn bystander(&self, group: &str) -> Result<Bystander, Error> {
        self.inner
            .bystanders
            .of(group, || client(&self.inner.settings.bystander(group), self.context("bystander")))
    }
}

impl Bystanders {
    /// The client of `group`: one that is there, else what `make` makes. The longest unused one
    /// gives way.
    fn of(
        &self,
        group: &str,
        make: impl FnOnce() -> Result<BaseConsumer<Context>, Error>,
    ) -> Result<Bystander, Error> {
        let mut standing = self.lock();
        let known = standing.here.iter().position(|(name, _)| name == group);
        let entry = match known.and_then(|at| standing.here.remove(at)) {
            Some(entry) => entry,
            None => (group.to_owned(), Arc::new(make()?)),
        };
        let client = Arc::clone(&entry.1);
        standing.here.push_back(entry);
        if standing.here.len() > BYSTANDERS_MAX
            && let Some((_, gone)) = standing.here.pop_front()
        {
            standing.leaving.push(gone);
        }
        Ok(client)
    }

    /// Lets the clients say what they have to say, and those that leave end.
    pub(super) fn listen(&self) {
        let mut standing = self.lock();
        let leaving = mem::take(&mut standing.leaving);
        let here: Vec<_> = standing.here.iter().map(|(_, client)| Arc::clone(client)).collect();
        drop(standing);
        for client in here {
            drop(client.poll(Duration::ZERO));
        }
        drop(leaving);
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Functions and not `From`: nothing of rdkafka is in what this crate offers.

fn described(group: &GroupInfo) -> GroupDescription {
    GroupDescription {
        name: group.name().to_owned(),
        state: group.state().to_owned(),
        assignor: group.protocol().to_owned(),
        members: group.members().iter().map(described_member).collect(),
    }
}

fn described_member(member: &GroupMemberInfo) -> MemberDescription {
    let assignment = member.assignment().unwrap_or_default();
    MemberDescription {
        id: member.id().to_owned(),
        client_id: member.client_id().to_owned(),
        // Brokers write addresses as Java does.
        host: member.client_host().trim_start_matches('/').to_owned(),
        partitions: assignment::read(assignment).unwrap_or_default(),
    }
}
