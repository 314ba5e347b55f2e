//! A server that is killed or frozen while messages are published and consumed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{Server, ensure, message, news, number, publish, take, take_all, unique};
use recount_broker_kafka::KafkaBroker;
use recount_messaging::{Binding, Broker, BrokerConsumer, Message, Room, Seek, Settle, Settled, Signal};
use recount_testing::broker::Harness;
use recount_testing::broker::by_hand::Load;
use tokio::time::{Instant, sleep, timeout};

/// A batch has four messages of each key, one after the other.
const LOAD: Load = Load {
    time: Duration::from_secs(12),
    least: 1001,
    each: 4,
    patience: Duration::from_secs(90),
    pause: Duration::from_millis(5),
};

/// Takes deliveries until all of these have come. The first copies of each key must come in order. Returns how many came twice.
async fn consume(consumer: &mut dyn BrokerConsumer, stored: &BTreeSet<String>, limit: Duration) -> usize {
    let (mut seen, mut last, mut twice) = (BTreeSet::new(), BTreeMap::<String, usize>::new(), 0);
    let until = Instant::now() + limit;
    while !stored.is_subset(&seen) {
        assert!(Instant::now() < until, "{} of {} came", seen.len(), stored.len());
        let Some(Signal::Deliveries(deliveries)) = news(consumer, &Room::of(100)).await else { continue };
        let mut marks = Vec::new();
        for delivery in deliveries {
            let message = delivery.message.unwrap();
            if seen.insert(message.id.to_string()) {
                let (key, number) = (message.key.as_deref().unwrap().to_owned(), number(&message));
                assert!(last.insert(key.clone(), number).is_none_or(|previous| previous < number), "{key}: {number}");
            } else {
                twice += 1;
            }
            marks.push((delivery.ticket, Settle::Ack));
        }
        consumer.settle(marks).await;
    }
    twice
}

async fn under_load(
    server: &Server,
    broker: &KafkaBroker,
    binding: &Binding,
    outage: impl Future<Output = ()>,
) -> usize {
    ensure(broker, binding).await;
    let mut consumer = broker.subscribe(binding).await.unwrap();
    let ((stored, longest), ()) = tokio::join!(LOAD.publish(broker, &binding.topic), outage);
    assert!(longest < Duration::from_secs(5 * 2 + 5), "a call took {longest:?}");
    assert!(stored.len() > 1000, "only {} messages were stored", stored.len());
    let ids = stored.iter().map(|message| message.id.to_string()).collect();
    let twice = consume(&mut *consumer, &ids, Duration::from_secs(120)).await;
    // Recovery without a restart of ours: the same broker goes on.
    broker.health().await.unwrap();
    let _ = server;
    twice
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_loses_nothing_and_keeps_the_order() {
    let server = Server::private().await;
    // Longer than the outages, so that the idempotent producer repeats all by itself.
    let broker = KafkaBroker::connect(&format!("{}?timeout=30", server.url())).await.unwrap();
    let binding = unique(8);
    ensure(&broker, &binding).await;
    let outage = async {
        for _ in 0..2 {
            sleep(Duration::from_secs(2)).await;
            server.kill().await;
            sleep(Duration::from_secs(1)).await;
            server.start().await;
        }
    };
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let ((stored, _), ()) = tokio::join!(LOAD.publish(&broker, &binding.topic), outage);
    assert!(stored.len() > 1000, "only {} messages were stored", stored.len());
    let ids = stored.iter().map(|message| message.id.to_string()).collect();
    consume(&mut *consumer, &ids, Duration::from_secs(120)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_frozen_for_twenty_seconds_under_load_loses_nothing_and_keeps_the_order() {
    let server = Server::private().await;
    let broker = KafkaBroker::connect(&format!("{}?timeout=5", server.url())).await.unwrap();
    let binding = unique(8);
    let outage = async {
        sleep(Duration::from_secs(2)).await;
        server.freeze().await;
        sleep(Duration::from_secs(20)).await;
        server.thaw().await;
    };
    let twice = under_load(&server, &broker, &binding, outage).await;
    println!("{twice} messages were stored twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_that_fails_loses_no_open_message() {
    let server = Server::private().await;
    let broker = KafkaBroker::connect(&format!("{}?timeout=2", server.url())).await.unwrap();
    let binding = unique(1);
    ensure(&broker, &binding).await;
    let messages: Vec<Message> = (0..10).map(|n| message("key", n)).collect();
    publish(&broker, &binding.topic, &messages).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let held = take(&mut *consumer, 5).await;
    server.freeze().await;
    consumer.seek(Seek::Time(recount_core::Timestamp::now())).await.unwrap_err();
    server.thaw().await;
    let releases = held.into_iter().map(|delivery| (delivery.ticket, Settle::Release)).collect();
    assert!(consumer.settle(releases).await.iter().all(Settled::is_done));
    let arrived = take_all(&mut *consumer, Duration::from_secs(4)).await;
    let arrived: BTreeSet<usize> = arrived.iter().map(|one| number(one.message.as_ref().unwrap())).collect();
    assert_eq!(arrived, (0..10).collect());
}

/// The library would send the messages of a dropped call after any time.
#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_is_dropped_ends_within_its_timeout() {
    let server = Server::private().await;
    let broker = KafkaBroker::connect(&format!("{}?timeout=2", server.url())).await.unwrap();
    let binding = unique(1);
    ensure(&broker, &binding).await;
    publish(&broker, &binding.topic, &[message("key", 0)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    server.freeze().await;
    for number in 1..6 {
        let publishing = broker.publish(&binding.topic, vec![message("key", number).into()]);
        assert!(timeout(Duration::from_millis(100), publishing).await.is_err(), "the server is frozen");
    }
    sleep(Duration::from_secs(4)).await;
    server.thaw().await;
    let arrived = take_all(&mut *consumer, Duration::from_secs(5)).await;
    let arrived: BTreeSet<usize> = arrived.iter().map(|one| number(one.message.as_ref().unwrap())).collect();
    // The first one is on its way to the server.
    assert!(arrived.is_subset(&BTreeSet::from([0, 1])), "{arrived:?}");
    publish(&broker, &binding.topic, &[message("key", 6)]).await;
}
