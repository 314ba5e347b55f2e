//! Settling and extending deliveries.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::group::{Group, Out};
use super::server::moment;
use super::slot::{Entry, SlotKey};
use super::stored::Stored;
use crate::{AckSupport, BrokerDeadLetters, Extend, Release, Settle, Settled};

/// How many dead letters of a group are kept.
const MAX_DEAD: usize = 10_000;

impl Group {
    /// Settles a delivery.
    pub(super) fn settle(&mut self, tag: u64, settle: Settle, now: Instant) -> Settled {
        if !self.out.contains_key(&tag) {
            return Settled::Stale;
        }
        match settle {
            Settle::Ack => self.ack(tag, now),
            Settle::Release => {
                self.release(tag, now);
                self.done()
            }
            Settle::Retry { after } => self.retry(tag, after, now),
            Settle::Reject(_) => {
                let message = self.out.get(&tag).map(|out| Arc::clone(&out.entry.message));
                if self.declared.dead_letters != BrokerDeadLetters::None {
                    message.into_iter().for_each(|message| self.bury(message));
                }
                self.ack(tag, now)
            }
        }
    }

    /// The broker's answer to a settlement that it has taken.
    fn done(&self) -> Settled {
        match self.declared.ack {
            AckSupport::PerMessage { confirmed: false, .. } => Settled::Sent,
            AckSupport::PerMessage { .. } | AckSupport::Cumulative | AckSupport::AtMostOnce => Settled::Confirmed,
        }
    }

    fn ack(&mut self, tag: u64, now: Instant) -> Settled {
        let Some(out) = self.close(tag) else { return Settled::Stale };
        let (key, rank) = (out.slot, out.entry.rank);
        if self.declared.ack != AckSupport::Cumulative {
            self.finish(&key, out.entry, now);
            self.refresh(&key, now);
            return self.done();
        }
        let slot = self.slots.entry(key.clone()).or_default();
        slot.done.insert(rank, out.entry);
        let committed = slot.take_committed();
        let confirmed = committed.iter().any(|entry| entry.rank == rank);
        for entry in committed {
            self.finish(&key, entry, now);
        }
        self.refresh(&key, now);
        // An acknowledgement behind an open message is remembered here only.
        if confirmed { Settled::Confirmed } else { Settled::Sent }
    }

    /// Removes a message that was handled.
    fn finish(&mut self, slot: &SlotKey, entry: Entry, now: Instant) {
        self.forget(&entry);
        let flush = self.policy.ack_flush;
        while self.unflushed.front().is_some_and(|(at, _, _)| *at + flush <= now) {
            self.unflushed.pop_front();
        }
        if !flush.is_zero() {
            self.unflushed.push_back((now, slot.clone(), entry));
        }
    }

    /// Counts a message as settled.
    pub(super) fn forget(&mut self, entry: &Entry) {
        if let Some(progress) = &mut self.progress {
            progress.settle(entry.message.sequence);
        }
        let (count, bytes) = self.open;
        self.open = (count.saturating_sub(1), bytes.saturating_sub(entry.message.size()));
    }

    fn retry(&mut self, tag: u64, after: Duration, now: Instant) -> Settled {
        let held = self.out.get(&tag).map_or(Duration::ZERO, |out| now - out.since);
        let total = self.declared.lease.and_then(|lease| lease.max_total).unwrap_or(Duration::MAX);
        let Some(retry) = self.declared.retry.filter(|retry| after <= retry.max && held.saturating_add(after) <= total)
        else {
            self.release(tag, now);
            return Settled::Unsupported;
        };
        let Some(Out { mut entry, slot: key, .. }) = self.close(tag) else { return Settled::Stale };
        let due = moment(now, after.max(retry.min));
        entry.not_before = Some(due);
        if let Some(progress) = &mut self.progress {
            progress.delay(entry.message.sequence, after.max(retry.min));
        }
        if retry.keeps_order {
            self.slots.entry(key.clone()).or_default().ready.insert(entry.rank, entry);
        } else {
            self.later.insert((due, entry.rank), (key.clone(), entry));
        }
        self.refresh(&key, now);
        self.done()
    }

    /// Extends a lease to this time from now.
    pub(super) fn extend(&mut self, tag: u64, by: Duration, now: Instant) -> Settled {
        let Some(out) = self.out.get_mut(&tag) else { return Settled::Stale };
        let Some(lease) = self.declared.lease.filter(|lease| lease.extend == Extend::Call) else {
            return Settled::Unsupported;
        };
        let until = moment(now, by);
        if lease.max_total.is_some_and(|total| until > out.since + total) {
            return Settled::Unsupported;
        }
        if let Some(at) = out.lease_until.replace(until) {
            self.leases.remove(&(at, tag));
        }
        self.leases.insert((until, tag));
        self.done()
    }

    fn release(&mut self, tag: u64, now: Instant) {
        let (Release::Front { counts } | Release::Back { counts } | Release::Anywhere { counts }) =
            self.declared.release;
        let back = matches!(self.declared.release, Release::Back { .. });
        self.give_back(tag, counts, back, now);
    }

    /// Keeps a message as a dead letter.
    pub(super) fn bury(&mut self, message: Arc<Stored>) {
        if let Some(progress) = &mut self.progress {
            progress.bury(message.sequence);
        }
        self.dead.push_back(message);
        while self.dead.len() > MAX_DEAD {
            let dropped = self.dead.pop_front();
            if let (Some(progress), Some(dropped)) = (&mut self.progress, dropped) {
                progress.exhume(dropped.sequence);
            }
        }
    }

    pub(super) fn dead(&self) -> impl Iterator<Item = &Arc<Stored>> {
        self.dead.iter()
    }
}
