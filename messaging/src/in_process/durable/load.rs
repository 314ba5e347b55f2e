//! Reading the broker from its store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use recount_core::{BoxError, Namespace, StateEntry, StateKey, StateStore, StoreError, Timestamp};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::entries::{GroupEntry, TopicEntry, damaged, decode};
use super::{Progress, names};
use crate::in_process::group::Group;
use crate::in_process::server::Server;
use crate::in_process::stored::Stored;
use crate::in_process::topic::TopicState;
use crate::{Group as GroupName, Topic};

/// How many entries are read at once. The greatest messages have 16 MiB each.
const PAGE: usize = 64;

/// The stored state of a broker.
pub(super) struct Loaded {
    pub(super) topics: BTreeMap<Arc<str>, TopicState>,
    /// Entries that are not needed any more.
    pub(super) garbage: Vec<StateKey>,
}

/// The entries about single messages of a group.
#[derive(Default)]
struct Marks {
    dead: BTreeSet<u64>,
    /// When they come again.
    delayed: HashMap<u64, Instant>,
}

/// Reads topics, groups and messages.
pub(super) async fn read(store: &dyn StateStore, server: &Server) -> Result<Loaded, BoxError> {
    let mut loaded = Loaded { topics: BTreeMap::new(), garbage: Vec::new() };
    let now = (Instant::now(), store.now().await?);
    for (name, entry) in list(store, names::TOPICS).await? {
        let entry: TopicEntry = parsed(&name, &entry)?;
        let mut topic = server.new_topic(&entry.topic(&name)?);
        topic.resume(entry.last);
        read_topic(store, server, &mut topic, now, &mut loaded.garbage).await?;
        loaded.topics.insert(name.into(), topic);
    }
    Ok(loaded)
}

async fn read_topic(
    store: &dyn StateStore,
    server: &Server,
    topic: &mut TopicState,
    now: (Instant, Timestamp),
    garbage: &mut Vec<StateKey>,
) -> Result<(), BoxError> {
    let mut marks = BTreeMap::new();
    let of_topic = topic.topic.clone();
    for (name, entry) in list(store, &format!("{}{of_topic}/", names::GROUPS)).await? {
        let (group, of_group) = read_group(store, server, &of_topic, &name, &entry, now).await?;
        topic.groups.insert(Arc::clone(&group), of_group.0);
        marks.insert(group, of_group.1);
    }
    let prefix = format!("{}{of_topic}/", names::MESSAGES);
    let mut after: Option<StateKey> = None;
    loop {
        let page = store.list(Namespace::BROKER, &prefix, after.as_ref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|(key, _)| key.clone());
        for (key, entry) in page {
            let sequence = number(&key.name()[prefix.len()..])?;
            let message = Arc::new(decode(&of_topic, sequence, &entry.value, now)?);
            restore(topic, &mut marks, &message, now.0);
        }
        if is_last {
            break;
        }
    }
    topic.settle_gaps();
    for (name, group) in &mut topic.groups {
        let lost = marks.remove(name).unwrap_or_default().dead;
        garbage.extend(lost.into_iter().filter_map(|n| names::of_group(names::DEAD, of_topic.name(), name, n).ok()));
        garbage.extend(group.progress.as_mut().map(|progress| progress.take_garbage()).unwrap_or_default());
    }
    Ok(())
}

async fn read_group(
    store: &dyn StateStore,
    server: &Server,
    topic: &Topic,
    name: &str,
    entry: &StateEntry,
    now: (Instant, Timestamp),
) -> Result<(Arc<str>, (Group, Marks)), BoxError> {
    let entry: GroupEntry = parsed(name, entry)?;
    let binding = entry.binding(topic, GroupName::new(name)?);
    let of_group = |kind: &str| format!("{kind}{topic}/{name}/");
    let mut progress = Progress::read(binding.clone(), entry.first);
    for (chunk, entry) in list(store, &of_group(names::SETTLED)).await? {
        if !progress.read_chunk(number(&chunk)?, &entry.value) {
            return Err(damaged(format!("chunk {chunk} of {binding} has {} bytes", entry.value.len())).into());
        }
    }
    let mut marks = Marks::default();
    for (sequence, _) in list(store, &of_group(names::DEAD)).await? {
        marks.dead.insert(number(&sequence)?);
    }
    for (sequence, entry) in list(store, &of_group(names::DELAYED)).await? {
        let due = std::str::from_utf8(&entry.value).ok().and_then(|text| text.parse::<Timestamp>().ok());
        let due = due.ok_or_else(|| damaged(format!("the delay of message {sequence} of {binding} is no time")))?;
        let after = std::time::Duration::try_from(due.duration_since(now.1)).unwrap_or_default();
        marks.delayed.insert(number(&sequence)?, crate::in_process::server::moment(now.0, after));
    }
    let mut group = server.new_group(&mut server.lock(), &binding);
    group.progress = Some(Box::new(progress));
    Ok((name.into(), (group, marks)))
}

/// Gives a stored message back to its topic, and to the groups that have not settled it.
fn restore(topic: &mut TopicState, marks: &mut BTreeMap<Arc<str>, Marks>, message: &Arc<Stored>, now: Instant) {
    for (name, group) in &mut topic.groups {
        let Some(marks) = marks.get_mut(name) else { continue };
        if marks.dead.remove(&message.sequence) {
            group.dead.push_back(Arc::clone(message));
        }
        if group.progress.as_ref().is_some_and(|progress| !progress.is_settled(message.sequence)) {
            group.restore(Arc::clone(message), marks.delayed.remove(&message.sequence), now);
        }
    }
    topic.restore(message, now);
}

/// All entries with names that start like this, each with the rest of its name.
async fn list(store: &dyn StateStore, prefix: &str) -> Result<Vec<(String, StateEntry)>, StoreError> {
    crate::entries::list(store, Namespace::BROKER, prefix, PAGE).await
}

fn parsed<T: DeserializeOwned>(name: &str, entry: &StateEntry) -> Result<T, StoreError> {
    serde_json::from_slice(&entry.value).map_err(|error| damaged(format!("the entry {name}: {error}")))
}

fn number(text: &str) -> Result<u64, StoreError> {
    text.parse().map_err(|_| damaged(format!("{text:?} is no number")))
}
