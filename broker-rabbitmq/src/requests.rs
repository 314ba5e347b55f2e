//! Requests and replies over queues that are not kept.
//!
//! The requests of a topic go to the queue `recount.TOPIC:ask`, which ends with its last consumer. The server returns a
//! request without that queue. Replies go to a queue of the requester, `recount:inbox:ID`, which waits a minute for a
//! requester that reconnects. The messages of both are in memory only. Servers from 4.3 on refuse queues that are neither
//! durable nor exclusive, so both queues are durable.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::message::Delivery as Native;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Consumer};
use recount_core::EventId;
use recount_messaging::{
    BrokerError, InboxSignal, Message, NativeRequests, Outgoing, Refusal, RequestInbox, Topic, Undelivered,
};
use tokio::time::{Instant, timeout};

use crate::RabbitOptions;
use crate::broker::RabbitBroker;
use crate::envelope::{Limits, properties, read};
use crate::error::{bounded, lost, meaning};
use crate::link::Link;
use crate::publish::Publisher;

/// The start of the names of requesters' queues.
const INBOX: &str = "recount:inbox:";
/// After so long without a consumer the server removes a queue, in milliseconds.
const EXPIRES: i32 = 60_000;
/// How many messages a requester's queue holds. The server drops the oldest ones beyond it.
const MAX_LENGTH: i32 = 10_000;
const PREFETCH: u16 = 256;
/// The delivery mode of messages in memory.
const IN_MEMORY: u8 = 1;
/// The name of the channel of replies. No topic has it.
const REPLIES: &str = ":replies";
const SEND: &str = "sending a request or reply";
const RECEIVE: &str = "receiving";

fn requests(topic: &Topic) -> String {
    format!("recount.{topic}:ask")
}

/// Whether a text is the name of a requester's queue: any other queue or exchange is not for replies.
fn is_inbox(address: &str) -> bool {
    address.strip_prefix(INBOX).is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl RabbitBroker {
    async fn deliver(&self, queue: String, message: Message, within: Option<Duration>) -> Result<(), Undelivered> {
        let _call = self.under_way().await?;
        let outgoing = Outgoing::new(message);
        let limits: Limits = self.limits();
        let mut properties = properties(&outgoing, limits)?.with_delivery_mode(IN_MEMORY);
        if let Some(within) = within {
            let millis = u32::try_from(within.as_millis()).unwrap_or(u32::MAX).max(1);
            properties = properties.with_expiration(millis.to_string().into());
        }
        self.publisher().deliver(&queue, within.is_some(), outgoing, properties).await
    }
}

impl Publisher {
    /// Sends a request or a reply to a queue, and waits until the server has it. A request that no queue takes comes back. Replies
    /// share a channel, where a returned message would be taken for another one, so theirs are dropped.
    pub(crate) async fn deliver(
        &self,
        queue: &str,
        is_request: bool,
        outgoing: Outgoing,
        properties: BasicProperties,
    ) -> Result<(), Undelivered> {
        let id = outgoing.message.id.as_str().to_owned();
        let session = self.session().await?;
        let channels = session.channels_of(if is_request { queue } else { REPLIES }, 1, &self.options).await?;
        let [channel, ..] = &*channels else { return Err(lost(SEND).into()) };
        session.check_unblocked(SEND)?;
        let mandatory = BasicPublishOptions { mandatory: is_request, immediate: false };
        let confirmed = async {
            let data = &outgoing.message.data;
            channel.basic_publish(ShortString::default(), queue.into(), mandatory, data, properties).await?.await
        };
        let limit = self.options.call_timeout;
        match timeout(limit, confirmed).await {
            Ok(Ok(Confirmation::Ack(None))) => Ok(()),
            Ok(Ok(Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)))) => match returned.reply_code
            {
                312 => Err(Undelivered::NoReceiver),
                _ => Err(Refusal::Broker { id, reason: returned.reply_text.to_string() }.into()),
            },
            Ok(Ok(_)) => {
                let source = "the server has not taken it".into();
                Err(BrokerError::Unavailable { operation: SEND, source }.into())
            }
            Ok(Err(error)) => Err(meaning(SEND, error).into()),
            Err(_) => {
                session.give_up();
                Err(BrokerError::TimedOut { operation: SEND, limit }.into())
            }
        }
    }
}

#[async_trait]
impl NativeRequests for RabbitBroker {
    async fn inbox(&self) -> Result<Box<dyn RequestInbox>, BrokerError> {
        self.check_open()?;
        let queue = format!("{INBOX}{}", EventId::new().0.simple());
        Ok(Box::new(RabbitInbox::open(self.settings().clone(), queue, false).await?))
    }

    async fn serve(&self, topic: &Topic) -> Result<Box<dyn RequestInbox>, BrokerError> {
        self.check_open()?;
        Ok(Box::new(RabbitInbox::open(self.settings().clone(), requests(topic), true).await?))
    }

    async fn request(&self, topic: &Topic, message: Message, within: Duration) -> Result<(), Undelivered> {
        self.deliver(requests(topic), message, Some(within)).await
    }

    async fn send(&self, address: &str, message: Message) -> Result<(), Undelivered> {
        if !is_inbox(address) {
            return Err(Undelivered::not_an_inbox(&message, address));
        }
        self.deliver(address.to_owned(), message, None).await
    }
}

/// A queue with a connection of its own, which is made anew when it was lost.
struct RabbitInbox {
    options: RabbitOptions,
    queue: String,
    /// Whether several consumers share the queue, which ends with the last one.
    shared: bool,
    open: Option<Open>,
    /// A message that is being acknowledged.
    taken: Option<Native>,
}

struct Open {
    /// Declared before the connection, which is cut when it is dropped.
    channel: Channel,
    consumer: Consumer,
    link: Link,
}

impl RabbitInbox {
    async fn open(options: RabbitOptions, queue: String, shared: bool) -> Result<Self, BrokerError> {
        let open = Some(Open::new(&options, &queue, shared).await?);
        Ok(Self { options, queue, shared, open, taken: None })
    }

    /// Waits for a message, and acknowledges it before it is handled: no message is delivered twice.
    async fn take(&mut self) -> Result<Native, BrokerError> {
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(Open::new(&self.options, &self.queue, self.shared).await?),
        };
        if self.taken.is_none() {
            let native = match open.consumer.next().await {
                Some(Ok(native)) => native,
                Some(Err(error)) => return Err(meaning(RECEIVE, error)),
                None => return Err(lost(RECEIVE)),
            };
            let tag = native.delivery_tag;
            self.taken = Some(native);
            // If this call is dropped here, the acknowledgement of the next message covers this one.
            let all = BasicAckOptions { multiple: true };
            bounded(RECEIVE, self.options.call_timeout, open.channel.basic_ack(tag, all)).await?;
        }
        self.taken.take().ok_or_else(|| lost(RECEIVE))
    }
}

impl Open {
    async fn new(options: &RabbitOptions, queue: &str, shared: bool) -> Result<Self, BrokerError> {
        const OPERATION: &str = "opening an inbox";
        let limit = options.call_timeout;
        let link = Link::open(options, "requests").await?;
        let channel = link.channel().await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-expires".into(), AMQPValue::LongInt(EXPIRES));
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(MAX_LENGTH));
        let declare = QueueDeclareOptions { durable: true, auto_delete: shared, ..QueueDeclareOptions::default() };
        bounded(OPERATION, limit, channel.queue_declare(queue.into(), declare, arguments)).await?;
        bounded(OPERATION, limit, channel.basic_qos(PREFETCH, BasicQosOptions::default())).await?;
        let (tag, consume) = (ShortString::default(), BasicConsumeOptions::default());
        let consumer = channel.basic_consume(queue.into(), tag, consume, FieldTable::default());
        let consumer = bounded(OPERATION, limit, consumer).await?;
        Ok(Self { channel, consumer, link })
    }
}

#[async_trait]
impl RequestInbox for RabbitInbox {
    fn address(&self) -> &str {
        &self.queue
    }

    async fn next(&mut self) -> Result<InboxSignal, BrokerError> {
        match self.take().await {
            Ok(native) => Ok(read(native, &self.queue.as_str().into()).message.into()),
            Err(error) => {
                self.open = None;
                self.taken = None;
                Err(error)
            }
        }
    }

    async fn close(mut self: Box<Self>) -> Vec<Message> {
        // It is acknowledged. The server gives the other ones to another consumer of the queue.
        let taken = self.taken.take();
        let left = taken.and_then(|native| read(native, &self.queue.as_str().into()).message.ok());
        if let Some(Open { channel, consumer, link }) = self.open.take() {
            let limit = self.options.call_timeout;
            // A server that does not answer ends the consumer with the connection.
            let cancel = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
            let _ = bounded(RECEIVE, limit, cancel).await;
            link.close(Instant::now() + limit).await;
        }
        left.into_iter().collect()
    }
}
