//! Pitfalls of NATS that users reported or the client library shows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::num::NonZeroU16;
use std::time::Duration;

use common::{Server, ensure, message, number, publish, take, take_all, unique};
use futures_util::StreamExt;
use recount_messaging::{
    Binding, BrokerError, Delivery, Fate, Order, Plan, Refusal, Rejection, Room, Seek, Settle, Settled, Signal,
    StartFrom,
};
use recount_testing::broker::Harness;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep, timeout};

async fn raw(server: &Server) -> async_nats::Client {
    async_nats::connect(&server.direct).await.unwrap()
}

/// Calls the JetStream API.
async fn api(client: &async_nats::Client, subject: String, body: &str) -> serde_json::Value {
    let answer = client.request(format!("$JS.API.{subject}"), body.to_owned().into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

fn numbers(deliveries: &[Delivery]) -> Vec<usize> {
    deliveries.iter().map(|delivery| number(delivery.message.as_ref().unwrap())).collect()
}

/// nats-io/nats-server#6093: messages that wait for a delay fill `max_ack_pending`, and the consumer stalls.
#[tokio::test(flavor = "multi_thread")]
async fn delayed_messages_do_not_stall_an_unordered_group() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(4).order(Order::Unordered));
    ensure(&*broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    // The server's own default is 1,000 messages out.
    let many: Vec<_> = (0..1200).map(|n| message(&format!("key-{}", n % 64), n)).collect();
    publish(&*broker, &binding.topic, &many).await;
    let mut delayed = 0;
    while delayed < many.len() {
        let deliveries = take(&mut *consumer, 256).await;
        delayed += deliveries.len();
        let after = Duration::from_secs(600);
        let marks = deliveries.into_iter().map(|delivery| (delivery.ticket, Settle::Retry { after })).collect();
        assert!(consumer.settle(marks).await.iter().all(Settled::is_done));
    }
    publish(&*broker, &binding.topic, &[message("key", 5000)]).await;
    assert_eq!(numbers(&take_all(&mut *consumer, Duration::from_secs(1)).await), [5000]);
}

/// The server counts the lease from when it sends a message, which may be long before the consumer reads it.
#[test]
fn a_delivery_that_came_late_is_stale_as_soon_as_its_message_comes_again() {
    let (served, slow) = (Runtime::new().unwrap(), Builder::new_current_thread().enable_all().build().unwrap());
    let server = served.block_on(Server::any());
    let mut binding = unique(1);
    binding.lease = Duration::from_secs(2);
    let mut consumer = slow.block_on(async {
        let broker = server.connect().await;
        ensure(&*broker, &binding).await;
        let mut consumer = broker.subscribe(&binding).await.unwrap();
        let asked = timeout(Duration::from_millis(300), consumer.next(&Room::of(8))).await;
        assert!(asked.is_err(), "the pull request waits at the server: {asked:?}");
        consumer
    });
    // While the server sends the message nothing of the consumer runs.
    served.block_on(async {
        publish(&*server.connect().await, &binding.topic, &[message("key", 0)]).await;
        sleep(Duration::from_secs(1)).await;
    });
    slow.block_on(async {
        let held = take(&mut *consumer, 1).await.pop().unwrap();
        let again = take(&mut *consumer, 1).await.pop().unwrap();
        let outcomes = consumer.settle(vec![(held.ticket, Settle::Ack), (again.ticket, Settle::Ack)]).await;
        assert!(matches!(outcomes[..], [Settled::Stale, Settled::Confirmed]), "{outcomes:?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_deleted_at_the_server_is_made_anew_and_goes_on_in_order() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let messages: Vec<_> = (0..20).map(|n| message("key", n)).collect();
    publish(&*broker, &binding.topic, &messages[..10]).await;
    let mut arrived = Vec::new();
    while arrived.len() < 5 {
        for delivery in take(&mut *consumer, 1).await {
            arrived.push(number(delivery.message.as_ref().unwrap()));
            assert!(consumer.settle(vec![(delivery.ticket, Settle::Ack)]).await[0].is_done());
        }
    }
    let held = take(&mut *consumer, 1).await.pop().unwrap();
    let name = format!("recount-{}.lane-0-{}", binding.topic, binding.group);
    let deleted = api(&raw(&server).await, format!("CONSUMER.DELETE.{name}"), "").await;
    assert_eq!(deleted["success"], true, "{deleted}");
    let outcome = consumer.settle(vec![(held.ticket, Settle::Ack)]).await.pop();
    assert!(matches!(outcome, Some(Settled::Stale)), "the consumer is gone: {outcome:?}");
    publish(&*broker, &binding.topic, &messages[10..]).await;
    arrived.extend(numbers(&take_all(&mut *consumer, Duration::from_secs(2)).await));
    assert_eq!(arrived, (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_latest_group_whose_consumer_is_deleted_misses_nothing() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1).start(StartFrom::Latest));
    ensure(&*broker, &unique(1)).await;
    broker.ensure(&Plan { topics: vec![binding.topic.clone()], ..Plan::default() }, false).await.unwrap();
    publish(&*broker, &binding.topic, &[message("key", 0)]).await;
    ensure(&*broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let name = format!("recount-{}.lane-0-{}", binding.topic, binding.group);
    api(&raw(&server).await, format!("CONSUMER.DELETE.{name}"), "").await;
    publish(&*broker, &binding.topic, &[message("key", 1)]).await;
    assert_eq!(numbers(&take_all(&mut *consumer, Duration::from_secs(2)).await), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_of_a_lane_is_out_through_release_delay_and_expiry() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1).lease(Duration::from_secs(1)));
    ensure(&*broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    publish(&*broker, &binding.topic, &[message("a", 0), message("b", 1)]).await;
    let settles = [Settle::Release, Settle::Retry { after: Duration::from_millis(700) }];
    for (earlier, settle) in settles.into_iter().enumerate() {
        let mut deliveries = take(&mut *consumer, 10).await;
        assert_eq!(numbers(&deliveries), [0], "after {earlier} deliveries");
        let ticket = deliveries.remove(0).ticket;
        assert!(consumer.settle(vec![(ticket, settle)]).await[0].is_done());
    }
    // The third is held until its lease has ended.
    let held = take(&mut *consumer, 10).await;
    assert_eq!(numbers(&held), [0]);
    sleep(Duration::from_millis(1100)).await;
    let rest = take_all(&mut *consumer, Duration::from_secs(2)).await;
    assert_eq!(numbers(&rest), [0, 1]);
    assert_eq!(rest[0].attempts, recount_messaging::Attempts::Exact(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_extended_by_itself_and_not_by_more() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1).lease(Duration::from_secs(1)));
    ensure(&*broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    publish(&*broker, &binding.topic, &[message("a", 0)]).await;
    let held = vec![take(&mut *consumer, 1).await.remove(0).ticket];
    let outcome = consumer.extend(&held, Duration::from_secs(60)).await;
    assert!(matches!(outcome[0], Settled::Unsupported), "{outcome:?}");
    for _ in 0..5 {
        sleep(Duration::from_millis(500)).await;
        assert!(consumer.extend(&held, binding.lease).await[0].is_done());
    }
    let marks = held.into_iter().map(|ticket| (ticket, Settle::Ack)).collect();
    assert!(consumer.settle(marks).await[0].is_done());
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_command_the_server_are_refused_and_not_sent() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    publish(&*broker, &binding.topic, &[message("key", 0)]).await;
    for (name, value) in [
        ("Nats-Rollup", "all"),
        ("nats-msg-id", "mine"),
        ("NATS-Expected-Last-Sequence", "0"),
        ("content-type", "x"),
        ("ce-id", "x"),
        ("a:b", "x"),
        ("a b", "x"),
        ("", "x"),
    ] {
        let mut hostile = message("key", 1);
        hostile.metadata.headers.insert(name.to_owned(), value.to_owned());
        let fate = broker.publish(&binding.topic, vec![hostile.into()]).await.pop();
        assert!(matches!(fate, Some(Fate::Refused(Refusal::Invalid { .. }))), "{name}: {fate:?}");
    }
    let mut odd = message("key", 1);
    odd.content_type = "text/plain\r\nNats-Rollup: all".into();
    let fate = broker.publish(&binding.topic, vec![odd.into()]).await.pop();
    assert!(matches!(fate, Some(Fate::Refused(Refusal::Invalid { .. }))), "{fate:?}");
    publish(&*broker, &binding.topic, &[message("key", 2)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert_eq!(numbers(&take_all(&mut *consumer, Duration::from_secs(1)).await), [0, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_headers_are_refused_and_foreign_ones_are_malformed() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    let mut many = message("key", 1);
    many.metadata.headers.extend((0..300).map(|n| (format!("x-{n}"), "1".to_owned())));
    let fate = broker.publish(&binding.topic, vec![many.into()]).await.pop();
    assert!(matches!(fate, Some(Fate::Refused(Refusal::Headers { .. }))), "{fate:?}");
    let headers: Vec<(String, &[u8])> = (0..4000).map(|n| (format!("x-{n}"), &b"1"[..])).collect();
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    server.publish_raw(&binding.topic, "key", &headers, b"many").await;
    publish(&*broker, &binding.topic, &[message("key", 2)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let arrived = take_all(&mut *consumer, Duration::from_secs(1)).await;
    assert!(arrived[0].message.is_err() && arrived[0].raw.headers.len() == 4000 && &arrived[0].raw.body[..] == b"many");
    assert_eq!(numbers(&arrived[1..]), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_subscriber_that_answers_is_no_confirmation() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    // No stream takes the subject, and another program answers.
    let client = raw(&server).await;
    let mut requests = client.subscribe(format!("{}.*", binding.topic)).await.unwrap();
    // A round trip: then the server knows the subscription.
    api(&client, "INFO".to_owned(), "").await;
    let answering = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            client.publish(request.reply.unwrap(), "thank you".into()).await.unwrap();
        }
    });
    let fate = broker.publish(&binding.topic, vec![message("key", 1).into()]).await.pop();
    assert!(matches!(fate, Some(Fate::Unknown(BrokerError::Failed { .. }))), "{fate:?}");
    answering.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_without_a_stream_says_what_is_missing() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    let fate = broker.publish(&binding.topic, vec![message("key", 1).into()]).await.pop();
    let Some(Fate::NotSent(Some(error @ BrokerError::Missing { .. }))) = fate else { panic!("{fate:?}") };
    assert!(error.to_string().contains(&format!("stream recount-{}", binding.topic)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_settings_are_a_mismatch_that_names_them() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(2));
    ensure(&*broker, &binding).await;
    let three = binding.topic.clone().with_lanes(NonZeroU16::new(3).unwrap());
    let lanes = Binding::new(three, binding.group.clone());
    for (other, word) in [
        (binding.clone().lease(Duration::from_secs(7)), "ack_wait"),
        (binding.clone().order(Order::Unordered), "order"),
        (lanes, "lanes"),
    ] {
        let error = broker.ensure(&Plan { bindings: vec![other], ..Plan::default() }, false).await.unwrap_err();
        assert!(matches!(&error, BrokerError::Mismatch { .. }) && error.to_string().contains(word), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_goes_back_and_forth() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    publish(&*broker, &binding.topic, &[0, 1, 2, 3].map(|n| message("key", n))).await;
    let all = take_all(&mut *consumer, Duration::from_secs(1)).await;
    assert_eq!(numbers(&all), [0, 1, 2, 3]);
    let second = (all[1].lane(), all[1].position.unwrap(), all[2].published_at.unwrap());
    for (to, expected) in [
        (Seek::Start, &[0, 1, 2, 3][..]),
        (Seek::After(second.0, second.1), &[2, 3]),
        (Seek::Time(second.2), &[2, 3]),
        (Seek::End, &[]),
    ] {
        consumer.seek(to).await.unwrap();
        assert_eq!(numbers(&take_all(&mut *consumer, Duration::from_secs(1)).await), expected, "{to:?}");
    }
    consumer.seek(Seek::Start).await.unwrap();
    let held = take(&mut *consumer, 1).await.remove(0);
    consumer.seek(Seek::End).await.unwrap();
    let outcome = consumer.settle(vec![(held.ticket, Settle::Ack)]).await.pop();
    assert!(matches!(outcome, Some(Settled::Stale)), "a ticket from before the seek: {outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_message_does_not_come_again_whatever_the_reason_says() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1).lease(Duration::from_secs(1)));
    ensure(&*broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    publish(&*broker, &binding.topic, &[message("key", 0), message("key", 1)]).await;
    let first = take(&mut *consumer, 1).await.remove(0);
    let rejection = Rejection { reason: format!("line\r\nPUB x 0\r\n{}", "ü".repeat(5000)) };
    assert!(consumer.settle(vec![(first.ticket, Settle::Reject(rejection))]).await[0].is_done());
    assert_eq!(numbers(&take_all(&mut *consumer, Duration::from_secs(2)).await), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_consumer_reports_no_outage_while_a_message_is_out() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    publish(&*broker, &binding.topic, &[message("key", 0), message("key", 1)]).await;
    let held = take(&mut *consumer, 1).await.remove(0);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        let signal = consumer.next(&Room::of(10)).await.unwrap();
        assert!(matches!(signal, Signal::Idle), "{signal:?}");
    }
    assert!(consumer.settle(vec![(held.ticket, Settle::Ack)]).await[0].is_done());
    assert_eq!(numbers(&take_all(&mut *consumer, Duration::from_secs(1)).await), [1]);
}

/// The client library ends the connection when it reads such a message: see the crate's documentation.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_not_utf_8_holds_up_its_lane_and_no_other() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(4).lease(Duration::from_secs(2)));
    ensure(&*broker, &binding).await;
    let address = server.direct.rsplit(['/', '@']).next().unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = b"NATS/1.0\r\nx-a: \xff\xfe\r\n\r\n";
    let (header, all) = (head.len(), head.len() + 1);
    let connect = r#"CONNECT {"headers":true,"verbose":false}"#;
    let frame = format!("{connect}\r\nHPUB {}.0 {header} {all}\r\n", binding.topic);
    stream.write_all(&[frame.as_bytes(), head, b"x\r\nPING\r\n"].concat()).await.unwrap();
    let mut answers = String::new();
    while !answers.contains("PONG") {
        answers.push(char::from(stream.read_u8().await.unwrap()));
    }
    let keys: Vec<String> = (0..40).map(|n| format!("key-{n}")).filter(|key| binding.topic.lane_of(key) != 0).collect();
    let messages: Vec<_> = keys.iter().enumerate().map(|(n, key)| message(key, n)).collect();
    publish(&*broker, &binding.topic, &messages).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let (started, mut missing) = (Instant::now(), (0..messages.len()).collect::<std::collections::BTreeSet<_>>());
    while !missing.is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60), "{} messages are held up", missing.len());
        let Ok(Signal::Deliveries(deliveries)) = consumer.next(&Room::of(10)).await else { continue };
        for number in numbers(&deliveries) {
            missing.remove(&number);
        }
        consumer.settle(deliveries.into_iter().map(|delivery| (delivery.ticket, Settle::Ack)).collect()).await;
    }
    // It was there, and still is.
    let info = format!("CONSUMER.INFO.recount-{}.lane-0-{}", binding.topic, binding.group);
    let info = api(&raw(&server).await, info, "").await;
    assert_eq!((&info["num_ack_pending"], &info["ack_floor"]["stream_seq"]), (&1.into(), &0.into()), "{info}");
}
