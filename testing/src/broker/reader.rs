//! A consumer for the promises: it takes deliveries, ignores news about lanes, and subscribes again after an outage.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use recount_messaging::{
    Binding, Broker, BrokerConsumer, Delivery, Message, MessageId, Room, Settle, Settled, Signal, Ticket,
};
use tokio::time::{Instant, sleep, timeout};

use super::support::{AFTER_ERROR, CALL, bounded, patiently, unless_outage};

/// How long messages that were published may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(60);
/// More deliveries than any promise needs. Where time is virtual, only this ends a loop that never waits.
const MAX_DELIVERIES: usize = 50_000;

/// A consumer of a binding.
pub(super) struct Reader {
    consumer: Box<dyn BrokerConsumer>,
    deliveries: usize,
    saw_outage: bool,
}

impl Reader {
    /// Subscribes, and tries for a minute while the server can't be reached.
    pub(super) async fn new(broker: &Arc<dyn Broker>, binding: &Binding) -> Self {
        let consumer = patiently(|| broker.subscribe(binding)).await;
        Self { consumer, deliveries: 0, saw_outage: false }
    }

    /// The deliveries of one call: none if there is other news, or an outage.
    pub(super) async fn poll(&mut self, room: &Room) -> Vec<Delivery> {
        let Some(Signal::Deliveries(deliveries)) = self.news(room).await else { return Vec::new() };
        assert!(!deliveries.is_empty(), "a signal of deliveries has one at least");
        self.deliveries += deliveries.len();
        assert!(self.deliveries < MAX_DELIVERIES, "the same messages come again and again");
        assert!(deliveries.len() <= room.messages, "{} for {room:?}", deliveries.len());
        deliveries
    }

    /// The answer of one call, or none in an outage.
    pub(super) async fn news(&mut self, room: &Room) -> Option<Signal> {
        let news = unless_outage(bounded(self.consumer.next(room)).await);
        if news.is_none() {
            self.saw_outage = true;
            sleep(AFTER_ERROR).await;
        }
        news
    }

    /// Panics if a message came twice, unless there was an outage: then the broker gives open messages out again.
    pub(super) fn assert_once(&self, arrived: &[Message], published: &[Message]) {
        assert!(self.saw_outage || arrived.len() == published.len(), "{} of {} came", arrived.len(), published.len());
    }

    /// Takes this many deliveries and settles none.
    pub(super) async fn take(&mut self, count: usize) -> Vec<Delivery> {
        let (mut taken, deadline) = (Vec::new(), Instant::now() + ARRIVAL);
        while taken.len() < count {
            assert!(Instant::now() < deadline, "{} of {count} deliveries came within {ARRIVAL:?}", taken.len());
            taken.extend(self.poll(&Room::of(count - taken.len())).await);
        }
        taken
    }

    /// Takes up to this many deliveries, at least one, as far as the broker gives them out together.
    pub(super) async fn take_up_to(&mut self, count: usize) -> Vec<Delivery> {
        let mut taken = vec![self.one().await];
        while taken.len() < count {
            let more = self.poll(&Room::of(count - taken.len())).await;
            if more.is_empty() {
                break;
            }
            taken.extend(more);
        }
        taken
    }

    /// Takes one delivery.
    pub(super) async fn one(&mut self) -> Delivery {
        self.one_within(ARRIVAL).await
    }

    /// Takes one delivery, which must come within this time.
    pub(super) async fn one_within(&mut self, limit: Duration) -> Delivery {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(delivery) = self.poll(&Room::of(1)).await.pop() {
                return delivery;
            }
            assert!(Instant::now() < deadline, "no delivery came within {limit:?}");
        }
    }

    /// Takes and acknowledges deliveries until this many *different* messages have arrived; returns every arrival. Each
    /// delivery is acknowledged before the next is taken.
    pub(super) async fn consume(&mut self, count: usize) -> Vec<Message> {
        let mut arrived = Vec::new();
        self.consume_until(&mut arrived, ARRIVAL, |seen| seen.len() >= count).await;
        arrived
    }

    /// Takes and acknowledges deliveries until enough is there, or panics when the time is up.
    pub(super) async fn consume_until(
        &mut self,
        arrived: &mut Vec<Message>,
        limit: Duration,
        enough: impl Fn(&BTreeSet<MessageId>) -> bool,
    ) {
        let deadline = Instant::now() + limit;
        let mut seen: BTreeSet<_> = arrived.iter().map(|message| message.id.clone()).collect();
        while !enough(&seen) {
            assert!(Instant::now() < deadline, "only {} messages came within {limit:?}", seen.len());
            let deliveries = self.poll(&Room::of(100)).await;
            let mut marks = Vec::new();
            for delivery in deliveries {
                let message = delivery.message.unwrap();
                seen.insert(message.id.clone());
                arrived.push(message);
                marks.push((delivery.ticket, Settle::Ack));
            }
            if !marks.is_empty() {
                self.settle(marks).await;
            }
        }
    }

    /// Takes and acknowledges deliveries: this many at least, and then until none has come for this long.
    pub(super) async fn arrivals(&mut self, at_least: usize, quiet: Duration) -> Vec<Message> {
        let (mut arrived, start) = (Vec::new(), Instant::now());
        let mut last = start;
        while arrived.len() < at_least || last.elapsed() < quiet {
            assert!(start.elapsed() < ARRIVAL, "{} of {at_least} deliveries came within {ARRIVAL:?}", arrived.len());
            for delivery in self.poll(&Room::of(100)).await {
                arrived.push(delivery.message.unwrap());
                self.settle(vec![(delivery.ticket, Settle::Ack)]).await;
                last = Instant::now();
            }
        }
        arrived
    }

    /// Panics if a delivery comes within this time.
    pub(super) async fn stays_quiet(&mut self, quiet: Duration) {
        let start = Instant::now();
        while start.elapsed() < quiet {
            if let Some(delivery) = self.poll(&Room::of(1)).await.pop() {
                panic!("a delivery came after {:?}: {:?}", start.elapsed(), delivery.message);
            }
        }
    }

    /// Settles deliveries and returns the outcomes.
    pub(super) async fn settle(&mut self, marks: Vec<(Ticket, Settle)>) -> Vec<Settled> {
        let count = marks.len();
        let settled = bounded(self.consumer.settle(marks)).await;
        assert_eq!(settled.len(), count, "as many outcomes as marks");
        settled
    }

    /// Settles one delivery, which the broker must take.
    pub(super) async fn mark(&mut self, delivery: Delivery, settle: Settle) -> Message {
        let outcome = self.settle(vec![(delivery.ticket, settle.clone())]).await.pop();
        assert!(outcome.as_ref().is_some_and(Settled::is_done), "{settle:?}: {outcome:?}");
        delivery.message.unwrap()
    }

    /// Extends the lease of deliveries.
    pub(super) async fn extend(&mut self, held: &[Ticket], by: Duration) -> Vec<Settled> {
        let settled = bounded(self.consumer.extend(held, by)).await;
        assert_eq!(settled.len(), held.len(), "as many outcomes as tickets");
        settled
    }

    /// Calls `next`, and drops the call after this time. Deliveries that came first are returned; none in an outage.
    pub(super) async fn poll_briefly(&mut self, time: Duration) -> Vec<Delivery> {
        match timeout(time, self.news(&Room::of(10))).await {
            Ok(Some(Signal::Deliveries(deliveries))) => deliveries,
            _ => Vec::new(),
        }
    }

    /// Drains the consumer.
    pub(super) async fn drain(self) {
        // A busy server takes its time while members come and go.
        let within = CALL / 2;
        let drained = timeout(CALL, self.consumer.drain(within)).await.expect("`drain` ends in time");
        assert!(drained.error.is_none(), "{drained:?}");
    }

    /// The consumer itself.
    pub(super) fn into_inner(self) -> Box<dyn BrokerConsumer> {
        self.consumer
    }
}

/// How many different messages there are.
pub(super) fn distinct(messages: &[Message]) -> usize {
    messages.iter().map(|message| &message.id).collect::<BTreeSet<_>>().len()
}
