//! The source of an inbox: deliveries of a broker, and parked messages that are due.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use recount_core::{BoxError, Delivered as CoreDelivered, Source};
use tokio::time::{Instant, sleep_until};

use super::early::Early;
use super::item::{Delivered, Item};
use crate::broker::round_trip;
use crate::parking::Parking;
use crate::retry::jitter;
use crate::{
    Attempts, Binding, Broker, BrokerConsumer, BrokerError, Delivery, LaneId, Plan, Room, Settle, Settled, Signal,
    Ticket, Topic, TopicPattern,
};

/// How many messages are asked for at once.
const BATCH: usize = 256;
/// How long the messages of a consumer that ends are given back.
const DRAIN: Duration = Duration::from_secs(5);
/// The bounds of the first and the longest pause after a call to the broker that failed.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The deliveries of a binding.
pub(crate) struct InboxSource {
    broker: Arc<dyn Broker>,
    declared: Declared,
    parking: Parking,
    consumer: Option<Box<dyn BrokerConsumer>>,
    /// Deliveries that were not handed on yet.
    buffer: VecDeque<Delivery>,
    /// The tickets of messages that are being handled.
    held: BTreeMap<u64, Ticket>,
    next: u64,
    early: Early,
    /// The queues must be read before the buffer is handed on: another program may have set aside an earlier message.
    unread: bool,
    caught_up: bool,
    outage: Option<Outage>,
}

/// The objects at the broker that an inbox needs.
#[derive(Clone)]
pub(crate) struct Declared {
    pub(crate) binding: Binding,
    /// The topics to which its messages are forwarded.
    pub(crate) topics: Vec<Topic>,
    /// The topic of the binding is not declared if it was deleted.
    pub(crate) only_existing: bool,
}

/// Calls to the broker that failed, since the last one that did not.
struct Outage {
    failures: u32,
    /// When the broker is called again. Parked messages are handled meanwhile.
    again: Instant,
    /// The round trip under way, which is kept when a call of `next` is dropped.
    round_trip: Option<BoxFuture<'static, Result<(), BrokerError>>>,
}

impl Outage {
    fn after(earlier: Option<&Self>) -> Self {
        let failures = earlier.map_or(1, |outage| outage.failures.saturating_add(1));
        Self { failures, again: Instant::now() + jitter(FIRST_PAUSE, failures, LONGEST_PAUSE), round_trip: None }
    }

    /// Waits for the end of the round trip, for ever if none is under way.
    async fn answered(outage: &mut Option<Self>) -> Result<(), BrokerError> {
        match outage.as_mut().and_then(|outage| outage.round_trip.as_mut()) {
            Some(round_trip) => round_trip.await,
            None => std::future::pending().await,
        }
    }
}

impl InboxSource {
    pub(crate) fn new(broker: Arc<dyn Broker>, declared: Declared, parking: Parking) -> Self {
        Self {
            broker,
            declared,
            parking,
            consumer: None,
            buffer: VecDeque::new(),
            held: BTreeMap::new(),
            next: 0,
            early: Early::default(),
            unread: false,
            caught_up: false,
            outage: None,
        }
    }

    fn take_note(&mut self, signal: Signal) {
        if matches!(signal, Signal::Deliveries(_) | Signal::Gained(_)) {
            self.outage = None;
        }
        match signal {
            Signal::Deliveries(batch) => {
                self.buffer.extend(batch);
                self.unread = true;
            }
            Signal::Gained(lane) => {
                tracing::debug!(binding = %self.declared.binding, %lane, "gained");
                self.early.gained(lane);
            }
            Signal::Losing(lane, _) | Signal::Lost(lane) => self.lose(lane),
            Signal::Idle => {
                // A consumer is idle also while its request is unanswered.
                if let Some(outage) = &mut self.outage {
                    outage.round_trip.get_or_insert_with(|| Box::pin(round_trip(Arc::clone(&self.broker))));
                }
            }
        }
    }

    /// A round trip has ended.
    fn take_answer(&mut self, answer: Result<(), BrokerError>) {
        self.outage = match answer {
            Ok(()) => None,
            Err(error) => {
                tracing::debug!(binding = %self.declared.binding, %error, "the broker has not answered yet");
                Some(Outage::after(self.outage.as_ref()))
            }
        };
    }

    /// The error of the broker as one of the source. After one that time heals, the broker has to answer first.
    fn failed(&mut self, error: BrokerError) -> BoxError {
        if error.is_transient() {
            self.outage = Some(Outage::after(self.outage.as_ref()));
        }
        error.into_boxed()
    }

    /// Deliveries of a lane that were not handed on are another consumer's. Those being handled are settled if they end
    /// in time.
    fn lose(&mut self, lane: LaneId) {
        tracing::debug!(binding = %self.declared.binding, %lane, "lost");
        self.buffer.retain(|delivery| delivery.lane() != lane);
    }

    fn hand_on(&mut self, delivery: Delivery) -> CoreDelivered<Self> {
        let early = delivery.attempts == Attempts::Unknown && self.early.note(delivery.lane());
        let (delivered, ticket) = Delivered::new(delivery, self.declared.binding.order, early);
        self.next += 1;
        self.held.insert(self.next, ticket);
        let lane = delivered.queue.lane();
        CoreDelivered::Item { item: Item::Delivered(Box::new(delivered)), lane, ticket: Some(self.next), mark: None }
    }
}

/// Declares the objects at the broker, and consumes the binding.
async fn subscribe(broker: Arc<dyn Broker>, declared: Declared) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
    let Declared { binding, topics, only_existing } = declared;
    if only_existing && broker.topics(&TopicPattern::of(&binding.topic)).await?.is_empty() {
        return Err(BrokerError::Missing { object: format!("topic {}", binding.topic) });
    }
    let plan = Plan { topics, bindings: vec![binding.clone()] };
    for change in broker.ensure(&plan, false).await? {
        tracing::info!(%binding, %change, "declared at the broker");
    }
    broker.subscribe(&binding).await
}

impl Source for InboxSource {
    type Item = Item;
    type Mark = ();
    /// The number of a held ticket; `None` for a parked message.
    type Ticket = Option<u64>;

    async fn open(&mut self, _: Option<()>) -> Result<(), BoxError> {
        // Dropped tickets go back to the broker.
        self.held.clear();
        self.buffer.clear();
        self.early.start_over();
        self.parking.open().await?;
        if self.consumer.is_none() {
            let subscribed = subscribe(Arc::clone(&self.broker), self.declared.clone());
            self.consumer = Some(subscribed.await.map_err(BrokerError::into_boxed)?);
        }
        self.caught_up = false;
        Ok(())
    }

    async fn next(&mut self) -> Result<CoreDelivered<Self>, BoxError> {
        self.parking.look().await?;
        loop {
            // A broker that failed has to answer first.
            if self.outage.is_none() && !std::mem::replace(&mut self.caught_up, true) {
                return Ok(CoreDelivered::CaughtUp { mark: None });
            }
            if self.unread {
                self.parking.refresh().await?;
                self.unread = false;
            }
            if let Some(delivery) = self.buffer.pop_front() {
                return Ok(self.hand_on(delivery));
            }
            let Some(consumer) = &mut self.consumer else { return Err("the source was not opened".into()) };
            let (room, again) = (Room::of(BATCH), self.outage.as_ref().map(|outage| outage.again));
            let answered = Outage::answered(&mut self.outage);
            let signal = async {
                if let Some(again) = again {
                    sleep_until(again).await;
                }
                consumer.next(&room).await
            };
            let signal = tokio::select! {
                biased;
                due = self.parking.next_due() => {
                    let queue = due?;
                    return Ok(CoreDelivered::Item { lane: queue.lane(), item: Item::Due(queue), ticket: None, mark: None });
                }
                signal = signal => signal,
                answer = answered => {
                    self.take_answer(answer);
                    continue;
                }
            };
            match signal {
                Ok(signal) => self.take_note(signal),
                Err(error) => {
                    if !error.is_transient() {
                        // It is made anew, with its objects at the broker.
                        (self.consumer, self.outage) = (None, None);
                    }
                    return Err(self.failed(error));
                }
            }
        }
    }

    async fn settle(&mut self, tickets: Vec<Option<u64>>) -> Result<(), BoxError> {
        let numbers = tickets.into_iter().flatten();
        let marks: Vec<_> = numbers.filter_map(|number| Some((self.held.remove(&number)?, Settle::Ack))).collect();
        let Some(consumer) = &mut self.consumer else { return Ok(()) };
        if marks.is_empty() {
            return Ok(());
        }
        let (mut stale, mut failed) = (0, None);
        for settled in consumer.settle(marks).await {
            match settled {
                Settled::Confirmed | Settled::Sent => {}
                Settled::Stale => stale += 1,
                Settled::Unsupported => return Err("the broker can't acknowledge messages".into()),
                Settled::Failed(error) => failed = Some(error),
            }
        }
        if stale > 0 {
            tracing::debug!(binding = %self.declared.binding, stale, "acknowledged too late: the messages come again and are recognised");
        }
        match failed {
            // They come again after the lease, and are recognised.
            Some(error) => Err(self.failed(error)),
            None => Ok(()),
        }
    }

    /// Extends the leases of the deliveries that are being handled.
    async fn maintain(&mut self) -> Result<(), BoxError> {
        let Some(consumer) = &mut self.consumer else { return Ok(()) };
        let (numbers, tickets): (Vec<u64>, Vec<Ticket>) = std::mem::take(&mut self.held).into_iter().unzip();
        let extended = consumer.extend(&tickets, self.declared.binding.lease).await;
        self.held = numbers.into_iter().zip(tickets).collect();
        match extended.into_iter().find_map(|settled| match settled {
            Settled::Failed(error) => Some(error),
            _ => None,
        }) {
            Some(error) => Err(self.failed(error)),
            None => Ok(()),
        }
    }

    async fn close(&mut self) -> Result<(), BoxError> {
        self.held.clear();
        self.buffer.clear();
        let Some(consumer) = self.consumer.take() else { return Ok(()) };
        match consumer.drain(DRAIN).await.error {
            Some(error) => Err(error.into_boxed()),
            None => Ok(()),
        }
    }
}
