//! A server that is killed or frozen while messages are published and consumed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{Kind, Server, ensure, message, number, take_all, unique};
use recount_messaging::{Binding, Broker, BrokerError, Fate, Message, Outgoing, Room};
use recount_testing::broker::Harness;
use recount_testing::broker::by_hand::Load;
use tokio::time::{Instant, sleep};

/// The time of a call in these tests: that of the common options.
const CALL: Duration = Duration::from_secs(4);
/// A batch has two messages of each key, one after the other.
const LOAD: Load = Load {
    time: Duration::from_secs(8),
    least: 101,
    each: 2,
    patience: Duration::from_secs(90),
    pause: Duration::ZERO,
};

/// Every stored message is there, and the first arrivals of each key are in their order. Returns how many came twice.
async fn assert_stored_in_order(broker: &dyn Broker, binding: &Binding, stored: &[Message]) -> usize {
    let mut consumer = broker.subscribe(binding).await.unwrap();
    let arrived = take_all(&mut *consumer, Duration::from_secs(5)).await;
    let arrived: Vec<Message> = arrived.into_iter().map(|delivery| delivery.message.unwrap()).collect();
    let mut ids = BTreeSet::new();
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for message in arrived.iter().filter(|message| ids.insert(message.id.as_str())) {
        let (key, number) = (message.key.as_deref().unwrap(), number(message));
        assert!(last.insert(key, number).is_none_or(|previous| previous < number), "{key}: {number}");
    }
    let lost = stored.iter().filter(|message| !ids.contains(message.id.as_str())).count();
    assert_eq!((lost, ids.len()), (0, stored.len()));
    arrived.len() - ids.len()
}

/// fauxqs forgets the ids of messages when it is killed, so those without an answer may be stored twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_publish_loses_nothing() {
    let server = Server::private(Kind::Sns).await;
    let (broker, binding) = (server.connect().await, unique());
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
    // A batch has two messages of each key, one after the other.
    assert!(longest < CALL * 2 + Duration::from_secs(2), "a call took {longest:?}");
    assert!(stored.len() > 100, "only {} messages were stored", stored.len());
    assert_stored_in_order(&*broker, &binding, &stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_frozen_under_publish_loses_and_doubles_nothing() {
    for kind in [Kind::Sns, Kind::Sqs] {
        let server = Server::private(kind).await;
        let (broker, binding) = (server.connect().await, unique());
        ensure(&*broker, &binding).await;
        let outage = async {
            sleep(Duration::from_secs(1)).await;
            server.freeze().await;
            sleep(Duration::from_secs(20)).await;
            server.thaw().await;
        };
        let ((stored, longest), ()) =
            tokio::join!(Load { time: Duration::from_secs(22), ..LOAD }.publish(&*broker, &binding.topic), outage);
        assert!(longest < CALL * 3 + Duration::from_secs(2), "a call took {longest:?}");
        let doubled = assert_stored_in_order(&*broker, &binding, &stored).await;
        assert_eq!(doubled, 0, "{kind:?}: messages were stored twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_hears_of_an_outage_and_goes_on_after_it() {
    let server = Server::private(Kind::Sns).await;
    // fauxqs knows no attempt ids: a message that it gives to a request without a listener is hidden for its lease.
    let (broker, binding) = (server.connect().await, unique().lease(Duration::from_secs(5)));
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
            heard = consumer.next(&Room::of(10)).await.is_err();
            assert!(call.elapsed() < Duration::from_secs(2), "a call took {:?}", call.elapsed());
            // A request waits a second for messages, and then for the time of a call.
            assert!(since.elapsed() < CALL + Duration::from_secs(5), "the outage goes unnoticed (frozen: {freeze})");
        }
        if freeze {
            server.thaw().await
        } else {
            server.start().await
        }
        let one = message("key", 1);
        while !broker.publish(&binding.topic, vec![Outgoing::new(one.clone())]).await[0].is_stored() {
            assert!(since.elapsed() < Duration::from_secs(60), "the server does not come back");
        }
        let arrived = take_all(&mut *consumer, Duration::from_secs(7)).await;
        assert_eq!(arrived.len(), 1, "frozen: {freeze}");
        assert_eq!(arrived[0].message.as_ref().unwrap().id, one.id);
    }
}

/// Sends, settlements and the health check end in their time towards a server that is frozen for twenty seconds.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_ends_in_its_time_while_the_server_is_frozen() {
    let server = Server::private(Kind::Sqs).await;
    let (broker, binding) = (server.connect().await, unique());
    ensure(&*broker, &binding).await;
    common::publish(&*broker, &binding.topic, &[message("a", 0), message("b", 1)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let held = common::take(&mut *consumer, 1).await;
    server.freeze().await;
    // The threads of a process stop some time after the signal on a busy machine.
    sleep(Duration::from_millis(500)).await;
    let frozen = Instant::now();
    while frozen.elapsed() < Duration::from_secs(20) {
        let call = Instant::now();
        assert!(broker.health().await.is_err());
        let fate = broker.publish(&binding.topic, vec![message("c", 2).into()]).await.remove(0);
        assert!(matches!(fate, Fate::Unknown(_) | Fate::NotSent(Some(_))), "{fate:?}");
        assert!(broker.subscribe(&binding).await.is_err());
        let limit = CALL * 4 + Duration::from_secs(2);
        assert!(call.elapsed() < limit, "three calls took {:?}", call.elapsed());
    }
    let tickets: Vec<_> = held.into_iter().map(|delivery| delivery.ticket).collect();
    let call = Instant::now();
    assert!(!consumer.extend(&tickets, binding.lease).await[0].is_done());
    let marks = tickets.into_iter().map(|ticket| (ticket, recount_messaging::Settle::Ack)).collect();
    assert!(!consumer.settle(marks).await[0].is_done());
    assert!(consumer.drain(Duration::from_secs(2)).await.released == 0);
    broker.close(Duration::from_secs(1)).await;
    assert!(call.elapsed() < CALL * 3 + Duration::from_secs(5), "{:?}", call.elapsed());
    server.thaw().await;
}

/// A batch of many requests ends with the first that has no answer: the messages behind it are not sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_ends_in_the_time_of_one_call_while_the_server_is_frozen() {
    for kind in [Kind::Sns, Kind::Sqs] {
        let server = Server::private(kind).await;
        let (broker, binding) = (server.connect().await, unique());
        ensure(&*broker, &binding).await;
        // So that the queues are known.
        common::publish(&*broker, &binding.topic, &[message("key", 0)]).await;
        server.freeze().await;
        let batch = (0..1000).map(|n| message(&format!("key-{n}"), n).into()).collect();
        let call = Instant::now();
        let fates = broker.publish(&binding.topic, batch).await;
        assert!(call.elapsed() < CALL * 2, "{kind:?}: {:?}", call.elapsed());
        // The threads of a process stop some time after the signal on a busy machine.
        for fate in fates.iter().filter(|fate| !fate.is_stored()) {
            let (Fate::Unknown(error) | Fate::NotSent(Some(error))) = fate else { panic!("{kind:?}: {fate:?}") };
            assert!(matches!(error, BrokerError::TimedOut { .. }), "{kind:?}: {error:?}");
        }
        assert!(matches!(fates[999], Fate::NotSent(_)), "{kind:?}: {:?}", fates[999]);
        server.thaw().await;
    }
}
