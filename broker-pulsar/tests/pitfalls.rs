//! Pitfalls of Pulsar that users reported, or that the server or the client library show.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Server, Suite, ensure, message, news, number, numbers, publish, rest, single, take, unique};
use pulsar::compression::{Compression, CompressionLz4, CompressionSnappy, CompressionZlib, CompressionZstd};
use pulsar::{ProducerOptions, producer};
use recount_broker_pulsar::PulsarBroker;
use recount_messaging::envelope::{HeaderForm, to_headers};
use recount_messaging::{
    Binding, Broker, BrokerError, BrokerPosition, Fate, LaneId, Message, Order, Plan, Room, Seek, Settle, Settled,
    Signal, Topic,
};
use recount_servers::PulsarSettings;
use tokio::time::Instant;

/// The message as another program writes it.
fn foreign(message: &Message) -> producer::Message {
    let headers = to_headers(message, HeaderForm::PULSAR).unwrap();
    producer::Message {
        payload: message.data.to_vec(),
        properties: headers.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
        partition_key: message.key.as_deref().map(str::to_owned),
        ..producer::Message::default()
    }
}

/// Publishes to the only lane of a topic as another program, with these options.
async fn publish_foreign(server: &Server, binding: &Binding, options: ProducerOptions, messages: &[Message]) {
    let client = server.native().await;
    let name = format!("persistent://public/default/{}-partition-0", binding.topic);
    let mut producer = client.producer().with_topic(name).with_options(options).build().await.unwrap();
    let mut receipts = Vec::new();
    for message in messages {
        receipts.push(producer.send_non_blocking(foreign(message)).await.unwrap());
    }
    if messages.len() > 1 {
        // With batching off there is nothing to send.
        let _ = producer.send_batch().await;
    }
    for receipt in receipts {
        receipt.await.unwrap();
    }
}

fn batched(size: u32) -> ProducerOptions {
    ProducerOptions { batch_size: Some(size), block_queue_if_full: true, ..ProducerOptions::default() }
}

fn messages(count: usize) -> Vec<Message> {
    (0..count).map(|number| message("k", number)).collect()
}

/// apache/pulsar#21199: one message that is not acknowledged stalls all other keys on `Key_Shared`.
#[tokio::test(flavor = "multi_thread")]
async fn one_open_message_stalls_no_other_key() {
    let server = Server::shared().await;
    for order in [Order::PerKey, Order::Unordered] {
        let (broker, binding) = (server.broker().await, single().order(order));
        ensure(&broker, &binding).await;
        let mut consumer = broker.subscribe(&binding).await.unwrap();
        publish(&broker, &binding.topic, &[message("held", 5000)]).await;
        let held = take(&mut consumer, 1).await;
        // More than are fetched ahead.
        let many: Vec<_> = (0..1500).map(|number| message(&format!("key-{}", number % 50), number)).collect();
        publish(&broker, &binding.topic, &many).await;
        let arrived: BTreeSet<usize> = rest(&mut consumer, Duration::from_secs(2)).await.into_iter().collect();
        assert_eq!(arrived.len(), 1500);
        let [held] = <[_; 1]>::try_from(held).unwrap();
        assert!(consumer.settle(vec![(held.ticket, Settle::Ack)]).await[0].is_done());
    }
}

/// apache/pulsar#15317: a negative acknowledgement moves the first message of a key behind the others. #6451: it also breaks the
/// redelivery after a time-out. The adapter releases none so in ordered groups. apache/pulsar-client-node#368: without a count of
/// deliveries a message that fails loops without end: one that comes again must not look as if it came for the first time.
#[tokio::test(flavor = "multi_thread")]
async fn a_released_message_comes_before_those_that_were_fetched_behind_it() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, single());
    ensure(&broker, &binding).await;
    publish(&broker, &binding.topic, &messages(30)).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let mut handled = Vec::new();
    let mut released = BTreeSet::new();
    while handled.len() < 30 {
        let delivery = take(&mut consumer, 1).await.remove(0);
        let number = number(delivery.message.as_ref().unwrap());
        assert!(delivery.attempts.may_repeat() || !released.contains(&number), "{number}: {:?}", delivery.attempts);
        let settle = if number % 3 == 1 && released.insert(number) { Settle::Release } else { Settle::Ack };
        handled.extend((settle == Settle::Ack).then_some(number));
        assert!(consumer.settle(vec![(delivery.ticket, settle)]).await[0].is_done());
    }
    assert_eq!(handled, (0..30).collect::<Vec<_>>());
}

/// The server takes an acknowledgement of one message of a batch for all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_another_producer_is_acknowledged_when_all_of_it_is_done() {
    let server = Server::shared().await;
    for order in [Order::PerKey, Order::Unordered] {
        let (broker, binding) = (server.broker().await, single().order(order));
        ensure(&broker, &binding).await;
        publish_foreign(&server, &binding, batched(5), &messages(5)).await;
        let mut consumer = broker.subscribe(&binding).await.unwrap();
        let mut taken = take(&mut consumer, 5).await;
        assert_eq!(numbers(&taken), [0, 1, 2, 3, 4]);
        let positions: BTreeSet<_> = taken.iter().map(|delivery| delivery.position).collect();
        assert_eq!(positions.len(), 1, "they are one entry");
        // One is acknowledged, and the program is gone.
        let one = taken.remove(2);
        assert!(consumer.settle(vec![(one.ticket, Settle::Ack)]).await[0].is_done());
        drop((taken, consumer));
        let mut second = broker.subscribe(&binding).await.unwrap();
        let mut again = take(&mut second, 5).await;
        assert_eq!(numbers(&again), [0, 1, 2, 3, 4], "the acknowledged one as well");
        // A released message of a batch comes again, and the settled ones do not.
        let released = again.remove(1);
        let marks = again.into_iter().map(|delivery| (delivery.ticket, Settle::Ack)).collect();
        assert!(second.settle(marks).await.iter().all(Settled::is_done));
        assert!(second.settle(vec![(released.ticket, Settle::Release)]).await[0].is_done());
        assert_eq!(rest(&mut second, Duration::from_secs(2)).await, [1]);
        assert!(second.drain(Duration::from_secs(5)).await.error.is_none());
        let mut third = broker.subscribe(&binding).await.unwrap();
        assert_eq!(rest(&mut third, Duration::from_secs(2)).await, Vec::<usize>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_one_and_one_that_is_larger_than_what_is_fetched_ahead_arrive() {
    let server = Server::shared().await;
    let broker = PulsarBroker::options(server.url()).unwrap().prefetch(10).connect().await.unwrap();
    let binding = single();
    ensure(&broker, &binding).await;
    publish_foreign(&server, &binding, batched(300), &messages(300)).await;
    let options = ProducerOptions { batch_timeout: Some(Duration::from_millis(1)), ..batched(2) };
    publish_foreign(&server, &binding, options, &[message("k", 300)]).await;
    publish(&broker, &binding.topic, &[message("k", 301)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert_eq!(rest(&mut consumer, Duration::from_secs(2)).await, (0..302).collect::<Vec<_>>());
    assert!(consumer.drain(Duration::from_secs(5)).await.error.is_none());
    let mut next = broker.subscribe(&binding).await.unwrap();
    assert_eq!(rest(&mut next, Duration::from_secs(1)).await, Vec::<usize>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_another_producer_compresses_are_read() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, single());
    ensure(&broker, &binding).await;
    let ways = [
        Compression::Lz4(CompressionLz4::default()),
        Compression::Zlib(CompressionZlib::default()),
        Compression::Zstd(CompressionZstd::default()),
        Compression::Snappy(CompressionSnappy::default()),
    ];
    for (number, compression) in ways.into_iter().enumerate() {
        let options = ProducerOptions { compression: Some(compression), ..ProducerOptions::default() };
        publish_foreign(&server, &binding, options, &[message("k", number)]).await;
    }
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert_eq!(numbers(&take(&mut consumer, 4).await), [0, 1, 2, 3]);
}

/// A server with deduplication takes the messages of a producer with a known name for repeated ones after a restart: the client library
/// numbers them anew. The adapter's producers have no names.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_deduplication_swallows_nothing_new() {
    let settings = PulsarSettings { deduplication: true, ..PulsarSettings::default() };
    let server = Server::with(settings).await;
    let suite = Suite::of(server.clone(), true).await;
    let binding = single();
    ensure(&server.broker().await, &binding).await;
    let mut sent = 0;
    for _ in 0..4 {
        let broker = suite.broker().await;
        let batch: Vec<_> = (sent..sent + 20).map(|number| message(&format!("key-{}", number % 4), number)).collect();
        sent += 20;
        let fates = publish(&*broker, &binding.topic, &batch).await;
        assert!(fates.iter().all(|fate| matches!(fate, Fate::Stored(Some(_)))), "{fates:?}");
        broker.close(Duration::from_secs(5)).await;
    }
    // Also across cut connections, where the library sends again: a message with the fate stored or duplicate is there.
    let broker = suite.broker().await;
    for _ in 0..5 {
        let batch: Vec<_> = (sent..sent + 40).map(|number| message(&format!("key-{}", number % 40), number)).collect();
        sent += 40;
        let cut = async {
            tokio::time::sleep(Duration::from_millis(3)).await;
            suite.cut();
        };
        let mut open = batch;
        let ((), mut fates) = tokio::join!(cut, publish(&*broker, &binding.topic, &open));
        while fates.iter().any(|fate| !fate.is_stored()) {
            open = open.into_iter().zip(&fates).filter(|(_, fate)| !fate.is_stored()).map(|(open, _)| open).collect();
            fates = publish(&*broker, &binding.topic, &open).await;
        }
    }
    let mut consumer = server.broker().await.subscribe(&binding).await.unwrap();
    let arrived: BTreeSet<usize> = rest(&mut consumer, Duration::from_secs(2)).await.into_iter().collect();
    assert_eq!(arrived, (0..sent).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_read_again_from_a_place_a_time_and_the_ends() {
    let server = Server::shared().await;
    for order in [Order::PerKey, Order::Unordered] {
        let (broker, mut binding) = (server.broker().await, unique().order(order));
        binding.topic = binding.topic.with_lanes(std::num::NonZeroU16::new(2).unwrap());
        ensure(&broker, &binding).await;
        // Both lanes have messages.
        let of = |number: usize| message(&format!("key-{}", number % 10), number);
        publish(&broker, &binding.topic, &(0..20).map(of).collect::<Vec<_>>()).await;
        let mut consumer = broker.subscribe(&binding).await.unwrap();
        let all = |numbers: Vec<usize>| numbers.into_iter().collect::<BTreeSet<_>>();
        let first = take(&mut consumer, 20).await;
        assert_eq!(all(numbers(&first)), (0..20).collect());
        consumer.seek(Seek::Start).await.unwrap();
        let marks = first.into_iter().map(|delivery| (delivery.ticket, Settle::Ack)).collect();
        let stale = consumer.settle(marks).await;
        assert!(stale.iter().all(|settled| matches!(settled, Settled::Stale)), "{stale:?}");
        let again = take(&mut consumer, 20).await;
        assert_eq!(all(numbers(&again)), (0..20).collect());
        // Behind the third message of the first lane.
        let of_lane: Vec<_> = again.iter().filter(|delivery| delivery.lane() == LaneId(0)).collect();
        let mut places: Vec<_> = of_lane
            .iter()
            .map(|delivery| (delivery.position.unwrap(), number(delivery.message.as_ref().unwrap())))
            .collect();
        places.sort_unstable();
        let behind: BTreeSet<usize> = places[3..].iter().map(|(_, number)| *number).collect();
        let place = places[2].0;
        let marks = again.into_iter().map(|delivery| (delivery.ticket, Settle::Ack)).collect();
        assert!(consumer.settle(marks).await.iter().all(Settled::is_done));
        consumer.seek(Seek::After(LaneId(0), place)).await.unwrap();
        assert_eq!(all(rest(&mut consumer, Duration::from_secs(2)).await), behind);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let time = recount_core::Timestamp::now();
        tokio::time::sleep(Duration::from_millis(50)).await;
        publish(&broker, &binding.topic, &[of(20), of(21)]).await;
        assert_eq!(all(rest(&mut consumer, Duration::from_secs(1)).await), BTreeSet::from([20, 21]));
        consumer.seek(Seek::Time(time)).await.unwrap();
        assert_eq!(all(rest(&mut consumer, Duration::from_secs(2)).await), BTreeSet::from([20, 21]));
        consumer.seek(Seek::Start).await.unwrap();
        consumer.seek(Seek::End).await.unwrap();
        assert_eq!(rest(&mut consumer, Duration::from_secs(1)).await, Vec::<usize>::new());
        publish(&broker, &binding.topic, &[of(22)]).await;
        assert_eq!(rest(&mut consumer, Duration::from_secs(1)).await, [22]);
    }
}

/// The server takes a place with negative numbers for the start.
#[tokio::test(flavor = "multi_thread")]
async fn a_seek_behind_all_messages_rewinds_nothing_and_one_in_a_missing_lane_is_refused() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, single());
    ensure(&broker, &binding).await;
    publish(&broker, &binding.topic, &messages(10)).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let place = take(&mut consumer, 10).await[4].position.unwrap();
    let sought = consumer.seek(Seek::After(LaneId(7), place)).await;
    assert!(matches!(sought, Err(BrokerError::Missing { .. })), "{sought:?}");
    consumer.seek(Seek::After(LaneId(0), BrokerPosition(u64::MAX, u64::MAX))).await.unwrap();
    assert_eq!(rest(&mut consumer, Duration::from_secs(2)).await, Vec::<usize>::new());
    consumer.seek(Seek::After(LaneId(0), place)).await.unwrap();
    assert_eq!(rest(&mut consumer, Duration::from_secs(2)).await, [5, 6, 7, 8, 9]);
}

/// The client library answers that a consumer is closed, and drops its acknowledgements.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_before_a_drain_reach_the_server_also_before_a_long_queue() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, single());
    ensure(&broker, &binding).await;
    let many: Vec<_> = (0..3000).map(|number| message(&format!("key-{}", number % 100), number)).collect();
    publish(&broker, &binding.topic, &many).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let taken = take(&mut consumer, 400).await;
    let done: BTreeSet<usize> = numbers(&taken).into_iter().collect();
    let marks = taken.into_iter().map(|delivery| (delivery.ticket, Settle::Ack)).collect();
    assert!(consumer.settle(marks).await.iter().all(Settled::is_done));
    let start = Instant::now();
    let drained = consumer.drain(Duration::from_secs(10)).await;
    assert!(drained.error.is_none() && start.elapsed() < Duration::from_secs(6), "{drained:?}, {:?}", start.elapsed());
    let mut next = broker.subscribe(&binding).await.unwrap();
    let others: BTreeSet<usize> = rest(&mut next, Duration::from_secs(2)).await.into_iter().collect();
    assert!(others.is_disjoint(&done), "{} came again", others.intersection(&done).count());
    assert_eq!(others.len(), 2600);
}

/// A producer of a missing partition would declare a topic that no consumer reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_not_declared_by_publishing() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, unique());
    for _ in 0..2 {
        let fates = publish(&broker, &binding.topic, &messages(3)).await;
        let missing = |fate: &Fate| {
            matches!(fate, Fate::NotSent(Some(BrokerError::Missing { .. } | BrokerError::Unavailable { .. })))
        };
        assert!(fates.iter().all(missing), "{fates:?}");
    }
    let plan = Plan { topics: vec![binding.topic.clone()], bindings: Vec::new() };
    assert_eq!(broker.ensure(&plan, true).await.unwrap().len(), 1, "it is still missing");
    // As soon as it is declared the same connection publishes.
    broker.ensure(&plan, false).await.unwrap();
    assert!(publish(&broker, &binding.topic, &messages(1)).await[0].is_stored());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_order_or_number_of_lanes_is_a_mismatch() {
    let server = Server::shared().await;
    for (declared, asked) in [(Order::PerKey, Order::Unordered), (Order::Unordered, Order::PerKey)] {
        let (broker, binding) = (server.broker().await, unique().order(declared));
        ensure(&broker, &binding).await;
        let other = binding.clone().order(asked);
        let plan = Plan { topics: Vec::new(), bindings: vec![other.clone()] };
        for error in [broker.ensure(&plan, false).await.err(), broker.subscribe(&other).await.err()] {
            assert!(matches!(error, Some(BrokerError::Mismatch { .. })), "{error:?}");
        }
        let fewer = binding.topic.clone().with_lanes(std::num::NonZeroU16::new(3).unwrap());
        let fates = publish(&broker, &fewer, &messages(1)).await;
        let Fate::NotSent(Some(error)) = &fates[0] else { panic!("{fates:?}") };
        assert!(error.to_string().contains("8 partitions"), "{error}");
    }
}

/// The lane of a key follows from the number of lanes: with another one its messages would lie in two partitions.
#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_lanes_is_a_mismatch_also_after_a_publish() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, unique());
    ensure(&broker, &binding).await;
    let many: Vec<_> = (0..40).map(|number| message(&format!("key-{number}"), number)).collect();
    assert!(publish(&broker, &binding.topic, &many).await.iter().all(Fate::is_stored));
    for lanes in [3, 16] {
        let other = binding.topic.clone().with_lanes(std::num::NonZeroU16::new(lanes).unwrap());
        let fates = publish(&broker, &other, &many).await;
        assert!(matches!(fates[0], Fate::NotSent(Some(BrokerError::Mismatch { .. }))), "{fates:?}");
        assert!(!fates.iter().any(Fate::is_stored), "{fates:?}");
    }
    assert!(publish(&broker, &binding.topic, &many).await.iter().all(Fate::is_stored));
}

/// A topic that is there, and keeps its messages for another time than it is declared with, would forget them too early or never.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_keeps_its_messages_for_another_time_is_a_mismatch() {
    let server = Server::shared().await;
    let broker = server.broker().await;
    let kept =
        |topic: Topic, seconds| Plan { topics: vec![topic.keep_for(Duration::from_secs(seconds))], ..Plan::default() };
    let [for_ever, for_an_hour] = [unique().topic, unique().topic];
    let plan = Plan { topics: vec![for_ever.clone()], ..Plan::default() };
    broker.ensure(&plan, false).await.unwrap();
    broker.ensure(&kept(for_an_hour.clone(), 3600), false).await.unwrap();
    for (topic, actual) in [(for_ever, "-1"), (for_an_hour.clone(), "60")] {
        let started = Instant::now();
        // The server learns of settings a moment later.
        let (dry, wet) = loop {
            let plan = kept(topic.clone(), 120);
            let dry = broker.ensure(&plan, true).await;
            if dry.is_err() {
                break (dry, broker.ensure(&plan, false).await);
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{dry:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        for refused in [dry, wet] {
            let error = refused.unwrap_err();
            let BrokerError::Mismatch { object, actual: found, .. } = &error else { panic!("{error:?}") };
            assert!(object.contains(topic.name()) && found == actual, "{error}");
        }
    }
    assert_eq!(broker.ensure(&kept(for_an_hour, 3600), false).await.unwrap().len(), 0);
}

/// Servers make a topic without partitions when a foreign client touches it.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_without_partitions_is_a_mismatch() {
    let server = Server::shared().await;
    let (broker, topic) = (server.broker().await, unique().topic);
    let client = server.native().await;
    let name = format!("persistent://public/default/{topic}");
    let mut producer = client.producer().with_topic(name).build().await.unwrap();
    producer.send_non_blocking("touched".to_owned()).await.unwrap().await.unwrap();
    for dry_run in [true, false] {
        let plan = Plan { topics: vec![topic.clone()], ..Plan::default() };
        let error = broker.ensure(&plan, dry_run).await.unwrap_err();
        assert!(matches!(&error, BrokerError::Mismatch { object, .. } if object.contains(topic.name())), "{error:?}");
    }
}

/// A foreign program may give the key only as Pulsar's.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_foreign_message_is_that_of_the_server() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, single());
    ensure(&broker, &binding).await;
    let headers: [(&str, &[u8]); 4] =
        [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"shop"), ("ce_type", b"orders.placed")];
    server.publish_raw(&binding.topic, "order-7", &headers, b"{}").await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let delivery = take(&mut consumer, 1).await.remove(0);
    assert_eq!(delivery.message.unwrap().key.as_deref(), Some("order-7"));
}

/// Groups of instances that never come back are removed by the next one that is declared.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_group_goes_when_another_one_is_declared() {
    let server = Server::shared().await;
    let broker = server.broker().await;
    let expiring = |binding: Binding| binding.order(Order::Unordered).expires_after(Duration::from_secs(1));
    let first = expiring(single());
    ensure(&broker, &first).await;
    broker.subscribe(&first).await.unwrap().drain(Duration::from_secs(5)).await;
    let mut stays = Binding::new(first.topic.clone(), single().group);
    stays.order = Order::Unordered;
    ensure(&broker, &stays).await;
    let second = expiring(Binding::new(first.topic.clone(), single().group));
    let path = format!("{}/admin/v2/persistent/public/default/{}/subscriptions", server.admin(), first.topic);
    let mut left = BTreeSet::new();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        ensure(&broker, &second).await;
        left = subscriptions(&path).await;
        if !left.contains(first.group.name()) {
            break;
        }
    }
    assert!(!left.contains(first.group.name()) && left.contains(stays.group.name()), "{left:?}");
}

async fn subscriptions(url: &str) -> BTreeSet<String> {
    let program = "import json, sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())";
    let output = tokio::process::Command::new("python3").args(["-c", program, url]).output().await.unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A lane that is not read holds up no other lane, and the room of each lane is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_lane_holds_up_no_other_and_keeps_its_messages() {
    let server = Server::shared().await;
    let broker = PulsarBroker::options(server.url()).unwrap().prefetch(20).connect().await.unwrap();
    let mut binding = unique();
    binding.topic = binding.topic.with_lanes(std::num::NonZeroU16::new(2).unwrap());
    ensure(&broker, &binding).await;
    let keys: Vec<String> = (0..100).map(|number| format!("key-{number}")).collect();
    let key = |lane| keys.iter().find(|key| binding.topic.lane_of(key) == lane).unwrap();
    let batch: Vec<_> = (0..400).map(|number| message(key(u16::from(number % 2 == 0)), number)).collect();
    publish(&broker, &binding.topic, &batch).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let room = Room { full: vec![LaneId(1)], ..Room::of(50) };
    let mut odd = Vec::new();
    while odd.len() < 200 {
        if let Some(Signal::Deliveries(deliveries)) = news(&mut *consumer, &room).await {
            odd.extend(numbers(&deliveries));
            let marks = deliveries.into_iter().map(|delivery| (delivery.ticket, Settle::Ack)).collect();
            consumer.settle(marks).await;
        }
    }
    assert!(odd.iter().all(|number| number % 2 == 1));
    assert_eq!(rest(&mut consumer, Duration::from_secs(2)).await, (0..400).step_by(2).collect::<Vec<_>>());
}

/// The server declares partitions and subscriptions one after the other, and answers programs that do it at the same time with
/// errors of all kinds.
#[tokio::test(flavor = "multi_thread")]
async fn many_programs_declare_the_same_at_once() {
    let server = Server::shared().await;
    for _ in 0..3 {
        let mut bindings: Vec<Binding> = (0..4).map(|_| unique().order(Order::Unordered)).collect();
        for binding in &mut bindings {
            binding.topic = binding.topic.clone().keep_for(Duration::from_secs(3600));
        }
        let plan = Plan { topics: Vec::new(), bindings };
        let mut brokers = Vec::new();
        for _ in 0..6 {
            brokers.push(server.broker().await);
        }
        let declaring = brokers.iter().map(|broker| broker.ensure(&plan, false));
        for declared in futures_util::future::join_all(declaring).await {
            declared.unwrap();
        }
        assert_eq!(brokers[0].ensure(&plan, true).await.unwrap(), []);
    }
}
