//! A topic: its groups, the history that is kept for reading again, and the ids that were published lately.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use recount_core::Timestamp;
use tokio::time::Instant;

use super::durable::Progress;
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
    /// It has its place, and is to be delivered.
    Stored(Arc<Stored>),
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
    /// The identities of the messages within the window, and when each was stored.
    ids: HashMap<String, Instant>,
    /// In the order of storing: the time, the number of the message, and its identity.
    recent: VecDeque<(Instant, u64, String)>,
    /// The number of the last message.
    pub(super) last: u64,
    /// How many messages are admitted and not delivered: they are on their way to the store.
    admitted: usize,
    /// The messages in the store. `None` without a store.
    kept: Option<BTreeMap<u64, Weak<Stored>>>,
    /// The groups that have expired and are still in the store.
    expired: Vec<Progress>,
}

impl TopicState {
    pub(super) fn new(topic: Topic, retention: Retention, dedupe: Dedupe, in_store: bool) -> Self {
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
            admitted: 0,
            kept: in_store.then(BTreeMap::new),
            expired: Vec::new(),
        }
    }

    /// Gives a message its place. It is to be [delivered](Self::deliver) in this order.
    pub(super) fn admit(&mut self, key: &str, written: Written, published_at: Timestamp, now: Instant) -> Outcome {
        self.forget_ids(now);
        if written.identity.as_ref().is_some_and(|id| self.ids.contains_key(id)) {
            return Outcome::Duplicate;
        }
        if let Some(full) = self.full() {
            return Outcome::Full(full);
        }
        self.last += 1;
        self.note_id(self.last, &written, now);
        self.admitted += 1;
        let lane = self.topic.lane_of(key);
        let stored = Stored { sequence: self.last, lane, key: key.into(), written, published_at, stored: now };
        Outcome::Stored(Arc::new(stored))
    }

    fn note_id(&mut self, sequence: u64, written: &Written, stored: Instant) {
        if let (Dedupe::Window(_), Some(id)) = (self.dedupe, &written.identity) {
            self.ids.insert(id.clone(), stored);
            self.recent.push_back((stored, sequence, id.clone()));
        }
    }

    /// Gives a message to every group.
    pub(super) fn deliver(&mut self, stored: Arc<Stored>, now: Instant) {
        self.admitted = self.admitted.saturating_sub(1);
        for group in self.groups.values_mut() {
            group.enqueue(Arc::clone(&stored), now);
        }
        self.keep(stored, now);
    }

    /// Continues behind the last message of an earlier process.
    pub(super) fn resume(&mut self, last: u64) {
        self.last = last;
    }

    /// Takes a message back that an earlier process has stored. The groups take it back themselves.
    pub(super) fn restore(&mut self, stored: &Arc<Stored>, now: Instant) {
        self.last = self.last.max(stored.sequence);
        self.note_id(stored.sequence, &stored.written, stored.stored);
        self.keep(Arc::clone(stored), now);
    }

    /// Counts the messages as settled that are not in the store any more: all groups had settled them.
    pub(super) fn settle_gaps(&mut self) {
        let Some(kept) = &self.kept else { return };
        for progress in self.groups.values_mut().filter_map(|group| group.progress.as_deref_mut()) {
            let gaps = (progress.first()..=self.last).filter(|sequence| !kept.contains_key(sequence));
            gaps.collect::<Vec<_>>().into_iter().for_each(|sequence| progress.settle(sequence));
        }
    }

    /// Forgets the stored messages that no group and no history needs, and returns their numbers. Their ids may still be
    /// recognised.
    pub(super) fn take_unneeded(&mut self, now: Instant) -> Vec<u64> {
        self.trim_history(now);
        self.forget_ids(now);
        let Some(kept) = &mut self.kept else { return Vec::new() };
        // Within the window a message is kept for its id.
        let recent = self.recent.front().map_or(u64::MAX, |(_, sequence, _)| *sequence);
        let unneeded = kept.iter().filter(|(sequence, message)| **sequence < recent && message.strong_count() == 0);
        let unneeded: Vec<u64> = unneeded.map(|(sequence, _)| *sequence).collect();
        unneeded.iter().for_each(|sequence| drop(kept.remove(sequence)));
        unneeded
    }

    /// Why no more messages can be stored, if so.
    fn full(&self) -> Option<String> {
        let Retention { messages, bytes, .. } = self.retention;
        let is_full = |group: &&Group| group.open.0 + self.admitted >= messages || group.open.1 >= bytes;
        let group = self.groups.values().find(is_full)?;
        let (count, size) = group.open;
        Some(format!(
            "{} has not settled {count} messages of {size} bytes, the limit is {messages} messages or {bytes} bytes",
            group.binding
        ))
    }

    fn keep(&mut self, stored: Arc<Stored>, now: Instant) {
        if let Some(kept) = &mut self.kept {
            kept.insert(stored.sequence, Arc::downgrade(&stored));
        }
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
        while self.recent.front().is_some_and(|(at, ..)| *at + window <= now || self.recent.len() > most) {
            if let Some((.., id)) = self.recent.pop_front() {
                self.ids.remove(&id);
            }
        }
    }

    /// Removes the groups that were not used for their time.
    pub(super) fn remove_expired(&mut self, now: Instant) {
        let expired = self.groups.extract_if(.., |_, group| group.has_expired(now));
        self.expired.extend(expired.filter_map(|(_, group)| group.progress).map(|progress| *progress));
    }

    /// Whether groups have expired that are still in the store.
    pub(super) fn has_expired(&self) -> bool {
        !self.expired.is_empty()
    }

    /// The groups that have expired since the last call.
    pub(super) fn take_expired(&mut self) -> Vec<Progress> {
        std::mem::take(&mut self.expired)
    }

    /// Adds a group that starts behind the last message, or at the first one that is kept.
    pub(super) fn add_group(&mut self, mut group: Group, earliest: bool, now: Instant) {
        self.trim_history(now);
        let gets_history = earliest && group.declared.late_group_gets_history;
        if self.kept.is_some() {
            // The messages that are on their way to the store will be delivered to this group.
            let next = self.last + 1 - self.admitted as u64;
            let first = self.history.front().filter(|_| gets_history).map_or(next, |first| first.sequence);
            group.progress = Some(Box::new(Progress::new(group.binding.clone(), first)));
        }
        if gets_history {
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
