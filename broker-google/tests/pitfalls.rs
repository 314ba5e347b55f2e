//! Pitfalls that users of Pub/Sub and of its client libraries reported, by faults to order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{SOON, Server, ensure, fates, message, news, unique};
use google_cloud_pubsub::model::Message as Native;
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, Delivery, Fate, Message, Order, Refusal, Room, Settle, Settled,
    Signal,
};
use recount_servers::PubSubFault;
use recount_testing::broker::Harness;
use tokio::time::{Instant, sleep, timeout};

const UNAVAILABLE: u32 = 14;
const INVALID: u32 = 3;

fn fault(method: &'static str, count: u32, code: u32) -> PubSubFault {
    PubSubFault { method, count, code, done: false, delay: Duration::ZERO, key: String::new() }
}

async fn declared(server: &Server) -> (std::sync::Arc<dyn Broker>, Binding) {
    let (broker, binding) = (server.connect().await, unique());
    ensure(&*broker, &binding).await;
    (broker, binding)
}

/// Takes and acknowledges deliveries until there are so many. Returns the numbers of each key.
async fn consume(consumer: &mut dyn BrokerConsumer, count: usize) -> BTreeMap<String, Vec<usize>> {
    let (mut seen, mut numbers) = (0, BTreeMap::<String, Vec<usize>>::new());
    let started = Instant::now();
    while seen < count {
        assert!(started.elapsed() < SOON, "only {seen} of {count} messages came");
        for delivery in take(consumer).await {
            let message = delivery.message.unwrap();
            let number = std::str::from_utf8(&message.data).unwrap().parse().unwrap();
            numbers.entry(message.key.as_deref().unwrap_or_default().to_owned()).or_default().push(number);
            assert!(consumer.settle(vec![(delivery.ticket, Settle::Ack)]).await[0].is_done());
            seen += 1;
        }
    }
    numbers
}

async fn take(consumer: &mut dyn BrokerConsumer) -> Vec<Delivery> {
    match news(consumer, &Room::of(100)).await {
        Some(Signal::Deliveries(deliveries)) => deliveries,
        _ => Vec::new(),
    }
}

fn numbered(key: &str, numbers: std::ops::Range<usize>) -> Vec<Message> {
    numbers.map(|number| message(key, number)).collect()
}

/// The client library stops a key after a failed publish until it is told to go on (`resume_publish`): the next batch of the
/// key goes out, in order, and the other keys of the batch are not held up.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_publish_failed_goes_on_in_order() {
    let server = Server::start().await;
    let (broker, binding) = declared(&server).await;
    let refused = PubSubFault { key: "bad".to_owned(), ..fault("Publish", 1, 9) };
    server.with(|fake| fake.fault(&refused).unwrap());
    let batch = [numbered("bad", 0..3), numbered("good", 0..3)].concat();
    let first = fates(&*broker, &binding.topic, &batch).await;
    assert!(first[..3].iter().all(|fate| matches!(fate, Fate::NotSent(_))), "{first:?}");
    assert!(first[3..].iter().all(Fate::is_stored), "{first:?}");
    let again = fates(&*broker, &binding.topic, &batch[..3]).await;
    let more = fates(&*broker, &binding.topic, &numbered("bad", 3..6)).await;
    assert!(again.iter().chain(&more).all(Fate::is_stored), "{again:?} {more:?}");
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let numbers = consume(&mut *consumer, 9).await;
    assert_eq!((&numbers["bad"], &numbers["good"]), (&vec![0, 1, 2, 3, 4, 5], &vec![0, 1, 2]));
}

/// An answer that is lost after the request took effect leaves the fate unknown, and the same message may come twice: the
/// service has no deduplication.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_leaves_the_fate_unknown() {
    let server = Server::start().await;
    let broker = server.options().call_timeout(Duration::from_secs(2)).connect().await.unwrap();
    let binding = unique();
    ensure(&broker, &binding).await;
    server.with(|fake| fake.fault(&PubSubFault { done: true, ..fault("Publish", u32::MAX, UNAVAILABLE) }).unwrap());
    let lost = fates(&broker, &binding.topic, &numbered("k", 0..1)).await;
    assert!(matches!(lost[0], Fate::Unknown(BrokerError::Unavailable { .. })), "{lost:?}");
    server.with(|fake| fake.clear_faults().unwrap());
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert!(consume(&mut *consumer, 1).await["k"].iter().all(|number| *number == 0));
}

/// A short outage is the client library's: it tries again within the call timeout, and the order of the key is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_outage_is_not_seen() {
    let server = Server::start().await;
    let (broker, binding) = declared(&server).await;
    server.with(|fake| fake.fault(&fault("Publish", 2, UNAVAILABLE)).unwrap());
    let batch = numbered("k", 0..20);
    assert!(fates(&*broker, &binding.topic, &batch).await.iter().all(Fate::is_stored));
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert_eq!(consume(&mut *consumer, 20).await["k"], (0..20).collect::<Vec<_>>());
}

/// A request is refused as a whole, for one of its messages: the others are stored, and the refused one is named. Behind it
/// its key waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_does_not_take_its_neighbours_along() {
    let server = Server::start().await;
    let (broker, binding) = declared(&server).await;
    // The first request of the key, and then the first of its messages that are sent alone.
    let refused = PubSubFault { key: "bad".to_owned(), ..fault("Publish", 2, INVALID) };
    server.with(|fake| fake.fault(&refused).unwrap());
    let batch = [numbered("bad", 0..3), numbered("good", 0..2)].concat();
    let first = fates(&*broker, &binding.topic, &batch).await;
    match &first[0] {
        Fate::Refused(refusal @ Refusal::Broker { .. }) => {
            assert!(refusal.to_string().contains(batch[0].id.as_str()), "{refusal}");
        }
        other => panic!("{other:?}"),
    }
    assert!(first[1..3].iter().all(|fate| matches!(fate, Fate::NotSent(_))), "{first:?}");
    assert!(first[3..].iter().all(Fate::is_stored), "{first:?}");
}

/// googleapis/google-cloud-rust#3970: the stream hands out messages while others of their key are open. So a message that is
/// released comes again before the later ones of its key.
#[tokio::test(flavor = "multi_thread")]
async fn a_released_message_comes_before_the_later_ones_of_its_key() {
    let server = Server::start().await;
    let (broker, binding) = declared(&server).await;
    let batch = [numbered("a", 0..5), numbered("b", 0..5)].concat();
    assert!(fates(&*broker, &binding.topic, &batch).await.iter().all(Fate::is_stored));
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let mut released = 0;
    while released < 4 {
        for delivery in take(&mut *consumer).await {
            let outcome = consumer.settle(vec![(delivery.ticket, Settle::Release)]).await.pop();
            assert!(matches!(outcome, Some(Settled::Sent)), "{outcome:?}");
            released += 1;
        }
    }
    let numbers = consume(&mut *consumer, 10).await;
    assert_eq!((&numbers["a"], &numbers["b"]), (&(0..5).collect(), &(0..5).collect()));
}

/// The client library extends leases: a message that is handled for longer than its lease does not come to another member.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_message_is_kept_beyond_its_lease() {
    let server = Server::start().await;
    let (broker, binding) = declared(&server).await;
    assert!(fates(&*broker, &binding.topic, &numbered("k", 0..1)).await[0].is_stored());
    let mut holder = broker.subscribe(&binding).await.unwrap();
    let held = loop {
        if let Some(delivery) = take(&mut *holder).await.pop() {
            break delivery;
        }
    };
    let mut other = broker.subscribe(&binding).await.unwrap();
    let until = Instant::now() + Duration::from_secs(14);
    while Instant::now() < until {
        assert!(take(&mut *other).await.is_empty(), "another member got the message while it was handled");
    }
    let tickets = [held.ticket];
    let extended = holder.extend(&tickets, Duration::from_secs(60)).await.pop();
    assert!(matches!(extended, Some(Settled::Sent)), "{extended:?}");
    let extended = holder.extend(&tickets, Duration::from_secs(3600)).await.pop();
    assert!(matches!(extended, Some(Settled::Unsupported)), "the client library ends it after an hour: {extended:?}");
    // The end of the holder gives it to the other one.
    drop((tickets, holder));
    assert_eq!(consume(&mut *other, 1).await["k"], [0]);
}

/// googleapis/google-cloud-rust#6675, #6722: acknowledgements that are pending at shutdown must not become releases.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_before_a_drain_count() {
    let server = Server::start().await;
    let (broker, binding) = declared(&server).await;
    let binding = binding.order(Order::PerKey);
    let batch: Vec<_> = (0..50).map(|number| message(&format!("key-{number}"), number)).collect();
    assert!(fates(&*broker, &binding.topic, &batch).await.iter().all(Fate::is_stored));
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    consume(&mut *consumer, 50).await;
    let drained = consumer.drain(Duration::from_secs(20)).await;
    assert!(drained.error.is_none(), "{drained:?}");
    let mut next = broker.subscribe(&binding).await.unwrap();
    let until = Instant::now() + Duration::from_secs(13);
    while Instant::now() < until {
        assert!(take(&mut *next).await.is_empty(), "an acknowledged message came again");
    }
}

/// A consumer that is alone with a service that stopped to answer says so: the client library reconnects in silence.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_service_does_not_look_idle_for_long() {
    let server = Server::start().await;
    let broker = server.options().call_timeout(Duration::from_secs(2)).connect().await.unwrap();
    let binding = unique();
    ensure(&broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let mut impatient = broker.subscribe(&binding).await.unwrap();
    server.freeze().await;
    let started = Instant::now();
    // Neither does one whose calls are dropped.
    let dropped = async {
        loop {
            assert!(started.elapsed() < SOON, "the consumer whose calls are dropped looks idle");
            if let Ok(Err(error)) = timeout(Duration::from_millis(100), impatient.next(&Room::of(1))).await {
                break error;
            }
        }
    };
    assert!(dropped.await.is_transient());
    drop(impatient);
    let started = Instant::now();
    let error = loop {
        assert!(started.elapsed() < SOON, "the consumer looks idle");
        let called = Instant::now();
        let signal = consumer.next(&Room::of(1)).await;
        assert!(called.elapsed() < Duration::from_secs(10), "the call took {:?}", called.elapsed());
        if let Err(error) = signal {
            break error;
        }
    };
    assert!(error.is_transient(), "{error:?}");
    let frozen = fates(&broker, &binding.topic, &numbered("k", 0..1)).await;
    assert!(matches!(frozen[0], Fate::Unknown(_)), "{frozen:?}");
    server.thaw().await;
    // The fate was unknown: it is stored once or twice.
    while !fates(&broker, &binding.topic, &numbered("k", 0..1)).await[0].is_stored() {
        assert!(started.elapsed() < SOON, "publishing does not recover");
    }
    assert!(consume(&mut *consumer, 1).await["k"].iter().all(|number| *number == 0));
}

/// A service that is frozen for 20 seconds under load loses nothing, and each key keeps its order.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_frozen_under_load_loses_nothing() {
    let server = Server::start().await;
    let broker = server.options().call_timeout(Duration::from_secs(3)).connect().await.unwrap();
    let binding = unique();
    ensure(&broker, &binding).await;
    let (mut stored, mut number) = (Vec::new(), 0);
    let frozen = async {
        sleep(Duration::from_secs(1)).await;
        server.freeze().await;
        sleep(Duration::from_secs(20)).await;
        server.thaw().await;
    };
    let publishing = async {
        let started = Instant::now();
        let mut open: Vec<Message> = Vec::new();
        while started.elapsed() < Duration::from_secs(23) || !open.is_empty() {
            assert!(started.elapsed() < SOON * 2, "{} messages stay open", open.len());
            if open.is_empty() {
                open = (0..8).map(|key| message(&format!("key-{key}"), number)).collect();
                number += 1;
            }
            let called = Instant::now();
            let fates = fates(&broker, &binding.topic, &open).await;
            assert!(called.elapsed() < Duration::from_secs(10), "the call took {:?}", called.elapsed());
            let (done, rest): (Vec<_>, Vec<_>) = open.into_iter().zip(fates).partition(|(_, fate)| fate.is_stored());
            stored.extend(done.into_iter().map(|(message, _)| message));
            open = rest.into_iter().map(|(message, _)| message).collect();
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::join!(frozen, publishing);
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let (started, mut first) = (Instant::now(), BTreeMap::<String, Vec<usize>>::new());
    while first.values().map(Vec::len).sum::<usize>() < stored.len() {
        assert!(started.elapsed() < SOON * 2, "of {} stored messages came {first:?}", stored.len());
        for (key, numbers) in consume(&mut *consumer, 1).await {
            // A message whose answer was lost is there twice. The first copies are in order.
            let of_key = first.entry(key).or_default();
            numbers.into_iter().for_each(|number| {
                if !of_key.contains(&number) {
                    of_key.push(number);
                }
            });
        }
    }
    assert!(first.values().all(|numbers| numbers.is_sorted()), "{first:?}");
}

/// A batch of one and of many from a foreign publisher: each message has a settlement of its own.
#[tokio::test(flavor = "multi_thread")]
async fn one_message_of_a_foreign_batch_is_acknowledged_alone() {
    let server = Server::start().await;
    let (broker, binding) = declared(&server).await;
    let publisher = server.publisher(&binding.topic).await;
    let published: Vec<_> = (0..5)
        .map(|number| {
            let attributes = [("ce-specversion", "1.0"), ("ce-source", "foreign"), ("ce-type", "tests.numbered")];
            let native = Native::new().set_data(number.to_string()).set_attributes(attributes);
            let mut attributes = native.attributes.clone();
            attributes.insert("ce-id".to_owned(), format!("foreign-{number}"));
            publisher.publish(native.set_attributes(attributes))
        })
        .collect();
    publisher.flush().await;
    for one in published {
        one.await.unwrap();
    }
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let mut open = Vec::new();
    while open.len() < 5 {
        open.extend(take(&mut *consumer).await);
    }
    let first = open.remove(0);
    let number = String::from_utf8(first.message.unwrap().data.to_vec()).unwrap();
    assert!(consumer.settle(vec![(first.ticket, Settle::Ack)]).await[0].is_done());
    // The acknowledgement is sent within a tenth of a second; then the program dies.
    sleep(Duration::from_secs(1)).await;
    drop((open, consumer));
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let again = timeout(SOON, consume(&mut *consumer, 4)).await.unwrap();
    assert!(!again[""].contains(&number.parse().unwrap()), "{again:?}");
}

/// A body with an emoji, and with each control character, arrives byte for byte; so do attributes.
#[tokio::test(flavor = "multi_thread")]
async fn any_text_arrives_equal() {
    let server = Server::start().await;
    let (broker, binding) = declared(&server).await;
    let controls: String = (0..32_u8).map(char::from).chain(['\u{7f}', '🦀']).collect();
    let mut sent = message("schlüssel 🗝", 0);
    sent.data = controls.clone().into();
    sent.metadata.headers.insert("x-controls".to_owned(), controls);
    assert!(fates(&*broker, &binding.topic, std::slice::from_ref(&sent)).await[0].is_stored());
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let arrived = loop {
        if let Some(delivery) = take(&mut *consumer).await.pop() {
            break delivery.message.unwrap();
        }
    };
    assert_eq!((arrived.data, arrived.key, arrived.metadata.headers), (sent.data, sent.key, sent.metadata.headers));
}

/// The client library extends the leases of messages in hand, so they would stay with the closed program for an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_broker_gives_back_the_messages_that_its_consumer_holds() {
    let server = Server::start().await;
    let (broker, binding) = declared(&server).await;
    let mut closed = broker.subscribe(&binding).await.unwrap();
    let messages: Vec<_> = (0..40).map(|number| message(&format!("key-{number}"), number)).collect();
    assert!(fates(&*broker, &binding.topic, &messages).await.iter().all(Fate::is_stored));
    let mut held = Vec::new();
    while held.is_empty() {
        held = take(&mut *closed).await;
    }
    broker.close(Duration::from_secs(5)).await;
    assert!(matches!(closed.next(&Room::of(1)).await, Err(BrokerError::Closed)));
    let mut other = server.connect().await.subscribe(&binding).await.unwrap();
    let came = timeout(SOON, consume(&mut *other, 40)).await.unwrap();
    assert_eq!(came.len(), 40, "one of each key");
    drop((held, closed));
}
