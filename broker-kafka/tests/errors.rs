//! Troubles that do not heal by themselves: the publisher and the consumer return them as errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::num::NonZeroU16;
use std::time::Duration;

use common::{Server, ensure, message, number, publish, take, unique};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use recount_broker_kafka::KafkaBroker;
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, BrokerPosition, Fate, LaneId, Plan, Refusal, Room, Seek, Settle,
    Signal, Topic,
};
use tokio::time::{Instant, sleep};

/// The client library tells of a missing topic after half a minute.
const PATIENCE: Duration = Duration::from_secs(60);

fn admin(server: &Server) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", server.hosts()).create().unwrap()
}

async fn delete(server: &Server, topic: &Topic) {
    let deleted = admin(server).delete_topics(&[topic.name()], &AdminOptions::new()).await.unwrap();
    assert!(deleted[0].is_ok(), "{deleted:?}");
}

/// Sets the codec that the server keeps the topic with.
async fn compress(server: &Server, topic: &Topic, codec: &str) {
    let settings = AlterConfig::new(ResourceSpecifier::Topic(topic.name()))
        .set("compression.type", codec)
        .set("max.message.bytes", "2000000")
        .set("message.timestamp.type", "LogAppendTime");
    admin(server).alter_configs([&settings], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    sleep(Duration::from_secs(1)).await;
}

/// Calls `next` until it returns an error, and acknowledges what comes.
async fn error_of(consumer: &mut dyn BrokerConsumer) -> (BrokerError, Vec<usize>) {
    let (mut arrived, until) = (Vec::new(), Instant::now() + PATIENCE);
    loop {
        assert!(Instant::now() < until, "no error after {arrived:?}");
        match consumer.next(&Room::of(10)).await {
            Ok(Signal::Deliveries(deliveries)) => {
                for delivery in deliveries {
                    arrived.push(number(delivery.message.as_ref().unwrap()));
                    assert!(consumer.settle(vec![(delivery.ticket, Settle::Ack)]).await[0].is_done());
                }
            }
            Ok(_) => {}
            Err(error) => return (error, arrived),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_does_not_create_a_deleted_topic_anew() {
    let server = Server::any().await;
    let broker = KafkaBroker::connect(&format!("{}?timeout=3", server.url())).await.unwrap();
    let binding = unique(8);
    ensure(&broker, &binding).await;
    publish(&broker, &binding.topic, &[message("key", 0)]).await;
    delete(&server, &binding.topic).await;
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "the topic is not missing");
        match broker.publish(&binding.topic, vec![message("key", 1).into()]).await.remove(0) {
            Fate::NotSent(Some(BrokerError::Missing { .. })) => break,
            fate => assert!(!fate.is_stored(), "{fate:?}"),
        }
    }
    // With the declared number of partitions.
    ensure(&broker, &binding).await;
    publish(&broker, &binding.topic, &[message("key", 2)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_of_a_deleted_topic_returns_missing() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    publish(&*broker, &binding.topic, &[message("key", 0)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    take(&mut *consumer, 1).await;
    delete(&server, &binding.topic).await;
    let (error, _) = error_of(&mut *consumer).await;
    assert!(matches!(error, BrokerError::Missing { .. }), "{error:?}");
}

/// The tests are built without the feature `zstd`.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_in_an_unknown_compression_is_an_error_and_is_not_passed_over() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    for (n, codec) in ["producer", "zstd", "gzip"].into_iter().enumerate() {
        compress(&server, &binding.topic, codec).await;
        publish(&*broker, &binding.topic, &[message("key", n)]).await;
    }
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let (error, mut arrived) = error_of(&mut *consumer).await;
    assert!(matches!(error, BrokerError::Failed { .. }), "{error:?}");
    let (again, more) = error_of(&mut *consumer).await;
    assert!(matches!(again, BrokerError::Failed { .. }), "{again:?}");
    arrived.extend(more);
    assert_eq!(arrived, [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_timeout_that_the_server_refuses_is_an_error() {
    let server = Server::any().await;
    let broker = KafkaBroker::connect(&format!("{}?session_timeout=1", server.url())).await.unwrap();
    let binding = unique(1);
    ensure(&broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let (error, _) = error_of(&mut *consumer).await;
    assert!(matches!(error, BrokerError::Failed { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_another_assignment_strategy_is_an_error() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    let foreign: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", server.hosts())
        .set("group.id", format!("{}.{}", binding.group, binding.topic))
        .set("partition.assignment.strategy", "range")
        .create()
        .unwrap();
    foreign.subscribe(&[binding.topic.name()]).unwrap();
    let until = Instant::now() + PATIENCE;
    while foreign.assignment().unwrap().count() == 0 {
        assert!(Instant::now() < until, "the other member gets no partition");
        let _ = foreign.poll(Duration::ZERO);
        sleep(Duration::from_millis(50)).await;
    }
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let (error, _) = error_of(&mut *consumer).await;
    assert!(matches!(error, BrokerError::Failed { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_behind_the_last_message_is_refused_and_one_after_the_close() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    publish(&*broker, &binding.topic, &[message("key", 0), message("key", 1)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let first = take(&mut *consumer, 1).await.remove(0);
    for beyond in [2, u64::MAX] {
        let error = consumer.seek(Seek::After(LaneId(0), BrokerPosition(beyond, 0))).await.unwrap_err();
        assert!(matches!(error, BrokerError::Invalid { .. }), "{error:?}");
    }
    assert!(consumer.settle(vec![(first.ticket, Settle::Ack)]).await[0].is_done());
    assert_eq!(number(take(&mut *consumer, 1).await[0].message.as_ref().unwrap()), 1);
    consumer.seek(Seek::After(LaneId(0), BrokerPosition(1, 0))).await.unwrap();
    broker.close(Duration::from_secs(1)).await;
    assert!(matches!(consumer.seek(Seek::Start).await, Err(BrokerError::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_at_their_limits_are_taken_or_refused() {
    let server = Server::any().await;
    let options = || KafkaBroker::options(&server.url()).unwrap();
    let refused = options().max_message(usize::MAX).connect().await.unwrap_err();
    assert!(matches!(refused, BrokerError::Failed { .. }), "{refused:?}");
    let broker = options().call_timeout(Duration::MAX).max_poll(Duration::MAX).connect().await.unwrap();
    let binding = unique(1);
    let topic = binding.topic.clone().keep_for(Duration::MAX);
    let plan = Plan { topics: vec![topic], ..Plan::default() };
    broker.ensure(&plan, false).await.unwrap();
    broker.ensure(&plan, false).await.unwrap();
    ensure(&broker, &binding).await;
    publish(&broker, &binding.topic, &[message("key", 0)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    take(&mut *consumer, 1).await;
    consumer.seek(Seek::Start).await.unwrap();
    take(&mut *consumer, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_a_topic_of_the_server_is_refused() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    // The server creates its topic with the first group.
    ensure(&*broker, &binding).await;
    let topic = Topic::new("__consumer_offsets").unwrap().with_lanes(NonZeroU16::MIN);
    let fate = broker.publish(&topic, vec![message("key", 0).into()]).await.remove(0);
    assert!(matches!(fate, Fate::Refused(Refusal::Broker { .. })), "{fate:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_a_plan_has_twice_is_declared_once() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    let twice = Binding::new(binding.topic.clone(), unique(1).group);
    let bindings = vec![twice.clone(), unique(1), twice];
    let changes = broker.ensure(&Plan { bindings, ..Plan::default() }, false).await.unwrap();
    assert_eq!(changes.len(), 3, "{changes:?}");
}
