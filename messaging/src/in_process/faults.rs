//! Faults to order, for tests and simulations.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::requests::of_profile;
use super::server::Server;
use super::stored::Written;
use super::topic::Outcome;
use crate::{Binding, BrokerError, BrokerPosition, RawMessage, Topic};

/// A fault that the next published messages meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublishFault {
    /// The message is stored, and its fate is [`Unknown`](crate::Fate::Unknown).
    StoredUnknown,
    /// The message is not stored, and its fate is [`Unknown`](crate::Fate::Unknown).
    LostUnknown,
    /// The message is not stored, and its fate is [`NotSent`](crate::Fate::NotSent) with an error that time heals.
    NotSent,
    /// The message is [`Refused`](crate::Fate::Refused) by the broker.
    Refused,
}

/// The faults of an in-process broker, as [`InProcess::faults`](super::InProcess::faults) returns it: those of real
/// brokers and networks, on order. Clones control the same broker.
#[derive(Clone, Debug)]
pub struct Faults(pub(super) Arc<Server>);

impl Faults {
    /// Lets the next messages that are published meet this fault. With a profile of requests that succeed or fail as a
    /// whole it counts requests. Orders queue up.
    pub fn publishes(&self, count: usize, fault: PublishFault) {
        if count > 0 {
            self.0.change(|state| state.publish_faults.push_back((count, fault)));
        }
    }

    /// Cancels the orders of [`publishes`](Self::publishes) that are still open, and returns for how many messages.
    pub fn cancel_publishes(&self) -> usize {
        self.0.change(|state| state.publish_faults.drain(..).map(|(count, _)| count).sum())
    }

    /// Cuts the connections of all consumers: their open deliveries become stale, or wait for the end of their leases,
    /// as the profile says. Their next call fails, and the one after it reconnects.
    pub fn cut_connections(&self) {
        let now = Instant::now();
        let buffered = of_profile(self.0.settings.profile) == crate::RequestReply::Native { buffered: true };
        self.0.change(|state| {
            state.inboxes.cut(buffered);
            for group in state.groups() {
                for member in group.members.which(|_| true) {
                    group.disconnect(member, now);
                }
            }
        });
    }

    /// Freezes the server: calls end with [`TimedOut`](BrokerError::TimedOut) after their time of ten seconds. Messages
    /// published meanwhile are stored at the [`thaw`](Self::thaw), though they were reported as unknown.
    pub fn freeze(&self) {
        self.0.change(|state| state.frozen = true);
    }

    /// Lets a frozen server go on. It first works off the requests that were sent to it.
    pub fn thaw(&self) {
        self.0.change(|state| {
            state.frozen = false;
            for (topic, batch) in std::mem::take(&mut state.sent_while_frozen) {
                // Their publishers have been told already.
                drop(self.0.publish_now(state, &topic, batch));
            }
        });
    }

    /// Ends the server suddenly: calls fail until it is [started](Self::start).
    pub fn kill(&self) {
        self.0.change(|state| {
            (state.down, state.frozen) = (true, false);
            state.epoch += 1;
            state.sent_while_frozen.clear();
            state.inboxes.cut(false);
        });
        // The state held in memory only is gone from this moment on.
        self.forget_volatile();
    }

    /// Starts the server after a [`kill`](Self::kill). A durable broker reads its store before it answers calls.
    pub fn start(&self) {
        self.0.start();
    }

    /// Ends the server suddenly and starts it again. Messages, acknowledgements and counts that the profile does not
    /// declare durable are lost; topics and groups stay declared.
    pub fn restart(&self) {
        self.kill();
        self.start();
    }

    fn forget_volatile(&self) {
        let now = Instant::now();
        self.0.change(|state| {
            for topic in state.topics.values_mut() {
                let durable = self.0.topic_policy(&topic.topic).0.durable;
                topic.restart(durable, now);
            }
        });
    }

    /// Moves each lane of every group to the next member, as a rebalance does. Where lanes are announced, members are told;
    /// where no lanes are held, nothing happens.
    pub fn move_lanes(&self) {
        let now = Instant::now();
        self.0.change(|state| state.groups().for_each(|group| group.rotate(now)));
    }

    /// Delays every call of a broker or consumer by this time.
    pub fn set_latency(&self, latency: Duration) {
        self.0.set_latency(latency);
    }

    /// Stores a message in native terms, as a program without recount would publish it. A durable broker delivers it once it
    /// is stored.
    ///
    /// # Errors
    /// [`BrokerError::Missing`] if there is no such topic, [`BrokerError::Failed`] if it is full.
    pub fn publish_raw(
        &self,
        topic: &Topic,
        key: &str,
        headers: Vec<(String, Bytes)>,
        body: Bytes,
    ) -> Result<BrokerPosition, BrokerError> {
        let now = Instant::now();
        let published_at = self.0.timestamp(now);
        let written = Written { identity: None, headers: headers.into_iter().collect(), body };
        let failed = |source| Err(BrokerError::Failed { operation: "publish", source });
        self.0.change(|state| {
            let stored = match state.topic(topic)?.admit(key, written, published_at, now) {
                Outcome::Stored(stored) => stored,
                Outcome::Duplicate => return failed("it is a duplicate".into()),
                Outcome::Full(reason) => return failed(reason.into()),
            };
            let position = BrokerPosition(stored.sequence, 0);
            if self.0.log.is_some() {
                drop(self.0.store_messages(state, topic, vec![stored]));
            } else {
                state.topic(topic)?.deliver(stored, now);
            }
            Ok(position)
        })
    }

    /// The messages that the broker itself has set aside for a group, oldest first: the last ten thousand.
    ///
    /// # Errors
    /// [`BrokerError::Missing`] if there is no such group.
    pub fn dead_letters(&self, binding: &Binding) -> Result<Vec<RawMessage>, BrokerError> {
        let mut state = self.0.lock();
        let group = state.group(binding)?;
        let origin: Arc<str> = binding.topic.name().into();
        Ok(group.dead().map(|stored| stored.written.raw(Arc::clone(&origin))).collect())
    }

    /// How many messages a group has not settled.
    ///
    /// # Errors
    /// [`BrokerError::Missing`] if there is no such group.
    pub fn backlog(&self, binding: &Binding) -> Result<usize, BrokerError> {
        Ok(self.0.lock().group(binding)?.open.0)
    }
}
