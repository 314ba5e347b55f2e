//! Requests and replies without a topic, in the profiles of brokers that carry them.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use recount_core::EventId;

use super::connection::Connection;
use super::policy::Policy;
use super::server::{Server, State, unavailable};
use super::stored::Written;
use super::{Faults, InProcess, Profile};
use crate::{
    BrokerError, InboxSignal, Message, NativeRequests, Order, Outgoing, Refusal, RequestInbox, RequestReply, Topic,
    Undelivered,
};

const REQUEST: &str = "request";
/// The start of addresses.
const ADDRESS: &str = "inbox-";
/// How many messages wait in an inbox. Further ones are dropped, as brokers do for slow receivers.
const CAPACITY: usize = 10_000;

/// The open inboxes.
#[derive(Debug, Default)]
pub(super) struct Inboxes {
    by_address: HashMap<Arc<str>, InboxState>,
    /// The inboxes that serve a topic, the next one first.
    serving: HashMap<String, VecDeque<Arc<str>>>,
}

#[derive(Debug, Default)]
struct InboxState {
    waiting: VecDeque<Arrived>,
    /// Its connection was cut, and its owner does not know yet.
    cut: bool,
}

#[derive(Debug)]
enum Arrived {
    Message(Written),
    NoResponders(String),
}

impl Inboxes {
    fn put(&mut self, address: &str, arrived: Arrived) -> Result<(), Undelivered> {
        let inbox = self.by_address.get_mut(address).ok_or(Undelivered::NoReceiver)?;
        if inbox.waiting.len() < CAPACITY {
            inbox.waiting.push_back(arrived);
        }
        Ok(())
    }

    /// The next inbox in turn.
    fn next_of(&mut self, topic: &str) -> Option<Arc<str>> {
        let serving = self.serving.get_mut(topic)?;
        let next = serving.pop_front()?;
        serving.push_back(Arc::clone(&next));
        Some(next)
    }

    /// Cuts the connections. Brokers that buffer keep the messages of requesters.
    pub(super) fn cut(&mut self, buffered: bool) {
        for inbox in self.by_address.values_mut() {
            inbox.cut = true;
            if !buffered {
                inbox.waiting.clear();
            }
        }
    }
}

/// An inbox, which ends when it is dropped.
struct Inbox {
    connection: Arc<Connection>,
    address: Arc<str>,
    topic: Option<String>,
}

impl Inbox {
    fn open(connection: &Arc<Connection>, topic: Option<&Topic>) -> Self {
        let (connection, topic) = (Arc::clone(connection), topic.map(|topic| topic.name().to_owned()));
        let address: Arc<str> = format!("{ADDRESS}{}", EventId::new().0.simple()).into();
        connection.server.change(|state| {
            state.inboxes.by_address.insert(Arc::clone(&address), InboxState::default());
            if let Some(topic) = &topic {
                state.inboxes.serving.entry(topic.clone()).or_default().push_back(Arc::clone(&address));
            }
        });
        Self { connection, address, topic }
    }

    /// The next message, if there is one.
    fn poll(&self) -> Option<Result<Arrived, BrokerError>> {
        let mut state = self.connection.server.lock();
        let inbox = state.inboxes.by_address.get_mut(&self.address)?;
        if std::mem::take(&mut inbox.cut) {
            return Some(Err(unavailable("receive", "the connection was lost")));
        }
        inbox.waiting.pop_front().map(Ok)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.connection.server.change(|state| {
            state.inboxes.by_address.remove(&self.address);
            if let Some(serving) = self.topic.as_ref().and_then(|topic| state.inboxes.serving.get_mut(topic)) {
                serving.retain(|address| *address != self.address);
            }
        });
    }
}

#[async_trait]
impl RequestInbox for Inbox {
    fn address(&self) -> &str {
        &self.address
    }

    async fn next(&mut self) -> Result<InboxSignal, BrokerError> {
        let server = &self.connection.server;
        loop {
            let mut changes = server.changes();
            self.connection.reach("receive").await?;
            match self.poll() {
                Some(Ok(Arrived::Message(written))) => {
                    return Ok(written.read(server.requests_form()).into());
                }
                Some(Ok(Arrived::NoResponders(request))) => return Ok(InboxSignal::NoResponders { request }),
                Some(Err(error)) => return Err(error),
                None => {
                    let _ = changes.changed().await;
                }
            }
        }
    }

    async fn close(self: Box<Self>) -> Vec<Message> {
        let server = &self.connection.server;
        let waiting = server.change(|state| {
            let inbox = state.inboxes.by_address.get_mut(&self.address);
            inbox.map(|inbox| std::mem::take(&mut inbox.waiting)).unwrap_or_default()
        });
        let messages = waiting.into_iter().filter_map(|arrived| match arrived {
            Arrived::Message(written) => written.read(server.requests_form()).ok(),
            Arrived::NoResponders(_) => None,
        });
        messages.collect()
    }
}

impl Server {
    fn requests_form(&self) -> crate::envelope::HeaderForm {
        let topic = self.request_topic();
        topic.map_or(crate::envelope::HeaderForm::KAFKA, |topic| self.topic_policy(&topic).1.form)
    }

    /// A topic that stands for all requests: its limits are theirs.
    fn request_topic(&self) -> Option<Topic> {
        Topic::new(REQUEST).ok().map(|topic| topic.with_lanes(NonZeroU16::MIN))
    }

    fn write(&self, message: Message) -> Result<Written, Undelivered> {
        let id = message.id.to_string();
        let invalid = || Refusal::Invalid { id, reason: "there is no topic of requests".to_owned() };
        let topic = self.request_topic().ok_or_else(invalid)?;
        let declared = self.settings.profile.declared(Order::Unordered, &topic, Duration::ZERO);
        let policy = Policy::of(self.settings.profile, &declared);
        Ok(Written::new(&Outgoing::new(message), &declared, &policy)?)
    }
}

#[async_trait]
impl NativeRequests for InProcess {
    async fn inbox(&self) -> Result<Box<dyn RequestInbox>, BrokerError> {
        self.connection.reach("open an inbox").await?;
        Ok(Box::new(Inbox::open(&self.connection, None)))
    }

    async fn serve(&self, topic: &Topic) -> Result<Box<dyn RequestInbox>, BrokerError> {
        self.connection.reach("serve requests").await?;
        Ok(Box::new(Inbox::open(&self.connection, Some(topic))))
    }

    async fn request(&self, topic: &Topic, message: Message, _: Duration) -> Result<(), Undelivered> {
        self.connection.reach(REQUEST).await?;
        let server = &self.connection.server;
        let (key, reply_to) = (message.idempotency_key.clone(), message.reply_to.clone());
        let written = server.write(message)?;
        server.change(|state: &mut State| match state.inboxes.next_of(topic.name()) {
            Some(address) => state.inboxes.put(&address, Arrived::Message(written)),
            // NATS tells it by a message of its own.
            None => match (self.profile(), key, reply_to) {
                (Profile::Nats, Some(key), Some(address)) => {
                    state.inboxes.put(&address, Arrived::NoResponders(key.to_string()))
                }
                _ => Err(Undelivered::NoReceiver),
            },
        })
    }

    async fn send(&self, address: &str, message: Message) -> Result<(), Undelivered> {
        self.connection.reach("reply").await?;
        let written = self.connection.server.write(message)?;
        self.connection.server.change(|state| state.inboxes.put(address, Arrived::Message(written)))
    }
}

impl Faults {
    /// Sends a request in native terms, as a program without recount would.
    ///
    /// # Errors
    /// [`Undelivered::NoReceiver`] if no inbox serves the topic.
    pub fn request_raw(&self, topic: &Topic, headers: Vec<(String, Bytes)>, body: Bytes) -> Result<(), Undelivered> {
        let written = Written { identity: None, headers: headers.into_iter().collect(), body };
        self.0.change(|state| {
            let address = state.inboxes.next_of(topic.name()).ok_or(Undelivered::NoReceiver)?;
            state.inboxes.put(&address, Arrived::Message(written))
        })
    }

    /// Sends a message in native terms to the address of an inbox.
    ///
    /// # Errors
    /// [`Undelivered::NoReceiver`] if there is no such inbox.
    pub fn send_raw(&self, address: &str, headers: Vec<(String, Bytes)>, body: Bytes) -> Result<(), Undelivered> {
        let written = Written { identity: None, headers: headers.into_iter().collect(), body };
        self.0.change(|state| state.inboxes.put(address, Arrived::Message(written)))
    }
}

/// Whether the profile carries requests, and keeps replies for a requester that is away.
pub(super) fn of_profile(profile: Profile) -> RequestReply {
    match profile {
        Profile::Own | Profile::RabbitMq => RequestReply::Native { buffered: true },
        Profile::Nats => RequestReply::Native { buffered: false },
        Profile::Kafka | Profile::Pulsar | Profile::Fifo | Profile::PubSub => RequestReply::Emulated,
    }
}
