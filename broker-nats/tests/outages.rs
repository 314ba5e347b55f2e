//! A server that is killed or frozen while messages are published and consumed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::{Server, ensure, message, number, take_all, unique};
use recount_broker_nats::NatsBroker;
use recount_messaging::{Broker, Message, Outgoing};
use recount_testing::broker::Harness;
use recount_testing::broker::by_hand::Load;
use tokio::time::{Instant, sleep};

/// The time of a call in these tests.
const CALL: Duration = Duration::from_secs(3);
/// A batch has four messages of each key, one after the other.
const LOAD: Load = Load {
    time: Duration::from_secs(8),
    least: 1001,
    each: 4,
    patience: Duration::from_secs(60),
    pause: Duration::ZERO,
};

/// Every stored message is there once, and the messages of a key are in their order.
async fn assert_stored_once_in_order(broker: &dyn Broker, binding: &recount_messaging::Binding, stored: &[Message]) {
    let mut consumer = broker.subscribe(binding).await.unwrap();
    let arrived = take_all(&mut *consumer, Duration::from_secs(5)).await;
    let arrived: Vec<Message> = arrived.into_iter().map(|delivery| delivery.message.unwrap()).collect();
    let ids: BTreeSet<_> = arrived.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids.len(), arrived.len(), "messages were stored twice");
    let lost = stored.iter().filter(|message| !ids.contains(message.id.as_str())).count();
    assert_eq!((lost, arrived.len()), (0, stored.len()));
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for message in &arrived {
        let (key, number) = (message.key.as_deref().unwrap(), number(message));
        assert!(last.insert(key, number).is_none_or(|previous| previous < number), "{key}: {number}");
    }
}

async fn impatient(server: &Server) -> Arc<dyn Broker> {
    let options = NatsBroker::options(&server.url()).unwrap().call_timeout(CALL);
    Arc::new(options.connect().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_publish_loses_and_doubles_nothing() {
    let server = Server::private().await;
    let (broker, binding) = (impatient(&server).await, unique(8));
    ensure(&*broker, &binding).await;
    let outage = async {
        for _ in 0..3 {
            sleep(Duration::from_secs(1)).await;
            server.kill().await;
            sleep(Duration::from_secs(1)).await;
            server.start().await;
        }
    };
    let ((stored, longest), ()) = tokio::join!(LOAD.publish(&*broker, &binding.topic), outage);
    // A batch has four messages of each key, one after the other.
    assert!(longest < CALL * 4 + Duration::from_secs(1), "a call took {longest:?}");
    assert!(stored.len() > 1000, "only {} messages were stored", stored.len());
    assert_stored_once_in_order(&*broker, &binding, &stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_frozen_under_publish_loses_and_doubles_nothing() {
    let server = Server::private().await;
    let (broker, binding) = (impatient(&server).await, unique(8));
    ensure(&*broker, &binding).await;
    let outage = async {
        sleep(Duration::from_secs(1)).await;
        server.freeze().await;
        sleep(Duration::from_secs(12)).await;
        server.thaw().await;
    };
    let ((stored, longest), ()) =
        tokio::join!(Load { time: Duration::from_secs(15), ..LOAD }.publish(&*broker, &binding.topic), outage);
    assert!(longest < CALL * 4 + Duration::from_secs(1), "a call took {longest:?}");
    assert_stored_once_in_order(&*broker, &binding, &stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_hears_of_an_outage_and_goes_on_after_it() {
    let server = Server::private().await;
    let (broker, binding) = (impatient(&server).await, unique(2));
    ensure(&*broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    for freeze in [true, false] {
        if freeze {
            server.freeze().await
        } else {
            server.kill().await
        }
        let (since, mut heard) = (Instant::now(), false);
        while !heard {
            let call = Instant::now();
            heard = consumer.next(&recount_messaging::Room::of(10)).await.is_err();
            assert!(call.elapsed() < CALL + Duration::from_secs(1), "a call took {:?}", call.elapsed());
            assert!(since.elapsed() < Duration::from_secs(10), "the outage goes unnoticed (frozen: {freeze})");
        }
        // By then the client library still takes the connection for alive.
        assert!(since.elapsed() < Duration::from_millis(5500), "noticed after {:?}", since.elapsed());
        if freeze {
            server.thaw().await
        } else {
            server.start().await
        }
        let (published, _) = Load { time: Duration::ZERO, least: 0, ..LOAD }.publish(&*broker, &binding.topic).await;
        assert_eq!(published.len(), 0);
        let one = message("key", 1);
        while !broker.publish(&binding.topic, vec![Outgoing::new(one.clone())]).await[0].is_stored() {
            assert!(since.elapsed() < Duration::from_secs(60), "the server does not come back");
        }
        let arrived = take_all(&mut *consumer, Duration::from_secs(3)).await;
        assert_eq!(arrived.len(), 1, "frozen: {freeze}");
        assert_eq!(arrived[0].message.as_ref().unwrap().id, one.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_ends_the_calls_under_way_at_once() {
    let server = Server::private().await;
    let (broker, binding) = (server.connect().await, unique(8));
    ensure(&*broker, &binding).await;
    server.freeze().await;
    let batch = (0..16).map(|n| Outgoing::new(message(&format!("key-{n}"), n))).collect();
    let lost = async {
        sleep(Duration::from_millis(500)).await;
        server.kill().await;
    };
    let started = Instant::now();
    let (fates, ()) = tokio::join!(broker.publish(&binding.topic, batch), lost);
    assert!(started.elapsed() < Duration::from_secs(2), "it took {:?}", started.elapsed());
    assert!(fates.iter().all(|fate| matches!(fate, recount_messaging::Fate::Unknown(_))), "{fates:?}");
}
