//! Requests and replies over core NATS: nothing is stored.
//!
//! The requests of a topic go to the subject `recount.ask.TOPIC`; its subscribers are a queue group. The reply subject of a
//! request is its requester's inbox and the request's key. Without a subscriber the server answers there.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{HeaderMap, Message as Native, StatusCode, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use recount_messaging::{
    BrokerError, InboxSignal, Message, NativeRequests, Outgoing, Refusal, RequestInbox, Topic, Undelivered,
};
use tokio::time::timeout;

use crate::connection::Connection;
use crate::delivery::{decode, raw};
use crate::publish::encode;

/// The start of the subjects of inboxes, as the client library makes them.
const INBOX: &str = "_INBOX.";
/// The part of an inbox's address for messages that belong to no request.
const DIRECT: &str = "direct";
/// The queue group of the responders of a topic.
const GROUP: &str = "recount";
const REQUEST: &str = "sending a request";
const REPLY: &str = "sending a reply";

/// Requests over a connection.
#[derive(Clone, Debug)]
pub(crate) struct NatsRequests(pub(crate) Arc<Connection>);

fn subject(topic: &Topic) -> String {
    format!("recount.ask.{topic}")
}

/// Whether a text is the subject of an inbox: no wildcard, no subject of the server or an application.
fn is_inbox(address: &str) -> bool {
    let token =
        |token: &str| !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    address.len() <= 256 && address.starts_with(INBOX) && address.split('.').all(token)
}

/// Whether a text can be a part of a subject.
fn is_key(key: &str) -> bool {
    (1..=128).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

impl NatsRequests {
    async fn subscribe(
        &self,
        operation: &'static str,
        subject: String,
        shared: bool,
    ) -> Result<Subscriber, BrokerError> {
        let (client, limit) = (&self.0.client, self.0.options.call_timeout);
        self.0.check_open()?;
        let subscribing = async {
            let failed = |source| BrokerError::Failed { operation, source };
            let subscriber = match shared {
                true => client.queue_subscribe(subject, GROUP.to_owned()).await,
                false => client.subscribe(subject).await,
            };
            let subscriber = subscriber.map_err(|error| failed(error.into()))?;
            self.0.round_trip(operation).await?;
            Ok(subscriber)
        };
        let subscribed = timeout(limit, async {
            self.0.connected(operation, tokio::time::Instant::now() + limit).await?;
            subscribing.await
        });
        subscribed.await.unwrap_or(Err(BrokerError::TimedOut { operation, limit }))
    }

    async fn publish(
        &self,
        operation: &'static str,
        (subject, reply): (String, Option<String>),
        message: Message,
    ) -> Result<(), Undelivered> {
        let outgoing = Outgoing::new(message);
        let headers = encode(&outgoing, None, self.0.max_payload)?;
        let (limit, body) = (self.0.options.call_timeout, outgoing.message.data);
        let sending = async {
            self.0.connected(operation, tokio::time::Instant::now() + limit).await?;
            self.send(subject, reply, headers, body)
                .await
                .map_err(|error| BrokerError::Unavailable { operation, source: error.into() })
        };
        let sent = timeout(limit, sending).await.unwrap_or(Err(BrokerError::TimedOut { operation, limit }));
        Ok(sent?)
    }

    async fn send(
        &self,
        subject: String,
        reply: Option<String>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(), async_nats::PublishError> {
        match reply {
            Some(reply) => self.0.client.publish_with_reply_and_headers(subject, reply, headers, body).await,
            None => self.0.client.publish_with_headers(subject, headers, body).await,
        }
    }
}

#[async_trait]
impl NativeRequests for NatsRequests {
    async fn inbox(&self) -> Result<Box<dyn RequestInbox>, BrokerError> {
        let base = self.0.client.new_inbox();
        let subscriber = self.subscribe("opening an inbox", format!("{base}.*"), false).await?;
        Ok(Box::new(NatsInbox { address: format!("{base}.{DIRECT}"), subscriber, connection: Arc::clone(&self.0) }))
    }

    async fn serve(&self, topic: &Topic) -> Result<Box<dyn RequestInbox>, BrokerError> {
        let subject = subject(topic);
        let subscriber = self.subscribe("serving requests", subject.clone(), true).await?;
        Ok(Box::new(NatsInbox { address: subject, subscriber, connection: Arc::clone(&self.0) }))
    }

    async fn request(&self, topic: &Topic, mut message: Message, _: Duration) -> Result<(), Undelivered> {
        let invalid = |reason: &str| Refusal::Invalid { id: message.id.to_string(), reason: reason.to_owned() };
        let key = message.idempotency_key.as_deref().filter(|key| is_key(key));
        let key = key.ok_or_else(|| invalid("the key of a request is made of ASCII letters, digits and `-`"))?;
        let base = message.reply_to.as_deref().filter(|address| is_inbox(address)).and_then(|a| a.rsplit_once('.'));
        let (base, _) = base.ok_or_else(|| invalid("its address for replies is not one of an inbox"))?;
        let reply = format!("{base}.{key}");
        message.reply_to = Some(reply.as_str().into());
        self.publish(REQUEST, (subject(topic), Some(reply)), message).await
    }

    async fn send(&self, address: &str, message: Message) -> Result<(), Undelivered> {
        if !is_inbox(address) {
            return Err(Undelivered::not_an_inbox(&message, address));
        }
        let mut losses = self.0.losses();
        losses.mark_unchanged();
        self.publish(REPLY, (address.to_owned(), None), message).await?;
        // The client has only taken it into its buffer, which ends with the connection.
        self.0.round_trip(REPLY).await?;
        if losses.has_changed().unwrap_or(true) {
            let source = "the connection was lost before the server had the reply".into();
            return Err(BrokerError::Unavailable { operation: REPLY, source }.into());
        }
        Ok(())
    }
}

/// A subscription. The client library makes it anew after a reconnect.
struct NatsInbox {
    address: String,
    subscriber: Subscriber,
    connection: Arc<Connection>,
}

#[async_trait]
impl RequestInbox for NatsInbox {
    fn address(&self) -> &str {
        &self.address
    }

    async fn next(&mut self) -> Result<InboxSignal, BrokerError> {
        let Some(native) = self.subscriber.next().await else { return Err(BrokerError::Closed) };
        if native.status == Some(StatusCode::NO_RESPONDERS) {
            let request = native.subject.rsplit('.').next().unwrap_or_default().to_owned();
            return Ok(InboxSignal::NoResponders { request });
        }
        Ok(read(native).into())
    }

    async fn close(mut self: Box<Self>) -> Vec<Message> {
        let mut left = Vec::new();
        let closing = async {
            // It fails if the connection is closed, which ends the subscription as well.
            if self.subscriber.drain().await.is_ok() {
                while let Some(native) = self.subscriber.next().await {
                    left.extend(read(native));
                }
            }
            // The client has only sent it.
            let _ = self.connection.round_trip("closing an inbox").await;
        };
        let _ = timeout(self.connection.options.call_timeout, closing).await;
        left
    }
}

/// Reads a message. A request of another program has its address for replies as NATS has it.
fn read(native: Native) -> Result<Message, recount_messaging::Malformed> {
    let reply = native.reply.clone();
    let mut message = decode(&raw(native))?;
    message.reply_to = message.reply_to.or_else(|| reply.map(|reply| reply.as_str().into()));
    Ok(message)
}
