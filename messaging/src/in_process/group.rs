//! A consumer group: the messages of a topic that are ready, out, delayed and dead.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::durable::Progress;
use super::members::{MemberId, Members};
use super::policy::Policy;
use super::server::moment;
use super::slot::{Entry, Slot, SlotKey};
use super::stored::Stored;
use crate::{AttemptCount, Attempts, Binding, Capabilities, Extend, LaneId, OrderSupport, Room};

/// More than the members and deliveries of a group in one epoch.
const EPOCH_SHIFT: u32 = 40;

/// A delivery that is out.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) entry: Entry,
    pub(super) slot: SlotKey,
    pub(super) member: MemberId,
    pub(super) since: Instant,
    /// When it comes again, if nothing happens.
    pub(super) lease_until: Option<Instant>,
}

/// A delivery as it is handed to a consumer.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) message: Arc<Stored>,
    pub(super) lane: LaneId,
    pub(super) generation: u32,
    pub(super) tag: u64,
    pub(super) attempts: Attempts,
    pub(super) lease_until: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) binding: Binding,
    pub(super) declared: Capabilities,
    pub(super) policy: Policy,
    pub(super) members: Members,
    pub(super) slots: BTreeMap<SlotKey, Slot>,
    /// The slots with a deliverable message, by its rank.
    listed: BTreeMap<u64, SlotKey>,
    /// The slots with a first message that waits for a delay.
    pub(super) waiting: BTreeSet<(Instant, SlotKey)>,
    /// Delayed messages that let others pass, by the time they are due and their rank.
    pub(super) later: BTreeMap<(Instant, u64), (SlotKey, Entry)>,
    pub(super) out: BTreeMap<u64, Out>,
    pub(super) leases: BTreeSet<(Instant, u64)>,
    /// Acknowledgements that a sudden end of the server forgets.
    pub(super) unflushed: VecDeque<(Instant, SlotKey, Entry)>,
    pub(super) dead: VecDeque<Arc<Stored>>,
    next_rank: u64,
    next_tag: u64,
    random: fastrand::Rng,
    /// How many messages are not settled, and their bytes.
    pub(super) open: (usize, usize),
    /// When it had a member the last time, or was declared.
    pub(super) last_used: Instant,
    /// The settled messages, as they are written to the store. `None` without a store.
    pub(super) progress: Option<Box<Progress>>,
}

impl Group {
    /// A group without messages and members. `epoch`: the tags and members of another one are never taken for its own.
    pub(super) fn new(
        binding: Binding,
        declared: Capabilities,
        policy: Policy,
        random: fastrand::Rng,
        epoch: u64,
    ) -> Self {
        let lanes = match declared.order {
            OrderSupport::Lane { lanes, .. } => u32::from(lanes.get()),
            OrderSupport::Key { .. } | OrderSupport::None => 1,
        };
        Self {
            members: Members::new(policy.assignment, lanes, epoch << EPOCH_SHIFT),
            binding,
            declared,
            policy,
            slots: BTreeMap::new(),
            listed: BTreeMap::new(),
            waiting: BTreeSet::new(),
            later: BTreeMap::new(),
            out: BTreeMap::new(),
            leases: BTreeSet::new(),
            unflushed: VecDeque::new(),
            dead: VecDeque::new(),
            next_rank: 0,
            next_tag: epoch << EPOCH_SHIFT,
            random,
            open: (0, 0),
            last_used: Instant::now(),
            progress: None,
        }
    }

    /// Whether it had no member for its time.
    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.binding.expires_after.is_some_and(|time| self.members.is_empty() && moment(self.last_used, time) <= now)
    }

    /// Adds a message behind all others.
    pub(super) fn enqueue(&mut self, message: Arc<Stored>, now: Instant) {
        if let Some(progress) = &mut self.progress {
            progress.reopen(message.sequence);
        }
        let rank = self.rank();
        self.insert(Entry { message, rank, deliveries: 0, not_before: None, recovered: false }, now);
    }

    pub(super) fn insert(&mut self, entry: Entry, now: Instant) {
        self.count(&entry);
        let slot = self.slot_of(&entry.message);
        self.slots.entry(slot.clone()).or_default().ready.insert(entry.rank, entry);
        self.refresh(&slot, now);
    }

    pub(super) fn count(&mut self, entry: &Entry) {
        self.open = (self.open.0 + 1, self.open.1 + entry.message.size());
    }

    pub(super) fn slot_of(&self, message: &Stored) -> SlotKey {
        match self.declared.order {
            OrderSupport::None => SlotKey { lane: 0, key: None },
            OrderSupport::Lane { .. } => SlotKey { lane: message.lane.into(), key: None },
            OrderSupport::Key { .. } => SlotKey { lane: 0, key: Some(Arc::clone(&message.key)) },
        }
    }

    pub(super) fn rank(&mut self) -> u64 {
        self.next_rank += 1;
        self.next_rank
    }

    /// Whether a slot gives out one message at a time.
    fn is_withheld(&self) -> bool {
        matches!(self.declared.order, OrderSupport::Lane { withheld: true, .. } | OrderSupport::Key { withheld: true })
    }

    /// Lists a slot under its first deliverable message, or its time; forgets it if it is empty.
    pub(super) fn refresh(&mut self, key: &SlotKey, now: Instant) {
        let withheld = self.is_withheld();
        let Some(slot) = self.slots.get_mut(key) else { return };
        if let Some(rank) = slot.listed.take() {
            self.listed.remove(&rank);
        }
        if let Some(at) = slot.waiting.take() {
            self.waiting.remove(&(at, key.clone()));
        }
        if slot.out.is_empty() {
            slot.holder = None;
        }
        if slot.is_empty() {
            self.slots.remove(key);
            return;
        }
        let Some((rank, first)) = slot.ready.first_key_value() else { return };
        if withheld && !slot.out.is_empty() {
            return;
        }
        match first.not_before.filter(|at| *at > now) {
            Some(at) => {
                slot.waiting = Some(at);
                self.waiting.insert((at, key.clone()));
            }
            None => {
                slot.listed = Some(*rank);
                self.listed.insert(*rank, key.clone());
            }
        }
    }

    /// Takes deliverable messages for a member, as far as there is room.
    pub(super) fn take(&mut self, member: MemberId, room: &Room, now: Instant) -> Vec<Taken> {
        let most = room.messages.max(1).min(self.policy.max_receive);
        let (mut taken, mut bytes, mut from) = (Vec::new(), 0, 0);
        while taken.len() < most && self.out.len() + self.later.len() < self.policy.window {
            let Some((rank, slot)) = self.listed.range(from..).next().map(|(rank, slot)| (*rank, slot.clone())) else {
                break;
            };
            from = rank + 1;
            if room.full.contains(&LaneId(slot.lane)) || !self.may_take(member, &slot) {
                continue;
            }
            let size = self.size_of(&slot, rank);
            if !taken.is_empty() && bytes + size > room.bytes {
                break;
            }
            bytes += size;
            taken.extend(self.take_one(member, slot, rank, now));
        }
        taken
    }

    fn size_of(&self, slot: &SlotKey, rank: u64) -> usize {
        let entry = self.slots.get(slot).and_then(|slot| slot.ready.get(&rank));
        entry.map_or(0, |entry| entry.message.written.body.len())
    }

    fn may_take(&self, member: MemberId, slot: &SlotKey) -> bool {
        // Several messages of a key go to the same member.
        let shared = slot.key.is_none() || self.slots.get(slot).is_none_or(|s| s.holder.is_none_or(|h| h == member));
        shared && self.members.may_take(member, slot.lane)
    }

    fn take_one(&mut self, member: MemberId, key: SlotKey, rank: u64, now: Instant) -> Option<Taken> {
        self.next_tag += 1;
        let tag = self.next_tag;
        let slot = self.slots.get_mut(&key)?;
        let mut entry = slot.ready.remove(&rank)?;
        slot.out.insert(rank, tag);
        slot.holder = Some(member);
        let attempts = self.attempts(&entry);
        entry.deliveries += 1;
        entry.not_before = None;
        let lease_until = self.lease_end(now);
        let timed = lease_until.filter(|_| self.is_timed());
        self.leases.extend(timed.map(|at| (at, tag)));
        self.refresh(&key, now);
        let taken = Taken {
            message: Arc::clone(&entry.message),
            lane: LaneId(key.lane),
            generation: self.members.generation(key.lane),
            tag,
            attempts,
            lease_until,
        };
        self.out.insert(tag, Out { entry, slot: key, member, since: now, lease_until: timed });
        Some(taken)
    }

    fn attempts(&mut self, entry: &Entry) -> Attempts {
        let before = entry.deliveries;
        match self.declared.attempts {
            // Only a message of an earlier process has deliveries that are not counted.
            AttemptCount::Volatile if self.progress.is_some() && entry.recovered => Attempts::Unknown,
            AttemptCount::Volatile if self.progress.is_some() => Attempts::Exact(before),
            AttemptCount::Exact => Attempts::Exact(before),
            AttemptCount::Volatile => Attempts::AtLeast(before),
            // About: sometimes one is missed.
            AttemptCount::Approximate => Attempts::AtLeast(before.saturating_sub(self.random.u32(0..=1))),
            AttemptCount::None => Attempts::Unknown,
        }
    }

    /// When the lease of a delivery from now ends.
    fn lease_end(&self, now: Instant) -> Option<Instant> {
        let lease = self.declared.lease?;
        let length = if lease.extend == Extend::ByClient { lease.max_total } else { None };
        Some(moment(now, length.unwrap_or(lease.default)))
    }

    /// Whether deliveries come again by themselves. With leases by polling it is the member that is removed.
    fn is_timed(&self) -> bool {
        self.declared.lease.is_some_and(|lease| lease.extend != Extend::Polling)
    }

    /// Ends a delivery: it is no longer out.
    pub(super) fn close(&mut self, tag: u64) -> Option<Out> {
        let out = self.out.remove(&tag)?;
        if let Some(at) = out.lease_until {
            self.leases.remove(&(at, tag));
        }
        if let Some(slot) = self.slots.get_mut(&out.slot) {
            slot.out.remove(&out.entry.rank);
        }
        Some(out)
    }

    /// Puts a message back that was out: to its old place, or behind all others.
    pub(super) fn put_back(&mut self, key: &SlotKey, mut entry: Entry, back: bool, now: Instant) {
        if self.declared.attempt_limit.is_some_and(|limit| entry.deliveries >= limit) {
            self.forget(&entry);
            self.bury(entry.message);
        } else {
            if back {
                entry.rank = self.rank();
            }
            self.slots.entry(key.clone()).or_default().ready.insert(entry.rank, entry);
        }
        self.refresh(key, now);
    }

    /// Removes all messages.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.listed.clear();
        self.waiting.clear();
        self.later.clear();
        self.out.clear();
        self.leases.clear();
        self.unflushed.clear();
        self.open = (0, 0);
    }
}
