//! Publishing: one message of a key under way, with the server's receipt, and many keys at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::try_join_all;
use futures_util::{StreamExt, stream};
use pulsar::producer::{self, SendFuture};
use pulsar::{CommandSendReceipt, Error, Executor, Producer, ProducerOptions};
use recount_messaging::{BrokerError, BrokerPosition, Fate, Outgoing, Topic};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{bounded, lost, meaning};
use crate::tasks::{Client, Tasks};
use crate::{PulsarOptions, envelope, names};

pub(crate) const OPERATION: &str = "publishing";
/// How many keys of a batch are under way at once.
const MAX_KEYS: usize = 1000;
/// How many topics have open producers at once. Each asker has a topic of its own for replies.
const MAX_TOPICS: usize = 1000;

/// A message for a producer's task, and where the task tells whether it was taken.
type Job = (producer::Message, oneshot::Sender<Result<SendFuture, Error>>);
/// The tasks of the producers of a topic, by lane. A call holds them until it has all receipts.
type Lanes = Arc<[mpsc::UnboundedSender<Job>]>;

/// The connection for publishing, which is made anew when it was lost.
pub(crate) struct Publisher {
    options: Arc<PulsarOptions>,
    session: Mutex<Option<Arc<Session>>>,
}

/// The life of one client of the library.
struct Session {
    client: Client,
    topics: Mutex<HashMap<Arc<str>, Lanes>>,
    /// Whether the server has left a message without a receipt for the time of a call.
    timed_out: AtomicBool,
}

impl Publisher {
    pub(crate) async fn open(options: Arc<PulsarOptions>) -> Result<Self, BrokerError> {
        let session = Session::open(&options, "connecting").await?;
        Ok(Self { options, session: Mutex::new(Some(session)) })
    }

    /// The client, within the time of a call.
    async fn session(&self) -> Result<Arc<Session>, BrokerError> {
        let mut slot = self.session.lock().await;
        match &*slot {
            Some(session) => Ok(Arc::clone(session)),
            None => Ok(Arc::clone(slot.insert(Session::open(&self.options, OPERATION).await?))),
        }
    }

    /// Uses this client no more. Calls that are under way go on with it.
    async fn give_up(&self, broken: &Arc<Session>) {
        let mut slot = self.session.lock().await;
        if slot.as_ref().is_some_and(|session| Arc::ptr_eq(session, broken)) {
            *slot = None;
        }
    }

    /// The session and the topic's producers, within the time of a call.
    async fn ready(&self, topic: &Topic) -> Result<(Arc<Session>, Lanes), BrokerError> {
        let limit = self.options.call_timeout;
        let mut used = None;
        let opening = async {
            let session = self.session().await?;
            used = Some(Arc::clone(&session));
            let lanes = session.lanes(&self.options, topic).await?;
            Ok((session, lanes))
        };
        let ready = timeout(limit, opening).await;
        let ready = ready.unwrap_or(Err(BrokerError::TimedOut { operation: OPERATION, limit }));
        if let (Err(error), Some(session)) = (&ready, used)
            && !matches!(error, BrokerError::Missing { .. } | BrokerError::Mismatch { .. })
        {
            self.give_up(&session).await;
        }
        ready
    }

    pub(crate) async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        let count = batch.len();
        let (session, lanes) = match self.ready(topic).await {
            Ok(ready) => ready,
            Err(error) => return not_sent(count, error),
        };
        let sending = by_key(batch).into_iter().filter_map(|(key, chain)| {
            let lane = lanes.get(usize::from(topic.lane_of(&key)))?;
            Some(self.send_chain(&session, lane, chain))
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

    /// Sends the messages of one key, each after the one before it was stored. The first that is not ends it.
    async fn send_chain(
        &self,
        session: &Arc<Session>,
        lane: &mpsc::UnboundedSender<Job>,
        chain: Vec<(usize, Outgoing)>,
    ) -> Vec<(usize, Fate)> {
        let mut fates = Vec::with_capacity(chain.len());
        for (index, outgoing) in chain {
            let fate = match envelope::encode(outgoing, self.options.limit().0) {
                // Else a batch takes the time of a call for each thousand keys.
                Ok(_) if session.timed_out.load(Ordering::Relaxed) => Fate::NotSent(Some(lost(OPERATION))),
                Ok(message) => self.send(lane, message).await,
                Err(refusal) => Fate::Refused(refusal),
            };
            if matches!(fate, Fate::Unknown(BrokerError::TimedOut { .. })) {
                session.timed_out.store(true, Ordering::Relaxed);
            }
            if matches!(fate, Fate::Unknown(_) | Fate::NotSent(_)) {
                self.give_up(session).await;
            }
            let stored = fate.is_stored();
            fates.push((index, fate));
            if !stored {
                break;
            }
        }
        fates
    }

    async fn send(&self, lane: &mpsc::UnboundedSender<Job>, message: producer::Message) -> Fate {
        let (taken, receipt) = oneshot::channel();
        if lane.send((message, taken)).is_err() {
            return Fate::NotSent(Some(lost(OPERATION)));
        }
        let limit = self.options.call_timeout;
        let sending = async {
            match receipt.await {
                Err(_) => Fate::NotSent(Some(lost(OPERATION))),
                // The library did not put it on its way.
                Ok(Err(error)) => Fate::NotSent(Some(meaning(OPERATION, error))),
                Ok(Ok(receipt)) => match receipt.await {
                    Ok(receipt) => stored(&receipt),
                    Err(error) => Fate::Unknown(meaning(OPERATION, error)),
                },
            }
        };
        let sent = timeout(limit, sending).await;
        sent.unwrap_or(Fate::Unknown(BrokerError::TimedOut { operation: OPERATION, limit }))
    }

    /// A round trip.
    pub(crate) async fn health(&self) -> Result<(), BrokerError> {
        const OPERATION: &str = "checking the health";
        let limit = self.options.call_timeout;
        let mut used = None;
        let checking = async {
            let session = self.session().await?;
            used = Some(Arc::clone(&session));
            // A lookup declares nothing.
            let name = format!("persistent://{}/{}/recount-health", self.options.tenant, self.options.namespace);
            let client = session.client.pulsar.clone();
            bounded(OPERATION, limit, async move { client.lookup_topic(name).await }).await.map(drop)
        };
        let checked = timeout(limit, checking).await;
        let checked = checked.unwrap_or(Err(BrokerError::TimedOut { operation: OPERATION, limit }));
        if let (Err(_), Some(session)) = (&checked, used) {
            self.give_up(&session).await;
        }
        checked
    }

    /// Drops the client.
    pub(crate) async fn close(&self, until: Instant) {
        if let Ok(mut slot) = timeout_at(until, self.session.lock()).await {
            *slot = None;
        }
    }
}

/// The batch by key, each key's messages in their order, with their places in the batch.
fn by_key(batch: Vec<Outgoing>) -> HashMap<String, Vec<(usize, Outgoing)>> {
    let mut chains: HashMap<String, Vec<(usize, Outgoing)>> = HashMap::new();
    for (index, outgoing) in batch.into_iter().enumerate() {
        match chains.get_mut(outgoing.lane_key()) {
            Some(chain) => chain.push((index, outgoing)),
            None => drop(chains.insert(outgoing.lane_key().to_owned(), vec![(index, outgoing)])),
        }
    }
    chains
}

/// The fates of messages that could not be sent, all for this reason.
fn not_sent(count: usize, error: BrokerError) -> Vec<Fate> {
    let of_others = || match &error {
        BrokerError::Closed => BrokerError::Closed,
        BrokerError::Missing { object } => BrokerError::Missing { object: object.clone() },
        error => BrokerError::Unavailable { operation: OPERATION, source: error.to_string().into() },
    };
    let mut fates: Vec<Fate> = (1..count).map(|_| Fate::NotSent(Some(of_others()))).collect();
    fates.insert(0, Fate::NotSent(Some(error)));
    fates.truncate(count);
    fates
}

/// The fate that a receipt tells. A server with deduplication answers a message that the library sends again after
/// a reconnect without a place.
fn stored(receipt: &CommandSendReceipt) -> Fate {
    match &receipt.message_id {
        Some(id) if id.ledger_id != u64::MAX => Fate::Stored(Some(BrokerPosition(id.ledger_id, id.entry_id))),
        Some(_) => Fate::Duplicate,
        None => Fate::Stored(None),
    }
}

impl Session {
    async fn open(options: &PulsarOptions, operation: &'static str) -> Result<Arc<Self>, BrokerError> {
        let client = options.client(operation, Tasks::single()).await?;
        Ok(Arc::new(Self { client, topics: Mutex::default(), timed_out: AtomicBool::new(false) }))
    }

    /// The producers of a topic, which must exist with its lanes.
    async fn lanes(&self, options: &PulsarOptions, topic: &Topic) -> Result<Lanes, BrokerError> {
        let mut topics = self.topics.lock().await;
        // With another number of lanes the caller is wrong, or the topic was declared anew: the server knows.
        let fits = |lanes: &&Lanes| lanes.len() == usize::from(topic.lanes().get());
        if let Some(lanes) = topics.get(topic.name()).filter(fits) {
            return Ok(Arc::clone(lanes));
        }
        let limit = options.call_timeout;
        // A producer of a missing partition would declare a topic that is not partitioned.
        let (client, name) = (self.client.pulsar.clone(), names::topic(options, topic));
        let counting = async move { client.lookup_partitioned_topic_number(name).await };
        crate::ensure::check_lanes(topic, bounded(OPERATION, limit, counting).await?)?;
        let opened = try_join_all((0..topic.lanes().get()).map(|lane| async move {
            let settings = ProducerOptions { block_queue_if_full: true, ..ProducerOptions::default() };
            // Without a name the server gives it one that no other producer has. A name of ours would make a server with
            // deduplication swallow new messages after a restart, since the library counts anew.
            let building = self.client.pulsar.producer().with_topic(names::partition(options, topic, lane));
            let producer = bounded(OPERATION, limit, building.with_options(settings).build()).await?;
            let (jobs, inbox) = mpsc::unbounded_channel();
            self.client.tasks.spawn(Box::pin(produce(producer, inbox))).map_err(|()| lost(OPERATION))?;
            Ok::<_, BrokerError>(jobs)
        }));
        let lanes: Lanes = opened.await?.into();
        if topics.len() >= MAX_TOPICS {
            topics.clear();
        }
        topics.insert(topic.name().into(), Arc::clone(&lanes));
        Ok(lanes)
    }
}

/// The task of a producer. It ends when no call uses the producer any more, and with the client: the library may wait for room
/// towards a server that is frozen.
async fn produce(mut producer: Producer<Tasks>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    while let Some((message, taken)) = jobs.recv().await {
        // A call that was dropped does not ask for the receipt.
        let _ = taken.send(producer.send_non_blocking(message).await);
    }
}
