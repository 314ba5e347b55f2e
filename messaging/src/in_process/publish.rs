//! Publishing: a batch in, the fate of each message out.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::durable::Pending;
use super::faults::PublishFault;
use super::policy::Policy;
use super::server::{CALL_LIMIT, Server, State, unavailable};
use super::stored::{Stored, Written};
use super::topic::Outcome;
use crate::{BrokerError, BrokerPosition, Capabilities, Fate, Outgoing, Refusal, Topic};

const PUBLISH: &str = "publish";

impl Server {
    /// Publishes a batch, unless the server does not answer.
    pub(super) async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        let count = batch.len();
        match self.reach(PUBLISH).await {
            Ok(()) => {
                let (fates, pending) = self.change(|state| self.publish_now(state, topic, batch));
                match pending.stored(PUBLISH).await {
                    Ok(()) => fates,
                    Err(error) => unknown(fates, &error),
                }
            }
            Err(BrokerError::TimedOut { .. }) => {
                // It is on its way: a frozen server stores it when it goes on.
                self.keep_on_the_way(topic, batch);
                let late = || BrokerError::TimedOut { operation: PUBLISH, limit: CALL_LIMIT };
                (0..count).map(|_| Fate::Unknown(late())).collect()
            }
            Err(error) => (0..count).map(|_| Fate::NotSent(Some(again(&error)))).collect(),
        }
    }

    /// Keeps the messages sent to the frozen server, as far as there is room on the way.
    fn keep_on_the_way(&self, topic: &Topic, batch: Vec<Outgoing>) {
        let mut state = self.lock();
        let kept: usize = state.sent_while_frozen.iter().map(|(_, batch)| batch.len()).sum();
        if kept + batch.len() <= self.settings.retained_messages {
            state.sent_while_frozen.push((topic.clone(), batch));
        }
    }

    /// Publishes a batch. The fates hold once the messages are stored.
    pub(super) fn publish_now(&self, state: &mut State, topic: &Topic, batch: Vec<Outgoing>) -> (Vec<Fate>, Pending) {
        let (declared, policy) = self.topic_policy(topic);
        let (stopped, admitted) = (HashSet::new(), Vec::new());
        let mut request = Request { server: self, state, topic, declared, policy, stopped, admitted };
        let fates = if request.declared.batch.one_key {
            request.by_key(batch)
        } else {
            batch.iter().map(|outgoing| request.one(outgoing)).collect()
        };
        let admitted = request.admitted;
        // A duplicate is stored when the earlier changes are: so it waits for them.
        (fates, self.store_messages(state, topic, admitted))
    }
}

/// A batch on its way into a topic.
struct Request<'p> {
    server: &'p Server,
    state: &'p mut State,
    topic: &'p Topic,
    declared: Capabilities,
    policy: Policy,
    /// The keys of which a message was not stored.
    stopped: HashSet<String>,
    /// The messages on their way to the store.
    admitted: Vec<Arc<Stored>>,
}

impl Request<'_> {
    fn one(&mut self, outgoing: &Outgoing) -> Fate {
        if self.stopped.contains(outgoing.lane_key()) {
            return Fate::NotSent(None);
        }
        let fate = match Written::new(outgoing, &self.declared, &self.policy) {
            Err(refusal) => Fate::Refused(refusal),
            Ok(written) => match self.state.next_publish_fault() {
                Some(fault) => self.faulty(fault, outgoing, written),
                None => self.store(outgoing, written),
            },
        };
        if !fate.is_stored() {
            self.stopped.insert(outgoing.lane_key().to_owned());
        }
        fate
    }

    /// One request for each key, which is stored as a whole or not at all.
    fn by_key(&mut self, batch: Vec<Outgoing>) -> Vec<Fate> {
        let mut faults = std::collections::HashMap::new();
        let mut fates = Vec::with_capacity(batch.len());
        for outgoing in &batch {
            if self.stopped.contains(outgoing.lane_key()) {
                fates.push(Fate::NotSent(None));
                continue;
            }
            // The adapter checks limits before it sends a request.
            let written = match Written::new(outgoing, &self.declared, &self.policy) {
                Ok(written) => written,
                Err(refusal) => {
                    self.stopped.insert(outgoing.lane_key().to_owned());
                    fates.push(Fate::Refused(refusal));
                    continue;
                }
            };
            let key = outgoing.lane_key().to_owned();
            let fault = *faults.entry(key).or_insert_with(|| self.state.next_publish_fault());
            fates.push(match fault {
                Some(fault) => self.faulty(fault, outgoing, written),
                None => self.store(outgoing, written),
            });
        }
        fates
    }

    fn faulty(&mut self, fault: PublishFault, outgoing: &Outgoing, written: Written) -> Fate {
        let id = outgoing.message.id.to_string();
        match fault {
            PublishFault::StoredUnknown => {
                let stored = self.store(outgoing, written);
                let lost = unavailable(PUBLISH, "the connection was lost before the confirmation came");
                if stored.is_stored() { Fate::Unknown(lost) } else { stored }
            }
            PublishFault::LostUnknown => {
                Fate::Unknown(unavailable(PUBLISH, "the connection was lost before the message arrived"))
            }
            PublishFault::NotSent => Fate::NotSent(Some(unavailable(PUBLISH, "a fault was ordered"))),
            PublishFault::Refused => Fate::Refused(Refusal::Broker { id, reason: "a fault was ordered".to_owned() }),
        }
    }

    fn store(&mut self, outgoing: &Outgoing, written: Written) -> Fate {
        let now = Instant::now();
        let published_at = self.server.timestamp(now);
        let id = outgoing.message.id.to_string();
        let topic = match self.state.topic(self.topic) {
            Ok(topic) => topic,
            Err(missing) => return Fate::NotSent(Some(missing)),
        };
        if self.policy.refuses_unroutable && topic.groups.is_empty() {
            return Fate::Refused(Refusal::Unroutable { id, topic: self.topic.to_string() });
        }
        match topic.admit(outgoing.lane_key(), written, published_at, now) {
            Outcome::Stored(stored) => {
                let position = BrokerPosition(stored.sequence, 0);
                if self.server.log.is_some() {
                    self.admitted.push(stored);
                } else {
                    topic.deliver(stored, now);
                }
                Fate::Stored(Some(position))
            }
            Outcome::Duplicate => Fate::Duplicate,
            Outcome::Full(reason) => Fate::NotSent(Some(unavailable(PUBLISH, reason))),
        }
    }
}

/// The fates of messages that could not be stored in time.
fn unknown(fates: Vec<Fate>, error: &BrokerError) -> Vec<Fate> {
    fates.into_iter().map(|fate| if fate.is_stored() { Fate::Unknown(again(error)) } else { fate }).collect()
}

/// The same error for another message or settlement of a call.
pub(super) fn again(error: &BrokerError) -> BrokerError {
    match error {
        BrokerError::TimedOut { operation, limit } => BrokerError::TimedOut { operation, limit: *limit },
        BrokerError::Unavailable { operation, source } => unavailable(operation, source.to_string()),
        BrokerError::Closed => BrokerError::Closed,
        other => unavailable(PUBLISH, other.to_string()),
    }
}

impl State {
    fn next_publish_fault(&mut self) -> Option<PublishFault> {
        let (left, fault) = self.publish_faults.front_mut()?;
        let fault = *fault;
        *left -= 1;
        if *left == 0 {
            self.publish_faults.pop_front();
        }
        Some(fault)
    }
}
