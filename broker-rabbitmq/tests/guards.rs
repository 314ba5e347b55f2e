//! What the server would end a channel or a connection for is refused before it is sent, and refusals of the server become
//! errors that say what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::time::Duration;

use common::native::Native;
use common::{Server, ensure, message, news, number, publish, unique};
use recount_broker_rabbitmq::{RabbitBroker, RabbitOptions};
use recount_messaging::{
    Broker, BrokerConsumer, BrokerError, Delivery, Fate, Order, Outgoing, Plan, Refusal, Rejection, Room, Settle,
    Signal,
};

/// The next deliveries, at most so many.
async fn take(consumer: &mut Box<dyn BrokerConsumer>, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while taken.len() < count && tokio::time::Instant::now() < deadline {
        if let Some(Signal::Deliveries(deliveries)) = news(&mut **consumer, &Room::of(count - taken.len())).await {
            taken.extend(deliveries);
        }
    }
    assert_eq!(taken.len(), count, "deliveries");
    taken
}

fn numbers(deliveries: &[Delivery]) -> Vec<usize> {
    deliveries.iter().map(|delivery| number(delivery.message.as_ref().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_exactly_the_limit_arrive_and_one_byte_more_is_refused_without_harm() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, unique());
    ensure(&broker, &binding).await;
    let limit = broker.capabilities(&binding).headers.max_bytes;
    let mut large = message("k", 1);
    large.metadata.headers.insert("x-large".to_owned(), String::new());
    let others: usize = recount_messaging::envelope::to_headers(&large, recount_messaging::envelope::HeaderForm::AMQP)
        .unwrap()
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let (mut fits, mut too_large) = (large.clone(), message("l", 2));
    fits.metadata.headers.insert("x-large".to_owned(), "x".repeat(limit - others));
    too_large.metadata.headers.insert("x-large".to_owned(), "x".repeat(limit - others + 1));
    let fates = publish(&broker, &binding.topic, &[fits.clone(), too_large, message("m", 3)]).await;
    assert!(fates[0].is_stored() && fates[2].is_stored(), "{fates:?}");
    let Fate::Refused(Refusal::Headers { reason, .. }) = &fates[1] else { panic!("{fates:?}") };
    assert!(reason.contains(&format!("have {} bytes, the limit is {limit}", limit + 1)), "{reason}");
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let arrived = take(&mut consumer, 2).await;
    assert!(arrived.iter().any(|delivery| delivery.message.as_ref().unwrap() == &fits));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_properties_with_the_most_headers_fit_into_one_frame() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, unique());
    ensure(&broker, &binding).await;
    let limits = broker.capabilities(&binding).headers;
    let mut full = message("k", 1);
    full.content_type = "t".repeat(255).into();
    full.id = recount_messaging::MessageId::new("i".repeat(255)).unwrap();
    full.metadata.correlation_id = Some("c".repeat(255).into());
    full.time = Some("2026-11-28T10:00:00Z".parse().unwrap());
    let count = |message: &recount_messaging::Message| {
        let headers = recount_messaging::envelope::to_headers(message, recount_messaging::envelope::HeaderForm::AMQP);
        let headers = headers.unwrap();
        (headers.len(), headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>())
    };
    let attributes = count(&full).0;
    for number in attributes..limits.max_count {
        full.metadata.headers.insert(format!("x-{number:03}"), String::new());
    }
    let left = limits.max_bytes - count(&full).1;
    full.metadata.headers.insert(format!("x-{attributes:03}"), "x".repeat(left));
    assert_eq!(count(&full), (limits.max_count, limits.max_bytes));
    let outgoing = Outgoing::new(full.clone());
    let fates = broker.publish(&binding.topic, vec![outgoing]).await;
    assert!(fates[0].is_stored(), "{fates:?}");
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert_eq!(take(&mut consumer, 1).await[0].message.as_ref().unwrap(), &full);
    full.metadata.headers.insert("x-more".to_owned(), String::new());
    let fates = publish(&broker, &binding.topic, &[full]).await;
    assert!(matches!(fates[0], Fate::Refused(Refusal::Headers { .. })), "{fates:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_are_too_long_for_a_property_are_refused_or_kept_in_the_headers() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, unique());
    ensure(&broker, &binding).await;
    let mut long = message(&"k".repeat(1000), 1);
    long.id = recount_messaging::MessageId::new("i".repeat(256)).unwrap();
    long.metadata.correlation_id = Some("c".repeat(256).into());
    let mut bad_type = message("a", 2);
    bad_type.content_type = "t".repeat(256).into();
    long.reply_to = Some("r".repeat(256).into());
    let batch = vec![Outgoing::new(long.clone()), Outgoing::new(bad_type)];
    let fates = broker.publish(&binding.topic, batch).await;
    assert!(fates[0].is_stored(), "{fates:?}");
    let Fate::Refused(refusal) = &fates[1] else { panic!("{fates:?}") };
    assert!(refusal.to_string().contains("the content type has 256 bytes, the limit is 255"), "{refusal}");
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert_eq!(take(&mut consumer, 1).await[0].message.as_ref().unwrap(), &long);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_no_queue_takes_is_refused_and_those_of_other_topics_are_stored() {
    let server = Server::shared().await;
    let (broker, bound, lonely) = (server.broker().await, unique(), unique());
    ensure(&broker, &bound).await;
    let plan = Plan { topics: vec![lonely.topic.clone()], bindings: Vec::new() };
    broker.ensure(&plan, false).await.unwrap();
    let messages: Vec<_> = (0..200).map(|number| message(&format!("k{number}"), number)).collect();
    let (stored, refused) =
        tokio::join!(publish(&broker, &bound.topic, &messages), publish(&broker, &lonely.topic, &messages));
    assert!(stored.iter().all(Fate::is_stored), "{stored:?}");
    for (fate, message) in refused.iter().zip(&messages) {
        let Fate::Refused(Refusal::Unroutable { id, topic }) = fate else { panic!("{fate:?}") };
        assert_eq!((id.as_str(), topic.as_str()), (message.id.as_str(), lonely.topic.name()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_not_allowed_and_stays_secret() {
    let server = Server::shared().await;
    let url = server.url().replace("guest:guest@", "guest:hunter2@");
    let error = RabbitBroker::connect(&url).await.unwrap_err();
    assert!(matches!(error, BrokerError::NotAllowed { .. }), "{error:?}");
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    assert!(!text.contains("hunter2"), "{text}");
    assert!(!format!("{:?}", server.broker().await).contains("guest"));
    let vhost = server.url().replace("/%2f", "/nowhere");
    assert!(matches!(RabbitBroker::connect(&vhost).await, Err(BrokerError::NotAllowed { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_delivery_limit_or_order_is_a_mismatch_that_names_both() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, unique());
    ensure(&broker, &binding).await;
    let other = RabbitOptions::new(server.url()).unwrap().delivery_limit(7).connect().await.unwrap();
    let plan = Plan { topics: Vec::new(), bindings: vec![binding.clone()] };
    let error = other.ensure(&plan, true).await.unwrap_err();
    let BrokerError::Mismatch { expected, actual, .. } = &error else { panic!("{error:?}") };
    assert!(expected.contains("x-delivery-limit '7'") && actual.contains("x-delivery-limit '100000'"), "{error}");
    for (declared, asked) in [(Order::PerKey, Order::Unordered), (Order::Unordered, Order::PerKey)] {
        let binding = unique().order(declared);
        ensure(&broker, &binding).await;
        let plan = Plan { topics: Vec::new(), bindings: vec![binding.order(asked)] };
        let error = broker.ensure(&plan, false).await.unwrap_err();
        assert!(matches!(error, BrokerError::Mismatch { .. }), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_or_exceeds_the_limit_is_kept_as_a_dead_letter() {
    let server = Server::shared().await;
    let broker = RabbitOptions::new(server.url()).unwrap().delivery_limit(3).connect().await.unwrap();
    let mut binding = unique();
    binding.topic = binding.topic.with_lanes(NonZeroU16::MIN);
    ensure(&broker, &binding).await;
    assert_eq!(broker.capabilities(&binding).attempt_limit, Some(3));
    publish(&broker, &binding.topic, &[message("k", 0), message("k", 1)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let rejection = Settle::Reject(Rejection { reason: "bad".to_owned() });
    let first = take(&mut consumer, 1).await.remove(0);
    assert!(consumer.settle(vec![(first.ticket, rejection)]).await[0].is_done());
    for _ in 0..4 {
        let delivery = take(&mut consumer, 1).await.remove(0);
        assert_eq!(number(delivery.message.as_ref().unwrap()), 1);
        consumer.settle(vec![(delivery.ticket, Settle::Release)]).await;
    }
    // Also the last release is carried out by the next call.
    assert!(matches!(consumer.next(&Room::of(1)).await, Ok(Signal::Idle)));
    let native = Native::connect(server.url()).await;
    let dead = format!("recount.{}.{}:dead", binding.topic, binding.group);
    let mut found = BTreeSet::new();
    for _ in 0..100 {
        found.extend(native.get(&dead).await.map(|delivery| delivery.data));
        tokio::time::sleep(Duration::from_millis(50)).await;
        if found.len() == 2 {
            break;
        }
    }
    assert_eq!(found, BTreeSet::from([b"0".to_vec(), b"1".to_vec()]));
}

/// Particular/NServiceBus.RabbitMQ#1550, #1688: a delivery limit of 20, or one by policy, loses messages that were only fetched.
#[tokio::test(flavor = "multi_thread")]
async fn three_disconnects_lose_no_fetched_message_and_bury_none() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, unique());
    ensure(&broker, &binding).await;
    let messages: Vec<_> = (0..5).map(|number| message("k", number)).collect();
    publish(&broker, &binding.topic, &messages).await;
    for _ in 0..3 {
        let mut consumer = broker.subscribe(&binding).await.unwrap();
        assert_eq!(numbers(&take(&mut consumer, 1).await), [0]);
        // Time for the other four to be fetched; then it is dropped.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let arrived = take(&mut consumer, 5).await;
    assert_eq!(numbers(&arrived), [0, 1, 2, 3, 4]);
    assert!(arrived.iter().all(|delivery| delivery.attempts == recount_messaging::Attempts::Exact(3)), "{arrived:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_in_the_middle_brings_what_was_fetched_behind_it_in_order() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, unique());
    ensure(&broker, &binding).await;
    let messages: Vec<_> = (0..500).map(|number| message("k", number)).collect();
    publish(&broker, &binding.topic, &messages).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let mut taken = take(&mut consumer, 20).await;
    let (mut next, mut again) = (0, BTreeSet::new());
    while next < messages.len() {
        let mut marks = Vec::new();
        let mut released = None;
        for (place, delivery) in taken.drain(..).enumerate() {
            let number = number(delivery.message.as_ref().unwrap());
            assert_eq!(number, next + place, "a message came before those that were released");
            // The deliveries behind a released one are released with it, in any order of the marks.
            let release = released.is_some() || number % 7 == 5 && again.insert(number);
            if release && released.is_none() {
                released = Some(number);
            }
            marks.push((delivery.ticket, if release { Settle::Release } else { Settle::Ack }));
        }
        next = released.unwrap_or(next + marks.len());
        marks.reverse();
        assert!(consumer.settle(marks).await.iter().all(recount_messaging::Settled::is_done));
        if next < messages.len() {
            taken = take(&mut consumer, 1).await;
            if let Ok(Signal::Deliveries(more)) = consumer.next(&Room::of(5)).await {
                taken.extend(more);
            }
        }
    }
}
