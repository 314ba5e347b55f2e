//! Helpers for the tests that a broker has beside the suite: names of their own, messages with numbers, consumers that are
//! read by hand, and load during an outage.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::time::Duration;

use recount_messaging::{
    Binding, Broker, BrokerConsumer, Delivery, Fate, Group, LaneId, Message, Returns, Room, Settle, Signal, Ticket,
    TicketParts, Topic,
};
use tokio::time::{Instant, sleep, timeout};

use super::support::{AFTER_ERROR, bounded, name, unless_outage};
pub use super::support::{fates, message, number, publish};

/// A binding of names that no other test uses, with so many lanes.
///
/// # Panics
/// Without lanes.
#[must_use]
pub fn unique(lanes: u16) -> Binding {
    let topic = Topic::new(&name("t")).unwrap().with_lanes(NonZeroU16::new(lanes).expect("a topic has lanes"));
    Binding::new(topic, Group::new(&name("g")).unwrap())
}

/// Declares a binding, and tries for a minute while the server can't be reached.
///
/// # Panics
/// After that minute, or if the broker refuses.
pub async fn ensure(broker: &dyn Broker, binding: &Binding) {
    super::support::ensure(broker, &[binding]).await;
}

/// The numbers of deliveries.
#[must_use]
pub fn numbers(deliveries: &[Delivery]) -> Vec<usize> {
    deliveries.iter().map(|delivery| number(delivery.message.as_ref().unwrap())).collect()
}

/// The answer of one call, or none in an outage.
///
/// # Panics
/// At an error that time does not heal, or if the call does not return.
pub async fn news(consumer: &mut dyn BrokerConsumer, room: &Room) -> Option<Signal> {
    let news = unless_outage(bounded(consumer.next(room)).await);
    if news.is_none() {
        sleep(AFTER_ERROR).await;
    }
    news
}

/// Takes deliveries until some come.
///
/// # Panics
/// After a minute, or at an error that time does not heal.
pub async fn take(consumer: &mut dyn BrokerConsumer, room: usize) -> Vec<Delivery> {
    let started = Instant::now();
    loop {
        if let Some(Signal::Deliveries(deliveries)) = news(consumer, &Room::of(room)).await {
            return deliveries;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no delivery comes");
    }
}

/// Takes and acknowledges deliveries until none has come for this time.
///
/// # Panics
/// If an acknowledgement is not taken, or at an error that time does not heal.
pub async fn take_all(consumer: &mut dyn BrokerConsumer, quiet: Duration) -> Vec<Delivery> {
    let (mut all, mut last) = (Vec::new(), Instant::now());
    while last.elapsed() < quiet {
        let Some(Signal::Deliveries(deliveries)) = news(consumer, &Room::of(100)).await else { continue };
        last = Instant::now();
        for mut delivery in deliveries {
            let lane = delivery.lane();
            let ticket = std::mem::replace(&mut delivery.ticket, spent(lane));
            assert!(consumer.settle(vec![(ticket, Settle::Ack)]).await[0].is_done());
            all.push(delivery);
        }
    }
    all
}

/// A ticket of no consumer.
fn spent(lane: LaneId) -> Ticket {
    let parts = TicketParts { lane, generation: 0, tag: 0, handle: bytes::Bytes::new() };
    Ticket::new(parts, &Returns::default())
}

/// Waits for a call, which must end within this time.
///
/// # Panics
/// If it takes longer.
pub async fn in_time<T>(limit: Duration, what: &str, call: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let answer = timeout(Duration::from_secs(60), call).await;
    assert!(start.elapsed() < limit, "{what} took {:?}", start.elapsed());
    answer.unwrap()
}

/// Publishes messages with the numbers from 0 of each key until all are stored, as a relay does: one message of a key after the other,
/// with the same ids. Returns all of them.
///
/// # Panics
/// If a message is refused, or a call takes longer than this limit.
pub async fn relay_each(broker: &dyn Broker, topic: &Topic, keys: usize, each: usize, limit: Duration) -> Vec<Message> {
    let of_key = |key: usize| (0..each).map(move |number| message(&format!("key-{key}"), number)).collect();
    let mut open: Vec<Vec<Message>> = (0..keys).map(of_key).collect();
    let all: Vec<Message> = open.iter().flatten().cloned().collect();
    while !open.is_empty() {
        let batch: Vec<Message> = open.iter().map(|of_key| of_key[0].clone()).collect();
        let fates = in_time(limit, "a publish", fates(broker, topic, &batch)).await;
        for (of_key, fate) in open.iter_mut().zip(&fates) {
            assert!(!matches!(fate, Fate::Refused(_)), "{fate:?}");
            if fate.is_stored() {
                of_key.remove(0);
            }
        }
        open.retain(|of_key| !of_key.is_empty());
        if fates.iter().any(|fate| !fate.is_stored()) {
            sleep(Duration::from_millis(200)).await;
        }
    }
    all
}

/// A load of messages of 16 keys.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How long new batches are published.
    pub time: Duration,
    /// How many messages must be stored: new batches are published until then on a busy machine.
    pub least: usize,
    /// How many messages of each key are in a batch, one behind the other.
    pub each: usize,
    /// How long the messages of a batch may stay open after that time.
    pub patience: Duration,
    /// The pause before each new batch.
    pub pause: Duration,
}

impl Load {
    /// Publishes, as a relay does: of each key from the first message that was not stored, with the same ids. Returns the stored
    /// messages, and how long the longest call took.
    ///
    /// # Panics
    /// If a message is refused, or stays open for too long.
    pub async fn publish(self, broker: &dyn Broker, topic: &Topic) -> (Vec<Message>, Duration) {
        const KEYS: usize = 16;
        let (started, mut longest, mut count) = (Instant::now(), Duration::ZERO, 0);
        let (mut stored, mut open): (Vec<Message>, Vec<Message>) = Default::default();
        while started.elapsed() < self.time || stored.len() < self.least || !open.is_empty() {
            assert!(
                started.elapsed() < self.time + self.patience,
                "{} messages are stored, {} stay open",
                stored.len(),
                open.len()
            );
            if open.is_empty() {
                open = (0..KEYS * self.each).map(|n| message(&format!("key-{}", n % KEYS), count + n)).collect();
                count += open.len();
                sleep(self.pause).await;
            } else {
                sleep(Duration::from_millis(100)).await;
            }
            let call = Instant::now();
            let fates = fates(broker, topic, &open).await;
            longest = longest.max(call.elapsed());
            let refused = fates.iter().find(|fate| matches!(fate, Fate::Refused(_)));
            assert!(refused.is_none(), "{refused:?}");
            let mut stopped = BTreeSet::new();
            let (done, rest): (Vec<_>, Vec<_>) = open.into_iter().zip(fates).partition(|(message, fate)| {
                let done = fate.is_stored() && !stopped.contains(&message.key);
                if !done {
                    stopped.insert(message.key.clone());
                }
                done
            });
            stored.extend(done.into_iter().map(|(message, _)| message));
            open = rest.into_iter().map(|(message, _)| message).collect();
        }
        (stored, longest)
    }
}
