//! Publishing: the producer, and the fates of its messages.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, PurgeConfig, ThreadedProducer};
use recount_messaging::{BrokerError, BrokerPosition, Fate, Outgoing, Refusal, Topic};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use crate::KafkaOptions;
use crate::client::{self, DropElsewhere, Probe, blocking, create};
use crate::ensure::topic_name;
use crate::error::{answered, is_missing, is_refusal, meaning};
use crate::record::{OVERHEAD, Outbound};

pub(crate) const OPERATION: &str = "publishing";
/// How long the messages of a producer that is given up may take to be taken back. No call of the network is part of it.
const PURGE: Duration = Duration::from_secs(2);
const INFERRED: &str = "the server has not confirmed the message itself";
/// The pause while the producer's queue is full.
const FULL: Duration = Duration::from_millis(5);

/// Publishes to all topics. Its producer is made anew when its messages are not confirmed in time.
pub(crate) struct Publisher {
    options: KafkaOptions,
    live: Mutex<Option<Arc<Live>>>,
    /// The topics that exist, with their numbers of partitions. The producer must not see another one: servers may create it then.
    topics: Mutex<HashMap<String, usize>>,
    closed: AtomicBool,
}

/// A producer.
struct Live {
    producer: DropElsewhere<ThreadedProducer<Reports>>,
    /// Whether it was given up. Messages are handed to it under the lock only, so no message follows the returned messages.
    retired: RwLock<bool>,
}

/// The messages of one call.
struct Batch {
    fates: Mutex<Vec<Option<Fate>>>,
    /// The messages without a fate, and one while more are sent.
    open: AtomicUsize,
    done: Notify,
    limit: Duration,
}

/// The place of a message in its batch.
struct Slot {
    batch: Arc<Batch>,
    index: usize,
}

/// Receives the fates.
struct Reports;

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the Kafka producer reports");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Slot>;

    fn delivery(&self, report: &DeliveryResult<'_>, slot: Box<Slot>) {
        let fate = match report {
            Ok(message) => match u64::try_from(message.offset()) {
                Ok(offset) => Fate::Stored(Some(BrokerPosition(offset, 0))),
                // The library has inferred it from the success of later messages.
                Err(_) => Fate::Unknown(BrokerError::Unavailable { operation: OPERATION, source: INFERRED.into() }),
            },
            Err((error, message)) => failed(error, message.topic(), slot.batch.limit),
        };
        slot.batch.set(slot.index, fate);
        slot.batch.close_one();
    }
}

/// The fate of a message that was not confirmed. A message that the server refuses for good has [`Refusal::Broker`] with an id to be set.
fn failed(error: &KafkaError, topic: &str, limit: Duration) -> Fate {
    let Some(code) = error.rdkafka_error_code() else {
        return Fate::Unknown(meaning(OPERATION, limit, error.clone()));
    };
    let refused = || Fate::Refused(Refusal::Broker { id: String::new(), reason: error.to_string() });
    match code {
        Code::MessageSizeTooLarge
        | Code::InvalidMessage
        | Code::InvalidRecord
        | Code::InvalidTopic
        | Code::PolicyViolation => refused(),
        code if is_missing(code) => Fate::NotSent(Some(BrokerError::Missing { object: topic_name(topic) })),
        code if is_refusal(code) => Fate::NotSent(Some(answered(OPERATION, limit, code))),
        Code::PurgeQueue => Fate::NotSent(Some(BrokerError::TimedOut { operation: OPERATION, limit })),
        Code::PurgeInflight => Fate::Unknown(BrokerError::TimedOut { operation: OPERATION, limit }),
        code => Fate::Unknown(answered(OPERATION, limit, code)),
    }
}

impl Batch {
    fn set(&self, index: usize, fate: Fate) {
        if let Some(place) = self.fates.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
            *place = Some(fate);
        }
    }

    fn close_one(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }
}

impl Publisher {
    pub(crate) fn open(options: KafkaOptions) -> Result<Self, BrokerError> {
        let live = Mutex::new(Some(Arc::new(Live::open(&options)?)));
        Ok(Self { options, live, topics: Mutex::default(), closed: AtomicBool::new(false) })
    }

    pub(crate) async fn publish(&self, probe: &Probe, topic: &Topic, messages: Vec<Outgoing>) -> Vec<Fate> {
        let (limit, count) = (self.options.call_timeout, messages.len());
        let until = Instant::now() + limit;
        let not_sent = |error: &BrokerError| Fate::NotSent(Some(copy(error)));
        if let Err(error) = self.find(probe, topic).await {
            return (0..count).map(|_| not_sent(&error)).collect();
        }
        let live = match self.live() {
            Ok(live) => live,
            Err(error) => return (0..count).map(|_| not_sent(&error)).collect(),
        };
        let fates = Mutex::new((0..count).map(|_| None).collect());
        let batch = Arc::new(Batch { fates, open: AtomicUsize::new(1), done: Notify::new(), limit });
        let ids: Vec<_> = messages.iter().map(|outgoing| outgoing.message.id.clone()).collect();
        self.send_all(&live, topic, messages, &batch, until).await;
        batch.close_one();
        if timeout_at(until, batch.done.notified()).await.is_err() {
            self.retire(&live).await;
            let _ = timeout_at(Instant::now() + PURGE, batch.done.notified()).await;
        }
        let mut fates = std::mem::take(&mut *batch.fates.lock().unwrap_or_else(PoisonError::into_inner));
        // Reports that come later find no place.
        let (mut broken, mut unsent) = (false, false);
        let unknown = || Fate::Unknown(BrokerError::TimedOut { operation: OPERATION, limit });
        let closed = self.closed.load(Ordering::Acquire);
        let fates = fates.drain(..).zip(ids).map(|(fate, id)| match fate.unwrap_or_else(unknown) {
            Fate::Unknown(BrokerError::TimedOut { .. }) if closed => Fate::Unknown(BrokerError::Closed),
            Fate::NotSent(Some(BrokerError::TimedOut { .. } | BrokerError::Unavailable { .. })) if closed => {
                Fate::NotSent(Some(BrokerError::Closed))
            }
            Fate::Refused(Refusal::Broker { reason, .. }) => {
                Fate::Refused(Refusal::Broker { id: id.to_string(), reason })
            }
            fate => {
                broken |= matches!(fate, Fate::Unknown(_));
                unsent |= matches!(fate, Fate::NotSent(Some(_)));
                fate
            }
        });
        let fates = fates.collect();
        if broken || unsent {
            // The topic may be deleted. The producer tells of that only after half a minute.
            self.topics.lock().unwrap_or_else(PoisonError::into_inner).remove(topic.name());
        }
        if broken {
            // After an error that the library does not retry it may go on behind a gap.
            self.retire(&live).await;
        }
        fates
    }

    /// Hands the messages to the producer. The others have their fates afterwards.
    async fn send_all(&self, live: &Live, topic: &Topic, messages: Vec<Outgoing>, batch: &Arc<Batch>, until: Instant) {
        let mut stopped: HashSet<String> = HashSet::new();
        let mut messages = messages.into_iter().enumerate();
        let mut pending = None;
        loop {
            let Some((index, outgoing)) = pending.take().or_else(|| messages.next()) else { return };
            if !stopped.is_empty() && stopped.contains(outgoing.lane_key()) {
                batch.set(index, Fate::NotSent(None));
                continue;
            }
            match Outbound::new(outgoing.message.clone(), self.options.max_message) {
                Err(refusal) => {
                    stopped.insert(outgoing.lane_key().to_owned());
                    batch.set(index, Fate::Refused(refusal));
                }
                Ok(outbound) => match live.send(topic.name(), outbound, batch, index) {
                    Ok(()) => {}
                    Err(KafkaError::MessageProduction(Code::QueueFull)) if Instant::now() < until => {
                        pending = Some((index, outgoing));
                        sleep(FULL).await;
                    }
                    Err(error) => {
                        batch.set(index, not_taken(&error, batch.limit));
                        messages.for_each(|(index, _)| batch.set(index, not_taken(&error, batch.limit)));
                        return;
                    }
                },
            }
        }
    }

    /// Checks that a topic exists, with a partition for each lane.
    async fn find(&self, probe: &Probe, topic: &Topic) -> Result<(), BrokerError> {
        let known = self.topics.lock().unwrap_or_else(PoisonError::into_inner).get(topic.name()).copied();
        if let Some(partitions) = known {
            return topic.check_partitions(|| topic_name(topic.name()), partitions);
        }
        let Some(partitions) = probe.partitions(OPERATION, topic.name()).await? else {
            return Err(BrokerError::Missing { object: topic_name(topic.name()) });
        };
        topic.check_partitions(|| topic_name(topic.name()), partitions)?;
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.name().to_owned(), partitions);
        Ok(())
    }

    fn live(&self) -> Result<Arc<Live>, BrokerError> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = &*live {
            return Ok(Arc::clone(live));
        }
        let new = Arc::new(Live::open(&self.options)?);
        *live = Some(Arc::clone(&new));
        Ok(new)
    }

    /// Gives a producer up: takes its messages back, so that none is sent behind one of the next producer. The messages that it has sent
    /// already are the first messages to be sent again, so the first copies are in order.
    async fn retire(&self, live: &Arc<Live>) {
        {
            let mut current = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
                *current = None;
            }
        }
        if std::mem::replace(&mut *live.retired.write().unwrap_or_else(PoisonError::into_inner), true) {
            return;
        }
        tracing::debug!("a Kafka producer is given up, because its messages are not confirmed");
        let live = Arc::clone(live);
        let _ =
            blocking(OPERATION, PURGE, move || live.producer.purge(PurgeConfig::default().queue().inflight())).await;
    }

    /// Ends the producer. Its messages have their fates.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(live) = live {
            self.retire(&live).await;
        }
    }
}

impl Live {
    fn open(options: &KafkaOptions) -> Result<Self, BrokerError> {
        let mut config = client::config(options)?;
        let mut set = |name: &str, value: &str| {
            config.set(name, value);
        };
        set("enable.idempotence", "true");
        // With more, the first batch of a producer in a partition may find no leader, and the second one may be stored: a server accepts
        // any first sequence number. The library then reports both as stored. See KAFKA-15591, and
        // https://github.com/confluentinc/confluent-kafka-go/issues/921.
        set("max.in.flight.requests.per.connection", "1");
        // A deleted topic would be created anew with the settings of the server.
        set("allow.auto.create.topics", "false");
        // A message that times out would be skipped, and the next ones of its key stored.
        set("message.timeout.ms", "0");
        set("partitioner", "murmur2_random");
        set("linger.ms", "0");
        set("message.max.bytes", &options.max_message.saturating_add(OVERHEAD / 2).to_string());
        set("retry.backoff.max.ms", "1000");
        Ok(Self { producer: DropElsewhere::new(create(&config, Reports)?), retired: RwLock::new(false) })
    }

    fn send(&self, topic: &str, outbound: Outbound, batch: &Arc<Batch>, index: usize) -> Result<(), KafkaError> {
        let Outbound { headers, message } = outbound;
        let slot = Box::new(Slot { batch: Arc::clone(batch), index });
        let record = BaseRecord::with_opaque_to(topic, slot).headers(headers).payload(&message.data[..]);
        let record = match message.key.as_deref() {
            Some(key) => record.key(key.as_bytes()),
            None => record,
        };
        let retired = self.retired.read().unwrap_or_else(PoisonError::into_inner);
        if *retired {
            return Err(KafkaError::Canceled);
        }
        // The report may come before this call returns.
        batch.open.fetch_add(1, Ordering::AcqRel);
        self.producer.send(record).map_err(|(error, _)| {
            batch.open.fetch_sub(1, Ordering::AcqRel);
            error
        })
    }
}

/// The fate of a message that the producer did not take.
fn not_taken(error: &KafkaError, limit: Duration) -> Fate {
    Fate::NotSent(Some(match error {
        KafkaError::MessageProduction(Code::QueueFull) => BrokerError::TimedOut { operation: OPERATION, limit },
        KafkaError::Canceled => {
            let source = "the producer was given up, because messages are not confirmed".into();
            BrokerError::Unavailable { operation: OPERATION, source }
        }
        error => meaning(OPERATION, limit, error.clone()),
    }))
}

/// The same error for another message.
fn copy(error: &BrokerError) -> BrokerError {
    match error {
        BrokerError::Missing { object } => BrokerError::Missing { object: object.clone() },
        BrokerError::TimedOut { operation, limit } => BrokerError::TimedOut { operation, limit: *limit },
        BrokerError::NotAllowed { operation, source } => {
            BrokerError::NotAllowed { operation, source: source.to_string().into() }
        }
        BrokerError::Mismatch { object, expected, actual, cure } => BrokerError::Mismatch {
            object: object.clone(),
            expected: expected.clone(),
            actual: actual.clone(),
            cure: cure.clone(),
        },
        BrokerError::Closed => BrokerError::Closed,
        BrokerError::Unavailable { operation, source } => {
            BrokerError::Unavailable { operation, source: source.to_string().into() }
        }
        error => BrokerError::Failed { operation: OPERATION, source: error.to_string().into() },
    }
}
