//! Troubles that users of Kafka have reported, one by one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::{Server, ensure, message, news, number, publish, raw, take, take_all, unique};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use recount_broker_kafka::KafkaBroker;
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, Fate, LaneId, Message, Outgoing, Plan, Room, Seek, Settle, Settled,
    Signal, StartFrom,
};
use recount_testing::broker::Harness;
use tokio::time::{Instant, sleep, timeout};

/// Calls `next` until it has told of the loss of a lane.
async fn lose(consumer: &mut dyn BrokerConsumer) -> Vec<LaneId> {
    let (mut lost, until) = (Vec::new(), Instant::now() + Duration::from_secs(60));
    while lost.is_empty() || consumer_has_news(consumer, &mut lost).await {
        assert!(Instant::now() < until, "no lane is lost");
        if lost.is_empty() {
            consumer_has_news(consumer, &mut lost).await;
        }
    }
    lost
}

async fn consumer_has_news(consumer: &mut dyn BrokerConsumer, lost: &mut Vec<LaneId>) -> bool {
    let full = (0..16).map(LaneId).collect();
    match news(consumer, &Room { full, ..Room::of(1) }).await {
        Some(Signal::Lost(lane)) => {
            lost.push(lane);
            true
        }
        Some(Signal::Losing(..) | Signal::Gained(_)) => true,
        Some(Signal::Deliveries(_) | Signal::Idle) | None => false,
    }
}

/// The position of a group, as the server has it.
fn position(server: &Server, binding: &Binding, partition: i32) -> Option<i64> {
    let group = format!("{}.{}", binding.group, binding.topic);
    let config = ClientConfig::new().set("bootstrap.servers", server.hosts()).set("group.id", group).clone();
    let client: BaseConsumer = config.create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition(binding.topic.name(), partition);
    let found = tokio::task::block_in_place(|| client.committed_offsets(asked, Duration::from_secs(20)).unwrap());
    match found.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

/// reactor/reactor-kafka#259 and microsoft/FluidFramework#9404: state of a revoked partition must not be recorded as progress.
#[tokio::test(flavor = "multi_thread")]
async fn tickets_of_a_lane_that_moved_are_stale_and_are_not_progress() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(2));
    ensure(&*broker, &binding).await;
    let messages: Vec<Message> = (0..40).map(|n| message(&format!("key-{}", n % 8), n)).collect();
    publish(&*broker, &binding.topic, &messages).await;
    let mut one = broker.subscribe(&binding).await.unwrap();
    let mut held = Vec::new();
    while held.len() < 40 {
        held.extend(take(&mut *one, 40).await);
    }
    let other = server.connect().await;
    let mut two = other.subscribe(&binding).await.unwrap();
    let waiting = tokio::spawn(async move {
        let arrived = take_all(&mut *two, Duration::from_secs(8)).await;
        (two, arrived)
    });
    let lost = lose(&mut *one).await;
    let (stale, kept): (Vec<_>, Vec<_>) = held.into_iter().partition(|delivery| lost.contains(&delivery.lane()));
    assert!(!stale.is_empty() && !kept.is_empty(), "{lost:?}");
    let expected: Vec<usize> = stale.iter().map(|one| number(one.message.as_ref().unwrap())).collect();
    for delivery in stale {
        let settled = one.settle(vec![(delivery.ticket, Settle::Ack)]).await.remove(0);
        assert!(matches!(settled, Settled::Stale), "{settled:?}");
    }
    let acks = kept.into_iter().map(|delivery| (delivery.ticket, Settle::Ack)).collect();
    assert!(one.settle(acks).await.iter().all(Settled::is_done));
    let (two, arrived) = waiting.await.unwrap();
    let arrived: Vec<usize> = arrived.iter().map(|one| number(one.message.as_ref().unwrap())).collect();
    assert_eq!(arrived, expected, "the other member gets all of the lane");
    assert!(one.drain(Duration::from_secs(5)).await.error.is_none());
    assert!(two.drain(Duration::from_secs(5)).await.error.is_none());
}

/// BEagle1984/silverback#253: the position must not pass a message that was not handled, and no lane is committed that has
/// delivered nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_position_never_passes_an_open_message_and_untouched_lanes_keep_theirs() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    let messages: Vec<Message> = (0..10).map(|n| message("key", n)).collect();
    publish(&*broker, &binding.topic, &messages).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let mut held = Vec::new();
    while held.len() < 10 {
        held.extend(take(&mut *consumer, 10).await);
    }
    let open = held.remove(3);
    let acks = held.into_iter().map(|delivery| (delivery.ticket, Settle::Ack)).collect();
    assert!(consumer.settle(acks).await.iter().all(Settled::is_done));
    assert!(consumer.drain(Duration::from_secs(5)).await.error.is_none());
    assert_eq!(position(&server, &binding, 0), Some(3));
    drop(open);
    // The next member takes nothing.
    let idle = broker.subscribe(&binding).await.unwrap();
    assert!(idle.drain(Duration::from_secs(5)).await.error.is_none());
    assert_eq!(position(&server, &binding, 0), Some(3));
    let mut next = broker.subscribe(&binding).await.unwrap();
    let arrived = take_all(&mut *next, Duration::from_secs(2)).await;
    let arrived: Vec<usize> = arrived.iter().map(|one| number(one.message.as_ref().unwrap())).collect();
    assert_eq!(arrived, (3..10).collect::<Vec<_>>());
}

/// A key that is stuck stops its partition at the declared gap, and not before; the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_message_stops_its_partition_at_the_gap() {
    let server = Server::any().await;
    let broker = KafkaBroker::connect(&format!("{}?max_gap=50", server.url())).await.unwrap();
    let binding = unique(1);
    ensure(&broker, &binding).await;
    let messages: Vec<Message> = (0..200).map(|n| message("key", n)).collect();
    publish(&broker, &binding.topic, &messages).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let stuck = take(&mut *consumer, 1).await.remove(0);
    let arrived = take_all(&mut *consumer, Duration::from_secs(2)).await;
    assert_eq!(arrived.len(), 49);
    assert!(consumer.settle(vec![(stuck.ticket, Settle::Ack)]).await[0].is_done());
    assert_eq!(take_all(&mut *consumer, Duration::from_secs(2)).await.len(), 150);
}

/// Blizzard/node-rdkafka#1146: with the consumer protocol of KIP-848, fetches stall for minutes in silence. The adapter's groups
/// are of the classic protocol: the server describes no other ones to such a request.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_of_the_classic_protocol() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(2));
    ensure(&*broker, &binding).await;
    publish(&*broker, &binding.topic, &[message("key", 1)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    // It has joined.
    let held = take(&mut *consumer, 1).await;
    let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", server.hosts()).create().unwrap();
    let name = format!("{}.{}", binding.group, binding.topic);
    let listed = || client.fetch_group_list(Some(&name), Duration::from_secs(20)).unwrap();
    let list = tokio::task::block_in_place(listed);
    let group = &list.groups()[0];
    assert_eq!((group.state(), group.protocol_type(), group.protocol()), ("Stable", "consumer", "cooperative-sticky"));
    assert_eq!(group.members().len(), 1);
    drop(held);
}

/// confluentinc/librdkafka#5282: some builds of the library never tell that all servers are down. A consumer must hear of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_of_a_killed_server_hears_of_it() {
    let server = Server::private().await;
    let (broker, binding) = (server.connect().await, unique(2));
    ensure(&*broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    server.kill().await;
    let told = async {
        loop {
            if let Err(error) = consumer.next(&Room::of(1)).await {
                break error;
            }
        }
    };
    let error = timeout(Duration::from_secs(30), told).await.expect("the consumer looks idle");
    assert!(error.is_transient(), "{error:?}");
    assert!(broker.health().await.unwrap_err().is_transient());
}

/// fede1024/rust-rdkafka#509, #453, #611: the drop of a consumer hangs while a commit is outstanding at a frozen server.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_of_a_frozen_server_is_dropped_at_once() {
    let server = Server::private().await;
    let (broker, binding) = (server.connect().await, unique(2));
    ensure(&*broker, &binding).await;
    publish(&*broker, &binding.topic, &[message("a", 0), message("b", 1)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let held = take(&mut *consumer, 1).await;
    server.freeze().await;
    let acks = held.into_iter().map(|delivery| (delivery.ticket, Settle::Ack)).collect();
    // The commit of it is outstanding from now on.
    consumer.settle(acks).await;
    let _ = consumer.next(&Room::of(10)).await;
    let started = Instant::now();
    drop(consumer);
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
    timeout(Duration::from_secs(5), broker.close(Duration::from_secs(1))).await.unwrap();
    server.thaw().await;
}

/// Every receipt of a closed producer resolves, also while the server is frozen: nothing waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn publishes_under_way_end_with_the_connection() {
    let server = Server::private().await;
    let (broker, binding) = (server.connect().await, unique(2));
    ensure(&*broker, &binding).await;
    publish(&*broker, &binding.topic, &[message("a", 0)]).await;
    server.freeze().await;
    let (publishing, topic) = (Arc::clone(&broker), binding.topic.clone());
    let batch: Vec<Outgoing> = (0..100).map(|n| Outgoing::new(message(&format!("key-{n}"), n))).collect();
    let publishing = tokio::spawn(async move { publishing.publish(&topic, batch).await });
    sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    broker.close(Duration::from_secs(1)).await;
    let fates = publishing.await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    assert_eq!(fates.len(), 100);
    let closed = |fate: &Fate| {
        matches!(fate, Fate::Unknown(BrokerError::Closed) | Fate::NotSent(None | Some(BrokerError::Closed)))
    };
    assert!(fates.iter().all(closed), "{fates:?}");
    server.thaw().await;
}

/// A batch of one and of many records from another program are the same to a consumer, and one acknowledgement is not that of its
/// neighbours.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_records_are_acknowledged_one_by_one() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    for n in 0..5 {
        raw(server.hosts(), binding.topic.name(), "key", &[("n", &[n])], b"no event");
    }
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let first = take(&mut *consumer, 1).await.remove(0);
    assert!(consumer.settle(vec![(first.ticket, Settle::Ack)]).await[0].is_done());
    let mut held = Vec::new();
    while held.len() < 4 {
        held.extend(take(&mut *consumer, 4).await);
    }
    drop(held);
    drop(consumer);
    let mut next = broker.subscribe(&binding).await.unwrap();
    let again = take_all(&mut *next, Duration::from_secs(3)).await;
    let numbers: Vec<u8> = again.iter().map(|one| one.raw.headers.iter().next().unwrap().1[0]).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

/// A consumer whose caller does not call it loses its lanes, and gets them back when it is called again. The first call after the
/// loss may settle.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_gone_loses_its_lanes() {
    let server = Server::any().await;
    let binding = unique(2);
    let lazy = KafkaBroker::connect(&format!("{}?max_poll=1&session_timeout=6", server.url())).await.unwrap();
    ensure(&lazy, &binding).await;
    publish(&lazy, &binding.topic, &[message("a", 0), message("b", 1), message("c", 2)]).await;
    let mut one = lazy.subscribe(&binding).await.unwrap();
    let mut held = take(&mut *one, 3).await;
    let other = server.connect().await;
    let mut two = other.subscribe(&binding).await.unwrap();
    let (mut seen, until) = (BTreeMap::new(), Instant::now() + Duration::from_secs(90));
    while seen.len() < 3 {
        assert!(Instant::now() < until, "{seen:?}");
        if let Some(Signal::Deliveries(deliveries)) = news(&mut *two, &Room::of(10)).await {
            for delivery in deliveries {
                seen.insert(number(delivery.message.as_ref().unwrap()), ());
                assert!(two.settle(vec![(delivery.ticket, Settle::Ack)]).await[0].is_done());
            }
        }
    }
    let (held, settled) = (held.remove(0), held.remove(0));
    let extended = one.extend(std::slice::from_ref(&settled.ticket), Duration::from_secs(5)).await.remove(0);
    let settled = one.settle(vec![(settled.ticket, Settle::Ack)]).await.remove(0);
    assert!(matches!((&extended, &settled), (Settled::Stale, Settled::Stale)), "{extended:?} {settled:?}");
    // It hears of its loss when it is called again.
    let until = Instant::now() + Duration::from_secs(30);
    while !matches!(one.next(&Room::of(1)).await, Ok(Signal::Lost(lane)) if lane == held.lane()) {
        assert!(Instant::now() < until, "it does not hear of its loss");
    }
    let settled = one.settle(vec![(held.ticket, Settle::Ack)]).await.remove(0);
    assert!(matches!(settled, Settled::Stale), "{settled:?}");
}

/// The lane of a key follows from the number of lanes: with another one its messages would lie in two partitions.
#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_lanes_is_a_mismatch_for_publishers_and_consumers() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(4));
    ensure(&*broker, &binding).await;
    for published in [false, true] {
        for lanes in [3, 16] {
            let mut other = binding.clone();
            other.topic = other.topic.with_lanes(std::num::NonZeroU16::new(lanes).unwrap());
            let fates = broker.publish(&other.topic, vec![message("key", 0).into()]).await;
            let Fate::NotSent(Some(BrokerError::Mismatch { actual, .. })) = &fates[0] else { panic!("{fates:?}") };
            assert_eq!(actual, "4 partitions");
            let refused = broker.subscribe(&other).await.err();
            assert!(matches!(refused, Some(BrokerError::Mismatch { .. })), "{published}: {refused:?}");
        }
        publish(&*broker, &binding.topic, &[message("key", 0)]).await;
    }
}

/// A group reads again from the start, from a time, behind a position, and from the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_seeks() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    publish(&*broker, &binding.topic, &(0..5).map(|n| message("key", n)).collect::<Vec<_>>()).await;
    sleep(Duration::from_millis(50)).await;
    let middle = recount_core::Timestamp::now();
    sleep(Duration::from_millis(50)).await;
    publish(&*broker, &binding.topic, &(5..10).map(|n| message("key", n)).collect::<Vec<_>>()).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let quiet = Duration::from_secs(2);
    let all = take_all(&mut *consumer, quiet).await;
    let (lane, position) = (all[6].lane(), all[6].position.unwrap());
    let held = {
        consumer.seek(Seek::Start).await.unwrap();
        take(&mut *consumer, 1).await.remove(0)
    };
    let before_1970 = recount_core::Timestamp::from_millisecond(-5).unwrap();
    let seeks = [
        (Seek::Start, 0),
        (Seek::Time(before_1970), 0),
        (Seek::Time(middle), 5),
        (Seek::After(lane, position), 7),
        (Seek::End, 10),
    ];
    for (seek, first) in seeks {
        consumer.seek(seek).await.unwrap();
        let arrived = take_all(&mut *consumer, quiet).await;
        let arrived: Vec<usize> = arrived.iter().map(|one| number(one.message.as_ref().unwrap())).collect();
        assert_eq!(arrived, (first..10).collect::<Vec<_>>(), "{seek:?}");
    }
    let settled = consumer.settle(vec![(held.ticket, Settle::Ack)]).await.remove(0);
    assert!(matches!(settled, Settled::Stale), "{settled:?}");
}

/// The new topic has fewer messages than the consumer has read of the old one.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_topic_that_was_created_anew_come_to_its_members() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    publish(&*broker, &binding.topic, &(0..40).map(|n| message("key", n)).collect::<Vec<_>>()).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert_eq!(take_all(&mut *consumer, Duration::from_secs(2)).await.len(), 40);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", server.hosts()).create().unwrap();
    admin.delete_topics(&[binding.topic.name()], &AdminOptions::new()).await.unwrap();
    let topics = Plan { topics: vec![binding.topic.clone()], ..Plan::default() };
    sleep(Duration::from_secs(2)).await;
    broker.ensure(&topics, false).await.unwrap();
    publish(&*broker, &binding.topic, &(100..120).map(|n| message("key", n)).collect::<Vec<_>>()).await;
    let arrived = take_all(&mut *consumer, Duration::from_secs(20)).await;
    let arrived: Vec<usize> = arrived.iter().map(|one| number(one.message.as_ref().unwrap())).collect();
    assert_eq!(arrived, (100..120).collect::<Vec<_>>());
    assert!(consumer.drain(Duration::from_secs(5)).await.error.is_none());
    assert_eq!(position(&server, &binding, 0), Some(20));
}

/// The messages that the first program publishes behind its own declaration must come.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_two_programs_declare_at_once_passes_over_no_message() {
    const COUNT: usize = 6;
    let server = Server::any().await;
    let (one, two) = (server.connect().await, server.connect().await);
    for round in 0..24 {
        let binding = unique(2).start(StartFrom::Latest);
        one.ensure(&Plan { topics: vec![binding.topic.clone()], ..Plan::default() }, false).await.unwrap();
        let (second, plan) = (Arc::clone(&two), Plan { bindings: vec![binding.clone()], ..Plan::default() });
        let second = tokio::spawn(async move {
            sleep(Duration::from_millis(round % 12)).await;
            second.ensure(&plan, false).await
        });
        ensure(&*one, &binding).await;
        let messages: Vec<Message> = (0..COUNT).map(|n| message(&format!("key-{n}"), n)).collect();
        publish(&*one, &binding.topic, &messages).await;
        second.await.unwrap().unwrap();
        let positions = [0, 1].map(|partition| position(&server, &binding, partition));
        assert_eq!(positions, [Some(0), Some(0)], "round {round}");
    }
}
