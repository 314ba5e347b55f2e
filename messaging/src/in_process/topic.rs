//! A topic: its groups, the history that is kept for reading again, and the ids that were published lately.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use recount_core::Timestamp;
use tokio::time::Instant;

use super::group::Group;
use super::stored::{Stored, Written};
use crate::{BrokerPosition, Dedupe, Group as GroupName, Seek, Topic};

/// How much a topic keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    /// How long history is kept. `None`: there is none.
    pub(super) history: Option<Duration>,
}

/// The outcome of storing a message.
#[derive(Debug)]
pub(super) enum Outcome {
    Stored(BrokerPosition),
    Duplicate,
    /// A group has not settled as much as the topic may keep.
    Full(String),
}

#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) topic: Topic,
    pub(super) groups: BTreeMap<Arc<str>, Group>,
    retention: Retention,
    dedupe: Dedupe,
    history: VecDeque<Arc<Stored>>,
    history_bytes: usize,
    /// When each id was stored.
    /// The identities of the messages within the window.
    ids: HashMap<String, Instant>,
    recent: VecDeque<(Instant, String)>,
    last: u64,
}

impl TopicState {
    pub(super) fn new(topic: Topic, retention: Retention, dedupe: Dedupe) -> Self {
        Self {
            topic,
            groups: BTreeMap::new(),
            retention,
            dedupe,
            history: VecDeque::new(),
            history_bytes: 0,
            ids: HashMap::new(),
            recent: VecDeque::new(),
            last: 0,
        }
    }

    /// Stores a message and gives it to every group.
    pub(super) fn store(&mut self, key: &str, written: Written, published_at: Timestamp, now: Instant) -> Outcome {
        self.forget_ids(now);
        if written.identity.as_ref().is_some_and(|id| self.ids.contains_key(id)) {
            return Outcome::Duplicate;
        }
        if let Some(full) = self.full() {
            return Outcome::Full(full);
        }
        if let (Dedupe::Window(_), Some(id)) = (self.dedupe, &written.identity) {
            self.ids.insert(id.clone(), now);
            self.recent.push_back((now, id.clone()));
        }
        self.last += 1;
        let lane = self.topic.lane_of(key);
        let stored = Stored { sequence: self.last, lane, key: key.into(), written, published_at, stored: now };
        let stored = Arc::new(stored);
        for group in self.groups.values_mut() {
            group.enqueue(Arc::clone(&stored), now);
        }
        self.keep(stored, now);
        Outcome::Stored(BrokerPosition(self.last, 0))
    }

    /// Why no more messages can be stored, if so.
    fn full(&self) -> Option<String> {
        let Retention { messages, bytes, .. } = self.retention;
        let group = self.groups.values().find(|group| group.open.0 >= messages || group.open.1 >= bytes)?;
        let (count, size) = group.open;
        Some(format!(
            "{} has not settled {count} messages of {size} bytes, the limit is {messages} messages or {bytes} bytes",
            group.binding
        ))
    }

    fn keep(&mut self, stored: Arc<Stored>, now: Instant) {
        if self.retention.history.is_some() {
            self.history_bytes += stored.size();
            self.history.push_back(stored);
            self.trim_history(now);
        }
    }

    /// Drops the oldest messages beyond the retention.
    fn trim_history(&mut self, now: Instant) {
        let Retention { messages, bytes, history: Some(age) } = self.retention else { return };
        while let Some(first) = self.history.front() {
            let old = first.stored + age <= now;
            if !old && self.history.len() <= messages && self.history_bytes <= bytes {
                break;
            }
            self.history_bytes = self.history_bytes.saturating_sub(first.size());
            self.history.pop_front();
        }
    }

    fn forget_ids(&mut self, now: Instant) {
        let Dedupe::Window(window) = self.dedupe else { return };
        // More ids than these are forgotten early: memory is bounded.
        let most = self.retention.messages.saturating_mul(10);
        while self.recent.front().is_some_and(|(at, _)| *at + window <= now || self.recent.len() > most) {
            if let Some((_, id)) = self.recent.pop_front() {
                self.ids.remove(&id);
            }
        }
    }

    /// Adds a group that starts behind the last message, or at the first one that is kept.
    pub(super) fn add_group(&mut self, mut group: Group, earliest: bool, now: Instant) {
        self.trim_history(now);
        if earliest && group.declared.late_group_gets_history {
            self.history.iter().for_each(|stored| group.enqueue(Arc::clone(stored), now));
        }
        self.groups.insert(group.binding.group.name().into(), group);
    }

    pub(super) fn group(&mut self, name: &GroupName) -> Option<&mut Group> {
        self.groups.get_mut(name.name())
    }

    /// The messages from a place on.
    pub(super) fn from(&mut self, place: Seek, now: Instant) -> Vec<Arc<Stored>> {
        self.trim_history(now);
        let wanted = |stored: &Stored| match place {
            Seek::Start => true,
            Seek::End => false,
            Seek::Time(time) => stored.published_at >= time,
            Seek::After(_, BrokerPosition(sequence, _)) => stored.sequence > sequence,
        };
        self.history.iter().filter(|stored| wanted(stored)).cloned().collect()
    }

    /// The server has ended suddenly and is back.
    pub(super) fn restart(&mut self, durable: bool, now: Instant) {
        if !durable {
            self.history.clear();
            self.history_bytes = 0;
            self.ids.clear();
            self.recent.clear();
        }
        self.groups.values_mut().for_each(|group| group.restart(now));
    }
}
