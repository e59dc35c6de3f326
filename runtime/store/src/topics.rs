//! Decides how topics and subscriptions come, change and go. Each of these is a commit of its own
//! on the writer thread; what is here runs there.

use std::sync::Arc;

use gristmill_engine::{SubscriptionId, TopicId};

use crate::{
    Error, Topic, TopicSpec, TopicUpdate,
    commit::Commit,
    key::meta,
    memory::{Abandoned, Log},
    open::encode_topic,
    topic,
};

pub(crate) fn create(commit: &mut Commit<'_>, spec: TopicSpec) -> Result<Topic, Error> {
    topic::check(&spec)?;
    commit.shared.room.admit(false)?;
    let topics = commit.shared.memory.topics();
    if topics.by_name.contains_key(spec.name.as_str()) {
        return Err(Error::TopicExists { name: spec.name });
    }
    let id = topics.next;
    drop(topics);
    let topic = Topic {
        id: TopicId(id),
        name: spec.name.into(),
        partitions: spec.partitions,
        retention: spec.retention,
        compacted: spec.compacted,
        created: commit.now,
    };
    commit.put_meta(meta::topic(topic.id), encode_topic(&topic));
    let scopes = commit.shared.memory.scopes();
    let (subscription, cell) = (scopes.next_subscription, scopes.next_cell);
    drop(scopes);
    commit.put_counters(id + 1, subscription, cell);
    let made = topic.clone();
    commit.after.push(Box::new(move |memory| {
        let mut topics = memory.topics_mut();
        topics.next = id + 1;
        topics.by_name.insert(made.name.clone(), made.id);
        topics.by_id.insert(made.id, Arc::new(Log::new(made)));
    }));
    Ok(topic)
}

/// Deletes a topic and everything known of it. Its events go when compaction meets them.
pub(crate) fn delete(commit: &mut Commit<'_>, name: &str) -> Result<TopicId, Error> {
    let log = find(commit, name)?;
    let topic = log.topic();
    commit.delete_meta(meta::topic(topic.id));
    for (number, partition) in log.numbered() {
        commit.delete_meta(meta::cleaned(topic.id, number));
        for chunk in partition.chunks().iter() {
            commit.delete_meta(meta::chunk(topic.id, number, chunk.base));
        }
    }
    commit.gives_up = true;
    let gone = topic.id;
    commit.after.push(Box::new(move |memory| {
        let mut topics = memory.topics_mut();
        topics.by_name.remove(&topic.name);
        topics.by_id.remove(&topic.id);
        drop(topics);
        memory.abandon(Abandoned::Topic(topic.id));
    }));
    Ok(gone)
}

pub(crate) fn update(
    commit: &mut Commit<'_>,
    name: &str,
    update: TopicUpdate,
) -> Result<Topic, Error> {
    let log = find(commit, name)?;
    let TopicUpdate { retention, compacted } = update;
    let topic = Topic { retention, compacted, ..log.topic() };
    commit.put_meta(meta::topic(topic.id), encode_topic(&topic));
    let changed = topic.clone();
    commit.after.push(Box::new(move |_| log.set_topic(changed)));
    Ok(topic)
}

fn find(commit: &Commit<'_>, name: &str) -> Result<Arc<Log>, Error> {
    let topics = commit.shared.memory.topics();
    let found = topics.by_name.get(name).and_then(|id| topics.by_id.get(id));
    found.map(Arc::clone).ok_or_else(|| Error::TopicUnknown { topic: format!("\"{name}\"") })
}

/// Numbers a subscription on its first use.
pub(crate) fn subscription(commit: &mut Commit<'_>, name: String) -> SubscriptionId {
    let scopes = commit.shared.memory.scopes();
    if let Some(known) = scopes.subscriptions.get(&name) {
        return SubscriptionId(*known);
    }
    let (number, cell) = (scopes.next_subscription, scopes.next_cell);
    drop(scopes);
    let topic = commit.shared.memory.topics().next;
    commit.put_meta(meta::subscription(&name), number.to_be_bytes().to_vec());
    commit.put_counters(topic, number + 1, cell);
    commit.after.push(Box::new(move |memory| {
        let mut scopes = memory.scopes_mut();
        scopes.subscriptions.insert(name, number);
        scopes.next_subscription = number + 1;
    }));
    SubscriptionId(number)
}
