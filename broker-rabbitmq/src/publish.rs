//! Publishing: one message of a key under way, confirmed by the server, and many keys at once.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use futures_util::{StreamExt, stream};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::protocol::AMQPSoftError;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use recount_messaging::{BrokerError, Fate, Outgoing, Refusal, Topic};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::envelope::{Limits, properties};
use crate::error::{bounded, is_soft, lost, meaning};
use crate::link::Link;
use crate::{RabbitOptions, capabilities, names};

const OPERATION: &str = "publishing";
/// How many channels a topic has at most: one for each lane. An error ends a channel with everything that is under way on
/// it.
const MAX_CHANNELS: usize = 64;
/// How many keys of a batch are under way at once.
const MAX_KEYS: usize = 1000;

/// The connection for publishing, which is made anew when it was lost.
pub(crate) struct Publisher {
    pub(crate) options: RabbitOptions,
    session: Mutex<Option<Arc<Session>>>,
}

/// The life of one connection.
pub(crate) struct Session {
    link: Link,
    /// Topics and lanes don't share channels: the driver takes the next confirm on a channel for that of a returned
    /// message, and within a lane all messages are returned or none.
    channels: Mutex<HashMap<Arc<str>, Arc<[Channel]>>>,
}

/// A message as it is sent.
struct Prepared {
    id: String,
    properties: BasicProperties,
    outgoing: Outgoing,
}

/// The messages of one key in their order, each with its index in the batch.
type Chain = Vec<(usize, Result<Prepared, Refusal>)>;

impl Publisher {
    /// Connects, and returns the greatest frame as well.
    pub(crate) async fn open(options: RabbitOptions) -> Result<(Self, usize), BrokerError> {
        let session = Session::open(&options).await?;
        let frame_max = session.link.frame_max();
        Ok((Self { options, session: Mutex::new(Some(session)) }, frame_max))
    }

    /// The connection, within the time of a call.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, BrokerError> {
        let limit = self.options.call_timeout;
        let connecting = async {
            let mut session = self.session.lock().await;
            match &*session {
                Some(session) if session.link.is_up() => Ok(Arc::clone(session)),
                _ => Ok(Arc::clone(session.insert(Session::open(&self.options).await?))),
            }
        };
        timeout(limit, connecting).await.unwrap_or(Err(BrokerError::TimedOut { operation: "connecting", limit }))
    }

    pub(crate) async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        let count = batch.len();
        let ready = async {
            let session = self.session().await?;
            let channels = session.channels(topic, &self.options).await?;
            Ok::<_, BrokerError>((session, channels))
        };
        let (session, channels) = match ready.await {
            Ok(ready) => ready,
            Err(error) => return not_sent(count, error),
        };
        let frame_max = session.link.frame_max();
        let limits = Limits {
            body: capabilities::max_message(&self.options).bytes,
            header_bytes: capabilities::max_header_bytes(frame_max),
        };
        let exchange = ShortString::from(names::topic(topic));
        let sending = chains(batch, limits).into_iter().map(|(key, chain)| {
            let lane = topic.lane_of(&key);
            let channel = &channels[usize::from(lane) % channels.len()];
            let sender = Sender { session: &session, channel, exchange: &exchange, topic };
            sender.send_chain(lane.to_string().into(), chain, &self.options)
        });
        let mut fates: Vec<Fate> = (0..count).map(|_| Fate::NotSent(None)).collect();
        let mut sending = stream::iter(sending).buffer_unordered(MAX_KEYS);
        while let Some(chain) = sending.next().await {
            for (index, fate) in chain {
                fates[index] = fate;
            }
        }
        fates
    }

    pub(crate) async fn health(&self) -> Result<(), BrokerError> {
        let session = self.session().await?;
        session.check_unblocked("a health check")?;
        let channel = session.link.channel().await?;
        bounded("a health check", self.options.call_timeout, channel.close(200, ShortString::default())).await
    }

    /// Closes the connection in order, or cuts it if calls still use it.
    pub(crate) async fn close(&self, until: Instant) {
        let Some(session) = self.session.lock().await.take() else { return };
        match Arc::try_unwrap(session) {
            Ok(session) => session.link.close(until).await,
            Err(used) => used.link.cut(),
        }
    }
}

/// The batch by key, each key's messages in their order.
fn chains(batch: Vec<Outgoing>, limits: Limits) -> HashMap<String, Chain> {
    let mut chains: HashMap<String, Chain> = HashMap::new();
    for (index, outgoing) in batch.into_iter().enumerate() {
        let key = outgoing.lane_key().to_owned();
        let prepared = properties(&outgoing, limits).map(|properties| Prepared {
            id: outgoing.message.id.as_str().to_owned(),
            properties,
            outgoing,
        });
        chains.entry(key).or_default().push((index, prepared));
    }
    chains
}

/// The fates of messages that could not be sent. The first one tells why.
fn not_sent(count: usize, error: BrokerError) -> Vec<Fate> {
    let mut error = Some(error);
    (0..count).map(|_| Fate::NotSent(error.take())).collect()
}

impl Session {
    async fn open(options: &RabbitOptions) -> Result<Arc<Self>, BrokerError> {
        let link = Link::open(options, "publisher").await?;
        Ok(Arc::new(Self { link, channels: Mutex::default() }))
    }

    /// The topic's channels. A channel that an error closed is replaced.
    async fn channels(&self, topic: &Topic, options: &RabbitOptions) -> Result<Arc<[Channel]>, BrokerError> {
        let count = usize::from(topic.lanes().get()).min(MAX_CHANNELS);
        self.channels_of(topic.name(), count, options).await
    }

    /// The channels of a topic or a queue.
    pub(crate) async fn channels_of(
        &self,
        name: &str,
        count: usize,
        options: &RabbitOptions,
    ) -> Result<Arc<[Channel]>, BrokerError> {
        self.check_unblocked(OPERATION)?;
        let limit = options.call_timeout;
        let opening = async {
            let mut channels = self.channels.lock().await;
            if let Some(known) = channels.get(name)
                && known.iter().all(|channel| channel.status().connected())
            {
                return Ok(Arc::clone(known));
            }
            let new: Arc<[Channel]> = try_join_all((0..count).map(|_| self.confirming(options))).await?.into();
            channels.insert(name.into(), Arc::clone(&new));
            Ok(new)
        };
        let opened = timeout(limit, opening).await;
        opened.unwrap_or(Err(BrokerError::TimedOut { operation: OPERATION, limit })).inspect_err(|error| {
            if error.is_transient() {
                self.give_up();
            }
        })
    }

    async fn confirming(&self, options: &RabbitOptions) -> Result<Channel, BrokerError> {
        let channel = self.link.channel().await?;
        bounded(OPERATION, options.call_timeout, channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(channel)
    }

    /// Ends the connection of a server that does not answer. A blocked server answers later: it stores the unread
    /// messages then, and until then the connection tells that it is blocked.
    pub(crate) fn give_up(&self) {
        if !self.link.is_blocked() {
            self.link.cut();
        }
    }

    pub(crate) fn check_unblocked(&self, operation: &'static str) -> Result<(), BrokerError> {
        if self.link.is_blocked() {
            let source = "the server takes no messages: it is short of memory or disk space".into();
            return Err(BrokerError::Unavailable { operation, source });
        }
        Ok(())
    }
}

/// Sends messages of one key.
struct Sender<'a> {
    session: &'a Session,
    channel: &'a Channel,
    exchange: &'a ShortString,
    topic: &'a Topic,
}

impl Sender<'_> {
    /// Sends one message after the other, until one is not stored.
    async fn send_chain(self, lane: ShortString, chain: Chain, options: &RabbitOptions) -> Vec<(usize, Fate)> {
        let mut fates = Vec::with_capacity(chain.len());
        let mut goes_on = true;
        for (index, prepared) in chain {
            let fate = match prepared {
                _ if !goes_on => Fate::NotSent(None),
                Err(refusal) => Fate::Refused(refusal),
                Ok(message) => self.send(lane.clone(), message, options).await,
            };
            goes_on &= fate.is_stored();
            fates.push((index, fate));
        }
        fates
    }

    async fn send(&self, lane: ShortString, message: Prepared, options: &RabbitOptions) -> Fate {
        if let Err(error) = self.session.check_unblocked(OPERATION) {
            return Fate::NotSent(Some(error));
        }
        if !self.channel.status().connected() {
            return Fate::NotSent(Some(lost(OPERATION)));
        }
        let Prepared { id, properties, outgoing } = message;
        let mandatory = BasicPublishOptions { mandatory: true, immediate: false };
        let confirmed = async {
            let data = &outgoing.message.data;
            self.channel.basic_publish(self.exchange.clone(), lane, mandatory, data, properties).await?.await
        };
        let limit = options.call_timeout;
        match timeout(limit, confirmed).await {
            Ok(Ok(confirmation)) => self.fate(id, confirmation),
            Ok(Err(error)) => self.fate_of_error(error),
            Err(_) => {
                self.session.give_up();
                Fate::Unknown(BrokerError::TimedOut { operation: OPERATION, limit })
            }
        }
    }

    fn fate(&self, id: String, confirmation: Confirmation) -> Fate {
        match confirmation {
            Confirmation::Ack(None) => Fate::Stored(None),
            Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => match returned.reply_code {
                // NO_ROUTE.
                312 => Fate::Refused(Refusal::Unroutable { id, topic: self.topic.to_string() }),
                _ => Fate::Refused(Refusal::Broker { id, reason: returned.reply_text.to_string() }),
            },
            // One of several queues may have stored it.
            Confirmation::Nack(None) => {
                let source = "the server could not store it in every queue".into();
                Fate::Unknown(BrokerError::Failed { operation: OPERATION, source })
            }
            Confirmation::NotRequested => {
                let source = "the channel does not confirm".into();
                Fate::Unknown(BrokerError::Failed { operation: OPERATION, source })
            }
        }
    }

    fn fate_of_error(&self, error: lapin::Error) -> Fate {
        let exchange_is_missing = is_soft(&error, &AMQPSoftError::NOTFOUND);
        let error = meaning(OPERATION, error);
        // Channels are the topic's own, so it is its exchange that is missing, and nothing was stored.
        if exchange_is_missing { Fate::NotSent(Some(error)) } else { Fate::Unknown(error) }
    }
}
