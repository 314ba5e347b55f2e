//! Redelivery: by release, at the end of a lease, with a lost connection, after a restart.

use tokio::time::Instant;

use super::group::Group;
use super::members::MemberId;
use super::policy::AtDisconnect;
use super::slot::{Entry, SlotKey};
use super::stored::Stored;
use crate::{AttemptCount, Extend, OrderSupport, Release};

use std::sync::Arc;

impl Group {
    /// Takes a delivery back. Where the broker rewinds, the later ones of its key or lane come back too.
    pub(super) fn give_back(&mut self, tag: u64, counts: bool, back: bool, now: Instant) {
        let Some(mut out) = self.close(tag) else { return };
        if !counts {
            out.entry.deliveries = out.entry.deliveries.saturating_sub(1);
        }
        let rank = out.entry.rank;
        self.put_back(&out.slot, out.entry, back, now);
        if self.policy.rewinds {
            let slot = self.slots.get(&out.slot);
            let behind = slot.map(|slot| slot.out.range(rank..).map(|(_, tag)| *tag).collect::<Vec<_>>());
            self.all_back(behind.unwrap_or_default(), now);
        }
    }

    fn all_back(&mut self, tags: Vec<u64>, now: Instant) {
        for tag in tags {
            if let Some(out) = self.close(tag) {
                self.put_back(&out.slot, out.entry, false, now);
            }
        }
    }

    /// Does the due work: leases that end, delays that are over, lanes that move, members that do not poll. Returns
    /// whether anything happened.
    pub(super) fn advance(&mut self, now: Instant) -> bool {
        let leases = self.end_leases(now);
        let delays = self.end_delays(now);
        let members = self.remove_silent(now);
        let lanes = self.members.due(now, |lane| self.is_out(lane));
        for (lane, to) in &lanes {
            self.hand_over(*lane, *to, now);
        }
        leases || delays || members || !lanes.is_empty()
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let lease = self.leases.first().map(|(at, _)| *at);
        let wait = self.waiting.first().map(|(at, _)| *at);
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        let silent = self.poll_limit().and_then(|limit| self.members.least_polled().map(|at| at + limit));
        [lease, wait, later, silent, self.members.next_move()].into_iter().flatten().min()
    }

    fn end_leases(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some((_, tag)) = self.leases.first().copied().filter(|(at, _)| *at <= now) {
            any = true;
            let member = self.out.get(&tag).map(|out| out.member);
            self.leases.pop_first();
            if let Some(member) = member.filter(|_| self.policy.lease_ends_connection) {
                self.disconnect(member, now);
            } else {
                self.give_back(tag, true, false, now);
            }
        }
        any
    }

    fn end_delays(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some((_, slot)) = self.waiting.first().cloned().filter(|(at, _)| *at <= now) {
            any = true;
            self.refresh(&slot, now);
        }
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            any = true;
            let (slot, entry) = first.remove();
            self.put_back(&slot, entry, true, now);
        }
        any
    }

    fn poll_limit(&self) -> Option<std::time::Duration> {
        self.declared.lease.filter(|lease| lease.extend == Extend::Polling).map(|lease| lease.default)
    }

    fn remove_silent(&mut self, now: Instant) -> bool {
        let Some(limit) = self.poll_limit() else { return false };
        let silent = self.members.which(|member| member.polled + limit <= now);
        for member in &silent {
            self.disconnect(*member, now);
        }
        !silent.is_empty()
    }

    fn is_out(&self, lane: u32) -> bool {
        self.slots.get(&SlotKey { lane, key: None }).is_some_and(|slot| !slot.out.is_empty())
    }

    /// A new member of a connection.
    pub(super) fn join(&mut self, connection: u64, now: Instant) -> MemberId {
        let member = self.members.add(connection, now);
        self.rebalance(now);
        member
    }

    fn rebalance(&mut self, now: Instant) {
        for (lane, to) in self.members.rebalance(now) {
            self.hand_over(lane, to, now);
        }
    }

    /// Moves every lane to another member, as when members come and go.
    pub(super) fn rotate(&mut self, now: Instant) {
        for (lane, to) in self.members.rotate(now) {
            self.hand_over(lane, to, now);
        }
    }

    /// Gives a lane to a member. Messages that were open or not committed come again.
    fn hand_over(&mut self, lane: u32, to: MemberId, now: Instant) {
        self.reopen(lane, now);
        self.members.give(lane, to);
    }

    /// Takes back everything of a lane that is not committed.
    fn reopen(&mut self, lane: u32, now: Instant) {
        let key = SlotKey { lane, key: None };
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let done = std::mem::take(&mut slot.done);
        let out: Vec<u64> = slot.out.values().copied().collect();
        self.all_back(out, now);
        for entry in done.into_values() {
            self.put_back(&key, entry, false, now);
        }
        if self.declared.attempts == AttemptCount::Volatile {
            self.forget_counts(lane);
        }
    }

    fn forget_counts(&mut self, lane: u32) {
        for (_, slot) in self.slots.iter_mut().filter(|(key, _)| key.lane == lane) {
            slot.ready.values_mut().for_each(|entry| (entry.deliveries, entry.recovered) = (0, true));
        }
    }

    /// A member's connection is lost.
    pub(super) fn disconnect(&mut self, member: MemberId, now: Instant) {
        if !self.members.is_member(member) {
            return;
        }
        let held = self.tags_of(member);
        match self.policy.at_disconnect {
            AtDisconnect::Return => self.all_back(held, now),
            AtDisconnect::KeepLease => {}
            AtDisconnect::EndLease(after) => self.shorten(&held, now + after),
        }
        self.left(member, now);
    }

    /// A member leaves and releases its open deliveries. Returns how many there were.
    pub(super) fn leave(&mut self, member: MemberId, now: Instant) -> usize {
        let held = self.tags_of(member);
        let (Release::Front { counts } | Release::Back { counts } | Release::Anywhere { counts }) =
            self.declared.release;
        // In their old places: the order is kept.
        held.iter().for_each(|tag| self.give_back(*tag, counts, false, now));
        self.left(member, now);
        held.len()
    }

    fn left(&mut self, member: MemberId, now: Instant) {
        self.last_used = now;
        let ends_lanes = self.policy.at_disconnect == AtDisconnect::Return;
        for lane in self.members.remove(member) {
            self.reopen(lane, now);
        }
        if ends_lanes && self.declared.attempts == AttemptCount::Volatile && self.declared.order == OrderSupport::None {
            self.forget_counts(0);
        }
        self.rebalance(now);
    }

    fn tags_of(&self, member: MemberId) -> Vec<u64> {
        self.out.iter().filter(|(_, out)| out.member == member).map(|(tag, _)| *tag).collect()
    }

    fn shorten(&mut self, tags: &[u64], until: Instant) {
        for tag in tags {
            let Some(out) = self.out.get_mut(tag) else { continue };
            let end = out.lease_until.map_or(until, |at| at.min(until));
            if let Some(at) = out.lease_until.replace(end) {
                self.leases.remove(&(at, *tag));
            }
            self.leases.insert((end, *tag));
        }
    }

    /// The server has ended suddenly and is back: the state that it held in memory only is lost.
    pub(super) fn restart(&mut self, now: Instant) {
        for member in self.members.which(|_| true) {
            self.disconnect(member, now);
        }
        if !self.declared.durable {
            self.clear();
        }
        let flush = self.policy.ack_flush;
        for (at, slot, mut entry) in std::mem::take(&mut self.unflushed) {
            if at + flush > now {
                entry.not_before = None;
                self.open = (self.open.0 + 1, self.open.1 + entry.message.size());
                self.put_back(&slot, entry, false, now);
            }
        }
        if self.declared.attempts == AttemptCount::Volatile {
            for slot in self.slots.values_mut() {
                slot.ready.values_mut().for_each(|entry| entry.deliveries = 0);
            }
        }
    }

    /// Takes a message back that an earlier process has not settled.
    pub(super) fn restore(&mut self, message: Arc<Stored>, not_before: Option<Instant>, now: Instant) {
        let rank = self.rank();
        let entry = Entry { message, rank, deliveries: 0, not_before, recovered: true };
        match not_before.filter(|_| self.declared.retry.is_some_and(|retry| !retry.keeps_order)) {
            Some(due) => {
                self.count(&entry);
                self.later.insert((due, rank), (self.slot_of(&entry.message), entry));
            }
            None => self.insert(entry, now),
        }
    }

    /// Continues the lanes of a member with these messages only. Open deliveries are stale.
    pub(super) fn reset(&mut self, member: MemberId, messages: &[Arc<Stored>], only: Option<u32>, now: Instant) {
        let lanes: Vec<u32> =
            self.members.held_by(member).into_iter().filter(|lane| only.is_none_or(|only| only == *lane)).collect();
        let concerns = |lane: u32| lanes.contains(&lane);
        let tags: Vec<u64> = self.out.iter().filter(|(_, o)| concerns(o.slot.lane)).map(|(tag, _)| *tag).collect();
        self.all_back(tags, now);
        let slots: Vec<SlotKey> = self.slots.keys().filter(|key| concerns(key.lane)).cloned().collect();
        for key in slots {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            let dropped: Vec<_> = std::mem::take(&mut slot.ready)
                .into_values()
                .chain(std::mem::take(&mut slot.done).into_values())
                .collect();
            dropped.iter().for_each(|entry| self.forget(entry));
            self.refresh(&key, now);
        }
        let later = std::mem::take(&mut self.later);
        for (at, (slot, entry)) in later {
            if concerns(slot.lane) { self.forget(&entry) } else { drop(self.later.insert(at, (slot, entry))) }
        }
        for message in messages {
            if concerns(self.lane_of(message)) {
                self.enqueue(Arc::clone(message), now);
            }
        }
    }

    /// The lane of a message in this group.
    pub(super) fn lane_of(&self, message: &Stored) -> u32 {
        if matches!(self.declared.order, OrderSupport::Lane { .. }) { message.lane.into() } else { 0 }
    }
}
