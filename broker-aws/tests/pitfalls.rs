//! Pitfalls of SQS and SNS that users reported, or that the servers and the SDK show.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::time::Duration;

use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use common::{Kind, Server, ensure, message, news, number, numbers, publish, take, take_all, unique};
use recount_broker_aws::AwsBroker;
use recount_messaging::{
    Attempts, Binding, Broker, BrokerError, Fate, Message, Order, Plan, Refusal, Room, Settle, Settled, Signal,
};
use recount_testing::broker::Harness;
use tokio::time::{Instant, sleep, timeout};

/// The quiet time after which no more messages are expected.
const QUIET: Duration = Duration::from_secs(2);

/// The queue of a binding that is the only one of its topic, without the one for dead letters.
async fn queue(server: &Server, binding: &Binding) -> String {
    let queues = server.native().queues(&binding.topic).await;
    assert_eq!(queues.len(), 1, "{queues:?}");
    queues.into_iter().next().unwrap()
}

/// Several messages of a key wait in one queue, published one after the other.
async fn of_one_key(server: &Server, binding: &Binding, count: usize) {
    let broker = server.connect().await;
    ensure(&*broker, binding).await;
    publish(&*broker, &binding.topic, &(0..count).map(|n| message("key", n)).collect::<Vec<_>>()).await;
}

/// awspring/spring-cloud-aws#444, #196: a request brings several messages of a group. If one in the middle fails, the later
/// ones are not handled before it, by any consumer, and no message is handled twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_message_in_the_middle_of_a_batch_keeps_the_order_of_its_group() {
    let server = Server::shared(Kind::Sqs).await;
    for settle in [Settle::Release, Settle::Retry { after: Duration::from_secs(2) }] {
        let binding = unique();
        of_one_key(&server, &binding, 8).await;
        let broker = server.connect().await;
        let (mut one, mut two) = (broker.subscribe(&binding).await.unwrap(), broker.subscribe(&binding).await.unwrap());
        let (mut handled, mut failed, mut turn) = (Vec::new(), false, 0);
        while handled.len() < 8 {
            turn += 1;
            // Both members ask: the group is given to either.
            let consumer = if turn % 2 == 1 && failed { &mut two } else { &mut one };
            let Some(Signal::Deliveries(deliveries)) = news(&mut **consumer, &Room::of(10)).await else { continue };
            assert_eq!(deliveries.len(), 1, "one message of a key is out at a time");
            for delivery in deliveries {
                let number = number(delivery.message.as_ref().unwrap());
                // The fourth of the eight fails the first time.
                let fails = number == 3 && !failed;
                let mark = if fails { settle.clone() } else { Settle::Ack };
                let outcome = consumer.settle(vec![(delivery.ticket, mark)]).await.remove(0);
                assert!(matches!(outcome, Settled::Confirmed), "{number}: {outcome:?}");
                failed |= fails;
                if !fails {
                    handled.push(number);
                }
            }
        }
        assert_eq!(handled, (0..8).collect::<Vec<_>>(), "{settle:?}");
        for consumer in [&mut one, &mut two] {
            assert!(take_all(&mut **consumer, QUIET).await.is_empty());
        }
    }
}

/// awspring/spring-cloud-aws#196: extending the lease of one message of a batch keeps the others of its group.
#[tokio::test(flavor = "multi_thread")]
async fn extending_one_message_keeps_the_later_ones_of_its_group() {
    let server = Server::shared(Kind::Sqs).await;
    let binding = unique().lease(Duration::from_secs(4));
    of_one_key(&server, &binding, 3).await;
    let broker = server.connect().await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let held = vec![take(&mut *consumer, 10).await.remove(0).ticket];
    for _ in 0..3 {
        sleep(Duration::from_secs(2)).await;
        assert!(consumer.extend(&held, binding.lease).await[0].is_done());
    }
    let marks = held.into_iter().map(|ticket| (ticket, Settle::Ack)).collect();
    assert!(consumer.settle(marks).await[0].is_done());
    let rest = take_all(&mut *consumer, QUIET).await;
    assert_eq!(numbers(&rest), [1, 2]);
    assert!(rest.iter().all(|delivery| delivery.attempts == Attempts::Exact(0)), "they came in the first batch");
}

/// A message that is held longer than its lease takes the later ones of its batch along: they come again in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ends_brings_the_whole_group_again_in_order() {
    let server = Server::shared(Kind::Sqs).await;
    let binding = unique().lease(Duration::from_secs(4));
    of_one_key(&server, &binding, 4).await;
    let broker = server.connect().await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let late = take(&mut *consumer, 10).await.remove(0);
    sleep(Duration::from_millis(4500)).await;
    let outcome = consumer.settle(vec![(late.ticket, Settle::Ack)]).await.remove(0);
    assert!(matches!(outcome, Settled::Stale), "{outcome:?}");
    assert_eq!(numbers(&take_all(&mut *consumer, QUIET).await), [0, 1, 2, 3]);
}

/// One of many is acknowledged, and the consumer ends without a drain: all others come again, in order.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_is_acknowledged_and_the_rest_survives_the_consumer() {
    for kind in [Kind::Sqs, Kind::Sns] {
        let server = Server::shared(kind).await;
        let binding = unique().lease(Duration::from_secs(4));
        of_one_key(&server, &binding, 5).await;
        let broker = server.connect().await;
        let mut consumer = broker.subscribe(&binding).await.unwrap();
        let first = take(&mut *consumer, 10).await.remove(0);
        assert!(consumer.settle(vec![(first.ticket, Settle::Ack)]).await[0].is_done());
        let _held = take(&mut *consumer, 10).await;
        drop(consumer);
        let mut next = broker.subscribe(&binding).await.unwrap();
        let mut rest = take(&mut *next, 1).await;
        let ticket = rest.remove(0).ticket;
        assert!(next.settle(vec![(ticket, Settle::Ack)]).await[0].is_done());
        assert_eq!(numbers(&take_all(&mut *next, QUIET).await), [2, 3, 4], "{kind:?}");
    }
}

/// A lost answer hides no message: the request is sent again with its attempt id. The lease is far longer than the test.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_hides_no_message() {
    let server = Server::private(Kind::Sqs).await;
    let binding = unique().lease(Duration::from_secs(120));
    of_one_key(&server, &binding, 3).await;
    let broker = server.connect().await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    server.freeze().await;
    let error = loop {
        // The frozen server has the request, and answers it after the caller has given up.
        match consumer.next(&Room::of(10)).await {
            Ok(signal) => assert!(matches!(signal, Signal::Idle), "{signal:?}"),
            Err(error) => break error,
        }
    };
    assert!(error.is_transient(), "{error:?}");
    server.thaw().await;
    // The server deals with the lost request first. Behind the second one it would give the messages new receipts.
    sleep(Duration::from_secs(1)).await;
    let started = Instant::now();
    assert_eq!(numbers(&take_all(&mut *consumer, QUIET).await), [0, 1, 2]);
    assert!(started.elapsed() < Duration::from_secs(30), "they were hidden for {:?}", started.elapsed());
}

/// A send that loses its answer is not repeated by the SDK: on standard queues that would store it twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_send_without_an_answer_is_stored_once_and_its_fate_is_unknown() {
    for kind in [Kind::Sqs, Kind::Sns] {
        let server = Server::private(kind).await;
        let (broker, binding) = (server.connect().await, unique().order(Order::Unordered));
        ensure(&*broker, &binding).await;
        // So that a connection is there, and the queues are known.
        publish(&*broker, &binding.topic, &[message("a", 0)]).await;
        server.freeze().await;
        let started = Instant::now();
        let fate = broker.publish(&binding.topic, vec![message("b", 1).into()]).await.pop();
        assert!(matches!(fate, Some(Fate::Unknown(BrokerError::TimedOut { .. }))), "{kind:?}: {fate:?}");
        assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
        server.thaw().await;
        let mut consumer = broker.subscribe(&binding).await.unwrap();
        let mut arrived = numbers(&take_all(&mut *consumer, QUIET).await);
        arrived.sort_unstable();
        assert!(arrived == [0, 1] || arrived == [0], "{kind:?}: {arrived:?}");
    }
}

/// A missing topic or queue is an error of the broker and no refusal: a refused message would be parked for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_deleted_is_missing_and_refuses_no_message() {
    for kind in [Kind::Sqs, Kind::Sns] {
        let server = Server::shared(kind).await;
        let (broker, binding) = (server.connect().await, unique());
        ensure(&*broker, &binding).await;
        publish(&*broker, &binding.topic, &[message("key", 0)]).await;
        let native = server.native();
        if kind == Kind::Sns {
            let arn = format!("arn:aws:sns:us-east-1:000000000000:recount-{}.fifo", binding.topic);
            native.sns.delete_topic().topic_arn(arn).send().await.unwrap();
        } else {
            let url = queue(&server, &binding).await;
            native.sqs.delete_queue().queue_url(url).send().await.unwrap();
        }
        let fate = broker.publish(&binding.topic, vec![message("key", 1).into()]).await.pop();
        match (kind, fate) {
            (Kind::Sns, Some(Fate::NotSent(Some(error @ BrokerError::Missing { .. })))) => {
                assert!(error.to_string().contains(&format!("topic recount-{}.fifo", binding.topic)), "{error}");
            }
            // The publisher remembers the queue for a second. Then the topic has no group.
            (Kind::Sqs, Some(Fate::NotSent(Some(BrokerError::Missing { .. })))) => {}
            (Kind::Sqs, Some(Fate::Refused(Refusal::Unroutable { .. }))) => {}
            (_, fate) => panic!("{kind:?}: {fate:?}"),
        }
    }
}

/// A settlement at a queue that was deleted fails, and names the queue.
#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_names_the_queue_that_is_missing() {
    for kind in [Kind::Sqs, Kind::Sns] {
        let server = Server::shared(kind).await;
        let binding = unique();
        of_one_key(&server, &binding, 1).await;
        let mut consumer = server.connect().await.subscribe(&binding).await.unwrap();
        let held = take(&mut *consumer, 1).await.remove(0);
        let url = queue(&server, &binding).await;
        server.native().sqs.delete_queue().queue_url(&url).send().await.unwrap();
        let outcome = consumer.settle(vec![(held.ticket, Settle::Ack)]).await.remove(0);
        let Settled::Failed(BrokerError::Missing { object }) = outcome else { panic!("{kind:?}: {outcome:?}") };
        assert_eq!(object, format!("queue {}", url.rsplit('/').next().unwrap()), "{kind:?}");
    }
}

/// The redrive policy is a backstop: far above the attempts of a handler, and the server follows it.
#[tokio::test(flavor = "multi_thread")]
async fn the_redrive_policy_allows_a_thousand_deliveries() {
    for kind in [Kind::Sqs, Kind::Sns] {
        let server = Server::shared(kind).await;
        let (broker, binding) = (server.connect().await, unique().order(Order::Unordered));
        ensure(&*broker, &binding).await;
        let (native, url) = (server.native(), queue(&server, &binding).await);
        let request = native.sqs.get_queue_attributes().queue_url(&url);
        let attributes = request.attribute_names(QueueAttributeName::All).send().await.unwrap().attributes.unwrap();
        let redrive: serde_json::Value = serde_json::from_str(&attributes[&QueueAttributeName::RedrivePolicy]).unwrap();
        let limit = redrive["maxReceiveCount"].as_u64().or_else(|| redrive["maxReceiveCount"].as_str()?.parse().ok());
        assert_eq!(limit, Some(1000), "{redrive}");
        assert_eq!(broker.capabilities(&binding).attempt_limit, Some(1000));
        // An operator sets a lower one.
        let lower = format!("{{\"deadLetterTargetArn\":{},\"maxReceiveCount\":2}}", redrive["deadLetterTargetArn"]);
        let request = native.sqs.set_queue_attributes().queue_url(&url);
        request.attributes(QueueAttributeName::RedrivePolicy, lower).send().await.unwrap();
        publish(&*broker, &binding.topic, &[message("key", 7)]).await;
        let mut consumer = broker.subscribe(&binding).await.unwrap();
        for _ in 0..2 {
            let delivery = take(&mut *consumer, 1).await.remove(0);
            assert!(consumer.settle(vec![(delivery.ticket, Settle::Release)]).await[0].is_done());
        }
        assert!(take_all(&mut *consumer, QUIET).await.is_empty());
        let dead = native.sqs.receive_message().queue_url(format!("{url}-dead")).wait_time_seconds(1).send().await;
        assert_eq!(dead.unwrap().messages.unwrap_or_default().len(), 1, "{kind:?}");
    }
}

/// Times beyond the twelve hours that a message may be out are refused before they are sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_delay_of_more_than_twelve_hours_is_unsupported() {
    let server = Server::shared(Kind::Sqs).await;
    let (broker, binding) = (server.connect().await, unique());
    ensure(&*broker, &binding).await;
    publish(&*broker, &binding.topic, &[message("a", 0), message("b", 1)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let mut held = Vec::new();
    while held.len() < 2 {
        held.extend(take(&mut *consumer, 2).await.into_iter().map(|delivery| delivery.ticket));
    }
    let half_a_day = Duration::from_secs(12 * 3600);
    for time in [half_a_day, Duration::MAX] {
        let outcomes = consumer.extend(&held, time).await;
        assert!(matches!(outcomes[..], [Settled::Unsupported, Settled::Unsupported]), "{time:?}: {outcomes:?}");
    }
    assert!(consumer.extend(&held, half_a_day - Duration::from_secs(60)).await[0].is_done());
    let marks = held.into_iter().zip([half_a_day, Duration::MAX]);
    let outcomes = consumer.settle(marks.map(|(ticket, after)| (ticket, Settle::Retry { after })).collect()).await;
    assert!(matches!(outcomes[..], [Settled::Unsupported, Settled::Unsupported]), "{outcomes:?}");
}

/// Emoji, and the two characters that JSON allows and SQS does not, arrive in keys and data. `ElasticMQ` checks characters as
/// AWS does.
#[tokio::test(flavor = "multi_thread")]
async fn characters_that_the_server_refuses_arrive() {
    let server = Server::shared(Kind::Sqs).await;
    let (broker, binding) = (server.connect().await, unique());
    ensure(&*broker, &binding).await;
    let texts = ["\"🦀 \u{10ffff}\"", "\"\u{fffe}\u{ffff}\"", "{\"🦀\": \"\u{7f}\u{80}\u{feff}\"}"];
    let sent: Vec<Message> =
        texts.iter().map(|data| Message { data: (*data).to_owned().into(), ..message("🦀\u{fffe}\u{1}", 0) }).collect();
    publish(&*broker, &binding.topic, &sent).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let arrived = take_all(&mut *consumer, QUIET).await;
    let messages: Vec<_> = arrived.into_iter().map(|delivery| delivery.message.unwrap()).collect();
    assert_eq!(messages, sent);
}

/// The message group is the key, so that programs in other languages find the same one; else a hash of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_message_group_is_the_key() {
    for kind in [Kind::Sqs, Kind::Sns] {
        let server = Server::shared(kind).await;
        let (broker, binding) = (server.connect().await, unique());
        ensure(&*broker, &binding).await;
        publish(&*broker, &binding.topic, &[message("order/17", 0), message("order 17", 1)]).await;
        let (native, url) = (server.native(), queue(&server, &binding).await);
        let mut groups = Vec::new();
        while groups.len() < 2 {
            let request = native.sqs.receive_message().queue_url(&url).max_number_of_messages(10).wait_time_seconds(5);
            let request = request.message_system_attribute_names(MessageSystemAttributeName::All);
            let received = request.send().await.unwrap().messages.unwrap_or_default();
            assert!(!received.is_empty(), "{kind:?}: {groups:?}");
            groups.extend(
                received
                    .into_iter()
                    .map(|message| message.attributes.unwrap()[&MessageSystemAttributeName::MessageGroupId].clone()),
            );
        }
        groups.sort();
        assert!(groups[0].starts_with('#') && groups[0].len() == 65 && groups[1] == "order/17", "{groups:?}");
    }
}

/// A batch of one and one of ten from a program without recount: all arrive, in order, and each is settled by itself.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_a_foreign_program_arrive() {
    let server = Server::shared(Kind::Sns).await;
    let (broker, binding) = (server.connect().await, unique());
    ensure(&*broker, &binding).await;
    let arn = format!("arn:aws:sns:us-east-1:000000000000:recount-{}.fifo", binding.topic);
    let sns = server.native().sns;
    for (first, count) in [(0, 1), (1, 10)] {
        let mut request = sns.publish_batch().topic_arn(&arn);
        for n in first..first + count {
            let body = format!(r#"{{"specversion":"1.0","id":"{n}","source":"py","type":"t","data":{n}}}"#);
            let entry = aws_sdk_sns::types::PublishBatchRequestEntry::builder().id(n.to_string()).message(body);
            let entry = entry.message_group_id("key").message_deduplication_id(n.to_string()).build().unwrap();
            request = request.publish_batch_request_entries(entry);
        }
        assert!(request.send().await.unwrap().failed.unwrap_or_default().is_empty());
    }
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert_eq!(numbers(&take_all(&mut *consumer, QUIET).await), (0..11).collect::<Vec<_>>());
}

/// SNS discards a message with more than ten attributes in silence: the adapter writes three at most.
#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_few_and_headers_are_in_the_envelope() {
    let server = Server::shared(Kind::Sns).await;
    let (broker, binding) = (server.connect().await, unique());
    ensure(&*broker, &binding).await;
    let mut full = message("key", 0);
    full.metadata.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    full.metadata.headers.extend((0..40).map(|n| (format!("x-{n}"), n.to_string())));
    publish(&*broker, &binding.topic, std::slice::from_ref(&full)).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let arrived = take_all(&mut *consumer, QUIET).await.remove(0);
    let names: Vec<_> = arrived.raw.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["partitionkey", "traceparent", "type"]);
    assert_eq!(arrived.message.unwrap(), full);
}

/// A filter policy selects the messages of a group, and another policy is a mismatch.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_a_filter_gets_the_messages_of_its_types() {
    let server = Server::shared(Kind::Sns).await;
    let binding = unique();
    let filtered = |types: &str| {
        let policy = format!(r#"{{"type":[{types}]}}"#);
        server.options().filter(&binding.topic, &binding.group, policy)
    };
    let broker = filtered("\"orders.placed\"").connect().await.unwrap();
    let broker: &dyn recount_messaging::Broker = &broker;
    ensure(broker, &binding).await;
    let typed = |number: usize, name: &str| Message { message_type: name.into(), ..message("key", number) };
    let sent = [typed(0, "orders.placed"), typed(1, "orders.paid"), typed(2, "orders.placed")];
    publish(broker, &binding.topic, &sent).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert_eq!(numbers(&take_all(&mut *consumer, QUIET).await), [0, 2]);
    let plan = Plan { bindings: vec![binding.clone()], ..Plan::default() };
    assert_eq!(broker.ensure(&plan, true).await.unwrap(), []);
    let other = filtered("\"orders.paid\"").connect().await.unwrap();
    let error = recount_messaging::Broker::ensure(&other, &plan, false).await.unwrap_err();
    assert!(matches!(&error, BrokerError::Mismatch { .. }) && error.to_string().contains("orders.paid"), "{error}");
}

/// Other settings of a group are a mismatch that names them.
#[tokio::test(flavor = "multi_thread")]
async fn other_settings_are_a_mismatch() {
    let server = Server::shared(Kind::Sns).await;
    let (broker, binding) = (server.connect().await, unique());
    ensure(&*broker, &binding).await;
    for (other, word) in [
        (binding.clone().order(Order::Unordered), "order"),
        (binding.clone().expires_after(Duration::from_secs(60)), "recount-expires-after 60000"),
    ] {
        let error = broker.ensure(&Plan { bindings: vec![other], ..Plan::default() }, false).await.unwrap_err();
        assert!(matches!(&error, BrokerError::Mismatch { .. }) && error.to_string().contains(word), "{error}");
    }
}

/// A subscription that an operator has deleted is made anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_subscription_is_declared_again() {
    let server = Server::shared(Kind::Sns).await;
    let (broker, binding) = (server.connect().await, unique());
    ensure(&*broker, &binding).await;
    let sns = server.native().sns;
    let arn = format!("arn:aws:sns:us-east-1:000000000000:recount-{}.fifo", binding.topic);
    let listed = sns.list_subscriptions_by_topic().topic_arn(arn).send().await.unwrap();
    let subscription = listed.subscriptions.unwrap().remove(0).subscription_arn.unwrap();
    sns.unsubscribe().subscription_arn(subscription).send().await.unwrap();
    let plan = Plan { bindings: vec![binding.clone()], ..Plan::default() };
    let changes = broker.ensure(&plan, false).await.unwrap();
    assert!(changes.len() == 1 && changes[0].object.starts_with("subscription of queue recount-"), "{changes:?}");
    publish(&*broker, &binding.topic, &[message("key", 1)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert_eq!(numbers(&take_all(&mut *consumer, QUIET).await), [1]);
}

/// Calls of `next` that end early hide nothing, also while a request waits at the server.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_survives_the_end_of_its_call() {
    for kind in [Kind::Sqs, Kind::Sns] {
        let server = Server::shared(kind).await;
        let (broker, binding) = (server.connect().await, unique().lease(Duration::from_secs(60)));
        ensure(&*broker, &binding).await;
        let mut consumer = broker.subscribe(&binding).await.unwrap();
        assert!(timeout(Duration::from_millis(200), consumer.next(&Room::of(10))).await.is_err(), "nothing came");
        publish(&*broker, &binding.topic, &[message("key", 1)]).await;
        sleep(Duration::from_millis(300)).await;
        assert_eq!(numbers(&take_all(&mut *consumer, QUIET).await), [1], "{kind:?}");
    }
}

/// A drain that ends before the open request would hide the messages that answer it: it says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_too_short_for_the_open_request_times_out() {
    for kind in [Kind::Sqs, Kind::Sns] {
        let server = Server::shared(kind).await;
        let (broker, binding) = (server.connect().await, unique());
        ensure(&*broker, &binding).await;
        for (within, is_long_enough) in [(Duration::from_millis(100), false), (Duration::MAX, true)] {
            let mut consumer = broker.subscribe(&binding).await.unwrap();
            // Its request waits a second at the server.
            assert!(timeout(Duration::from_millis(200), consumer.next(&Room::of(10))).await.is_err(), "nothing came");
            let error = consumer.drain(within).await.error;
            assert_eq!(error.is_none(), is_long_enough, "{kind:?}: {error:?}");
            assert!(error.is_none_or(|error| matches!(error, BrokerError::TimedOut { .. })), "{kind:?}");
        }
    }
}

/// A service drains its consumers for 5 seconds: enough for a request of default options.
#[tokio::test(flavor = "multi_thread")]
async fn the_drain_of_a_service_is_long_enough_for_default_options() {
    let server = Server::shared(Kind::Sqs).await;
    let (broker, binding) = (AwsBroker::connect(&server.url()).await.unwrap(), unique());
    ensure(&broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert!(timeout(Duration::from_millis(200), consumer.next(&Room::of(10))).await.is_err(), "nothing came");
    let error = consumer.drain(Duration::from_secs(5)).await.error;
    assert!(error.is_none(), "{error:?}");
}

/// A topic without groups would lose its messages in silence: they are refused as unroutable, and the relay waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_without_groups_takes_no_message() {
    for kind in [Kind::Sqs, Kind::Sns] {
        let server = Server::shared(kind).await;
        let (broker, binding) = (server.connect().await, unique());
        let topic = Plan { topics: vec![binding.topic.clone()], ..Plan::default() };
        broker.ensure(&topic, false).await.unwrap();
        let fate = broker.publish(&binding.topic, vec![message("key", 0).into()]).await.pop();
        assert!(matches!(fate, Some(Fate::Refused(Refusal::Unroutable { .. }))), "{kind:?}: {fate:?}");
        // Another program declares the group.
        ensure(&*server.connect().await, &binding).await;
        let started = Instant::now();
        while !broker.publish(&binding.topic, vec![message("key", 1).into()]).await[0].is_stored() {
            assert!(started.elapsed() < Duration::from_secs(10), "{kind:?}: the group is not found");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A consumer that handles one message for long makes no calls, and its group is in use all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_a_busy_consumer_does_not_expire() {
    let server = Server::shared(Kind::Sqs).await;
    let expires = Duration::from_secs(1);
    let (broker, binding) = (server.connect().await, unique().expires_after(expires));
    ensure(&*broker, &binding).await;
    publish(&*broker, &binding.topic, &[message("a", 0)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let held = take(&mut *consumer, 1).await.remove(0);
    // Clocks may differ by ten seconds, so an unused group is removed after eleven.
    sleep(Duration::from_secs(13)).await;
    let other = Binding::new(binding.topic.clone(), unique().group).expires_after(expires);
    ensure(&*server.connect().await, &other).await;
    let outcome = consumer.settle(vec![(held.ticket, Settle::Ack)]).await.remove(0);
    assert!(matches!(outcome, Settled::Confirmed), "{outcome:?}");
    publish(&*broker, &binding.topic, &[message("a", 1)]).await;
    assert_eq!(numbers(&take_all(&mut *consumer, QUIET).await), [1]);
}
