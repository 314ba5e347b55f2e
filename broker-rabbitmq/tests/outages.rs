//! Servers that freeze or run out of memory: every call ends within its time, and nothing that was confirmed is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{Server, ensure, message, number, publish, unique};
use recount_broker_rabbitmq::{RabbitBroker, RabbitOptions};
use recount_messaging::{Binding, Broker, Fate, Message, Order, Room, Settle, Signal};
use recount_testing::broker::by_hand::{self, relay_each};
use tokio::time::{Instant, sleep};

/// The time of one request in these tests.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The time of a call: it may connect, open channels and publish.
const CALL: Duration = Duration::from_secs(10);

async fn connect(server: &Server) -> RabbitBroker {
    RabbitOptions::new(server.url()).unwrap().call_timeout(TIMEOUT).heartbeat(TIMEOUT).connect().await.unwrap()
}

/// Waits for a call, which must end in its time.
async fn in_time<T>(what: &str, call: impl Future<Output = T>) -> T {
    by_hand::in_time(CALL, what, call).await
}

/// The threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Consumes until all of these have come, and checks the order of first arrivals.
async fn consume_all(broker: &RabbitBroker, binding: &Binding, all: &[Message]) {
    let mut consumer = broker.subscribe(binding).await.unwrap();
    let (mut seen, mut next) = (BTreeSet::new(), BTreeMap::<String, usize>::new());
    let deadline = Instant::now() + Duration::from_secs(60);
    while seen.len() < all.len() {
        assert!(Instant::now() < deadline, "{} of {} came", seen.len(), all.len());
        let Ok(Signal::Deliveries(deliveries)) = in_time("next", consumer.next(&Room::of(200))).await else { continue };
        let mut marks = Vec::new();
        for delivery in deliveries {
            let message = delivery.message.unwrap();
            if seen.insert(message.id.clone()) {
                let expected = next.entry(message.key.as_deref().unwrap().to_owned()).or_default();
                assert_eq!(number(&message), *expected, "{:?}", message.key);
                *expected += 1;
            }
            marks.push((delivery.ticket, Settle::Ack));
        }
        in_time("settle", consumer.settle(marks)).await;
    }
}

/// amqp-rs/lapin#450, #409: recovery and publishing hang around restarts.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_freezes_for_twenty_seconds_under_load_loses_and_reorders_nothing() {
    let server = Server::private().await;
    let (broker, binding) = (connect(&server).await, unique());
    ensure(&broker, &binding).await;
    let outage = async {
        sleep(Duration::from_millis(300)).await;
        let before = threads();
        server.call(|server| server.freeze()).await;
        sleep(Duration::from_secs(20)).await;
        let during = threads();
        server.call(|server| server.resume()).await;
        // Each attempt to connect to a frozen server has ended with its thread.
        assert!(during <= before + 2, "{before} threads before, {during} during the outage");
    };
    let ((), all) = tokio::join!(outage, relay_each(&broker, &binding.topic, 100, 60, CALL));
    consume_all(&broker, &binding, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_loses_and_reorders_nothing() {
    let server = Server::private().await;
    let (broker, binding) = (connect(&server).await, unique());
    ensure(&broker, &binding).await;
    let outage = async {
        for _ in 0..2 {
            sleep(Duration::from_millis(700)).await;
            server.call(|server| server.restart().unwrap()).await;
        }
    };
    let ((), all) = tokio::join!(outage, relay_each(&broker, &binding.topic, 100, 60, CALL));
    consume_all(&broker, &binding, &all).await;
}

/// An alarm for memory hangs the publishes, the channel and the close of the client library.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_short_of_memory_holds_up_no_call_and_loses_nothing() {
    let server = Server::private().await;
    let (broker, binding) = (connect(&server).await, unique().order(Order::Unordered));
    ensure(&broker, &binding).await;
    assert!(publish(&broker, &binding.topic, &[message("k", 0)]).await[0].is_stored());
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    server.call(|server| server.control(&["set_vm_memory_high_watermark", "absolute", "1"]).unwrap()).await;
    sleep(Duration::from_secs(1)).await;
    // The server tells that it is short of memory after it was sent a message.
    let during = message("k", 1);
    for _ in 0..3 {
        let fates = in_time("a publish", publish(&broker, &binding.topic, std::slice::from_ref(&during))).await;
        assert!(matches!(fates[0], Fate::Unknown(_) | Fate::NotSent(Some(_))), "{fates:?}");
        assert!(in_time("health", broker.health()).await.is_err());
    }
    // Consumers go on: that is how the memory gets free again.
    let mut taken = false;
    for _ in 0..5 {
        if let Ok(Signal::Deliveries(deliveries)) = in_time("next", consumer.next(&Room::of(1))).await {
            let marks = deliveries.into_iter().map(|delivery| (delivery.ticket, Settle::Ack)).collect();
            taken |= in_time("settle", consumer.settle(marks)).await[0].is_done();
        }
    }
    assert!(taken);
    let start = Instant::now();
    let second = connect(&server).await;
    in_time("close", second.close(Duration::from_secs(2))).await;
    assert!(start.elapsed() < CALL);
    server.call(|server| server.control(&["set_vm_memory_high_watermark", "0.6"]).unwrap()).await;
    let mut stored = false;
    for _ in 0..20 {
        stored = stored || publish(&broker, &binding.topic, std::slice::from_ref(&during)).await[0].is_stored();
        sleep(Duration::from_millis(if stored { 0 } else { 200 })).await;
    }
    assert!(stored);
    consume_during(&mut consumer, &during).await;
}

async fn consume_during(consumer: &mut Box<dyn recount_messaging::BrokerConsumer>, expected: &Message) {
    for _ in 0..20 {
        if let Ok(Signal::Deliveries(deliveries)) = consumer.next(&Room::of(5)).await
            && deliveries.iter().any(|delivery| delivery.message.as_ref().unwrap() == expected)
        {
            return;
        }
    }
    panic!("the message did not come");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stays_in_its_lane_when_the_server_starts_again() {
    let server = Server::private().await;
    let (broker, binding) = (connect(&server).await, unique());
    ensure(&broker, &binding).await;
    let mut lanes = Vec::new();
    for _ in 0..2 {
        let all = relay_each(&broker, &binding.topic, 40, 1, CALL).await;
        let mut consumer = broker.subscribe(&binding).await.unwrap();
        let mut lane_of = BTreeMap::new();
        while lane_of.len() < all.len() {
            let Ok(Signal::Deliveries(deliveries)) = consumer.next(&Room::of(100)).await else { continue };
            for delivery in deliveries {
                lane_of.insert(delivery.message.as_ref().unwrap().key.clone(), delivery.lane());
                consumer.settle(vec![(delivery.ticket, Settle::Ack)]).await;
            }
        }
        lanes.push(lane_of);
        server.call(|server| server.restart().unwrap()).await;
    }
    assert_eq!(lanes[0], lanes[1]);
    assert_eq!(lanes[0].values().collect::<BTreeSet<_>>().len(), 8, "all lanes are used");
}
