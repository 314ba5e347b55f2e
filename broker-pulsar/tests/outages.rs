//! Servers that end and freeze, and clients that end: every call ends within its time, nothing that was stored is lost, the order
//! of each key is kept, and both sides recover by themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use common::{Server, Suite, ensure, message, number, publish, single, take, unique};
use recount_broker_pulsar::PulsarBroker;
use recount_messaging::{
    Broker, BrokerConsumer, BrokerError, Fate, MessageId, Order, Plan, Room, Seek, Settle, Settled, Signal,
};
use recount_testing::broker::accept;
use recount_testing::broker::by_hand::{self, relay_each};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

/// The time of one request in these tests.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The time of a call: it may connect, look up topics, open producers and publish.
const CALL: Duration = Duration::from_secs(12);

async fn connect(server: &Server) -> PulsarBroker {
    PulsarBroker::options(server.url()).unwrap().call_timeout(TIMEOUT).connect().await.unwrap()
}

/// Waits for a call, which must end in its time.
async fn in_time<T>(what: &str, call: impl Future<Output = T>) -> T {
    by_hand::in_time(CALL, what, call).await
}

/// The messages that came to all members of a group.
#[derive(Default)]
struct Arrived {
    seen: BTreeSet<MessageId>,
    next: BTreeMap<String, usize>,
}

impl Arrived {
    /// Takes and acknowledges the waiting deliveries. The first arrival of each message is in the order of its key.
    async fn take(&mut self, consumer: &mut Box<dyn BrokerConsumer>) {
        let Ok(Signal::Deliveries(deliveries)) = in_time("next", consumer.next(&Room::of(200))).await else { return };
        let mut marks = Vec::new();
        for delivery in deliveries {
            let message = delivery.message.unwrap();
            if self.seen.insert(message.id.clone()) {
                let expected = self.next.entry(message.key.as_deref().unwrap().to_owned()).or_default();
                assert_eq!(number(&message), *expected, "{:?}", message.key);
                *expected += 1;
            }
            marks.push((delivery.ticket, Settle::Ack));
        }
        in_time("settle", consumer.settle(marks)).await;
    }

    async fn take_all(&mut self, consumer: &mut Box<dyn BrokerConsumer>, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while self.seen.len() < count {
            assert!(Instant::now() < deadline, "{} of {count} came", self.seen.len());
            self.take(consumer).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_freezes_for_twenty_seconds_under_load_loses_and_reorders_nothing() {
    let server = Server::private().await;
    let (broker, binding) = (connect(&server).await, unique());
    ensure(&broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let (mut arrived, count) = (Arrived::default(), 6000);
    let outage = async {
        sleep(Duration::from_millis(500)).await;
        server.call(|server| server.freeze()).await;
        sleep(Duration::from_secs(20)).await;
        server.call(|server| server.resume()).await;
    };
    tokio::join!(
        outage,
        relay_each(&broker, &binding.topic, 100, count / 100, CALL),
        arrived.take_all(&mut consumer, count)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_loses_and_reorders_nothing() {
    let server = Server::private().await;
    let (broker, binding) = (connect(&server).await, unique());
    ensure(&broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let (mut arrived, count) = (Arrived::default(), 8000);
    let outage = async {
        for _ in 0..2 {
            sleep(Duration::from_millis(700)).await;
            server.call(|server| server.restart().unwrap()).await;
        }
    };
    tokio::join!(
        outage,
        relay_each(&broker, &binding.topic, 100, count / 100, CALL),
        arrived.take_all(&mut consumer, count)
    );
}

/// As if programs were killed: under load each member is dropped without a drain, and the connections of the other members are
/// cut.
#[tokio::test(flavor = "multi_thread")]
async fn members_that_die_and_connections_that_are_cut_under_load_lose_and_reorder_nothing() {
    let suite = Suite::of(Server::private().await, true).await;
    let (publisher, binding) = (connect(&suite.server).await, unique());
    ensure(&publisher, &binding).await;
    let count = 4000;
    let consuming = async {
        let (mut arrived, mut members) = (Arrived::default(), Vec::new());
        let mut round = 0;
        while arrived.seen.len() < count {
            round += 1;
            match round % 40 {
                1 | 11 => members.push(suite.broker().await.subscribe(&binding).await.unwrap()),
                21 => suite.cut(),
                31 => drop(members.remove(0)),
                _ => {}
            }
            for member in &mut members {
                arrived.take(member).await;
            }
            assert!(round < 3000, "{} of {count} came", arrived.seen.len());
        }
    };
    tokio::join!(consuming, relay_each(&publisher, &binding.topic, 100, count / 100, CALL));
}

/// The client library retries for ever by default, and a call of it that is dropped may leave its client waiting.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_ends_in_time_and_works_again_after_three_outages() {
    let server = Server::private().await;
    let (broker, binding) = (connect(&server).await, unique());
    ensure(&broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    for outage in 0..3 {
        if outage == 1 {
            server.call(|server| server.kill()).await;
        } else {
            server.call(|server| server.freeze()).await;
        }
        let waiting = Instant::now();
        let (sent, room) = ([message("k", outage)], Room::of(1));
        let plan = Plan { topics: vec![binding.topic.clone()], bindings: Vec::new() };
        let (fates, health, subscribed, ensured, _) = tokio::join!(
            in_time("publish", publish(&broker, &binding.topic, &sent)),
            in_time("health", broker.health()),
            in_time("subscribe", broker.subscribe(&binding)),
            in_time("ensure", broker.ensure(&plan, false)),
            in_time("next", consumer.next(&room)),
        );
        assert!(matches!(fates[0], Fate::Unknown(_) | Fate::NotSent(_)), "{fates:?}");
        assert!(health.unwrap_err().is_transient() && ensured.unwrap_err().is_transient());
        assert!(subscribed.err().unwrap().is_transient());
        assert!(waiting.elapsed() < CALL);
        if outage == 1 {
            server.call(|server| server.restart().unwrap()).await;
        } else {
            server.call(|server| server.resume()).await;
        }
        let mut stored = false;
        for _ in 0..50 {
            stored = stored || publish(&broker, &binding.topic, &[message("k", 10 + outage)]).await[0].is_stored();
            sleep(Duration::from_millis(if stored { 0 } else { 200 })).await;
        }
        assert!(stored, "outage {outage}");
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut came = false;
        while !came {
            assert!(Instant::now() < deadline, "outage {outage}");
            let Ok(Signal::Deliveries(deliveries)) = consumer.next(&Room::of(10)).await else { continue };
            for delivery in deliveries {
                came |= number(delivery.message.as_ref().unwrap()) == 10 + outage;
                consumer.settle(vec![(delivery.ticket, Settle::Ack)]).await;
            }
        }
    }
    let second = connect(&server).await;
    server.call(|server| server.freeze()).await;
    let start = Instant::now();
    consumer.drain(Duration::from_secs(2)).await;
    second.close(Duration::from_secs(2)).await;
    assert!(start.elapsed() < CALL);
    server.call(|server| server.resume()).await;
}

/// A thousand keys are under way at once. The others do not wait for the time of a call in turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_many_keys_ends_in_the_time_of_a_call_towards_a_frozen_server() {
    let server = Server::private().await;
    let (broker, binding) = (connect(&server).await, unique());
    ensure(&broker, &binding).await;
    assert!(publish(&broker, &binding.topic, &[message("k", 0)]).await[0].is_stored());
    server.call(|server| server.freeze()).await;
    let messages: Vec<_> = (0..8000).map(|number| message(&format!("key-{number}"), number)).collect();
    let fates = in_time("publish", publish(&broker, &binding.topic, &messages)).await;
    let unknown = fates.iter().filter(|fate| matches!(fate, Fate::Unknown(_))).count();
    let not_sent = fates.iter().filter(|fate| matches!(fate, Fate::NotSent(Some(_)))).count();
    assert!(unknown >= 1 && unknown + not_sent == 8000, "{unknown} unknown, {not_sent} not sent");
    server.call(|server| server.resume()).await;
}

/// Without it nothing tells whether messages are missing before the first one. They fill the room of the lane while they wait.
#[tokio::test(flavor = "multi_thread")]
async fn messages_come_though_the_admin_interface_is_gone() {
    let server = Server::shared().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (admin, to) = (listener.local_addr().unwrap(), server.admin().trim_start_matches("http://").to_owned());
    let forwarding = tokio::spawn(async move {
        loop {
            let mut client = accept(&listener).await;
            let mut server = TcpStream::connect(&to).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let url = format!("{}?admin=http://{admin}&prefetch=4", server.service());
    let (broker, binding) = (PulsarBroker::connect(&url).await.unwrap(), single());
    ensure(&broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    forwarding.abort();
    let messages: Vec<_> = (0..30).map(|number| message("k", number)).collect();
    publish(&broker, &binding.topic, &messages).await;
    let mut arrived = Arrived::default();
    in_time("taking all messages", arrived.take_all(&mut consumer, messages.len())).await;
}

/// The library would keep the messages of dropped calls for as long as the server is frozen.
#[tokio::test(flavor = "multi_thread")]
async fn publishes_that_are_dropped_keep_no_memory_beyond_their_timeout() {
    const SIZE: usize = 4_000_000;
    // With it glibc gives large blocks back to the system when they are freed.
    const THRESHOLD: &str = "MALLOC_MMAP_THRESHOLD_";
    if std::env::var_os(THRESHOLD).is_none() {
        let mut alone = Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", "publishes_that_are_dropped_keep_no_memory_beyond_their_timeout"]);
        let ended = alone.env(THRESHOLD, "500000").output().unwrap();
        let output = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && output.contains("1 passed"), "{output}");
        return;
    }
    let server = Server::private().await;
    let (broker, binding) = (connect(&server).await, unique());
    ensure(&broker, &binding).await;
    publish(&broker, &binding.topic, &[message("key", 0)]).await;
    server.call(|server| server.freeze()).await;
    let before = resident();
    for number in 1..=40 {
        let mut large = message(&format!("key {number}"), number);
        large.data = vec![b' '; SIZE].into();
        let publishing = broker.publish(&binding.topic, vec![large.into()]);
        assert!(timeout(Duration::from_millis(20), publishing).await.is_err(), "the server is frozen");
    }
    let limit = 10 * SIZE;
    assert!(resident() > before + limit, "they are kept until their time has passed");
    sleep(TIMEOUT + Duration::from_secs(3)).await;
    let kept = resident().saturating_sub(before);
    assert!(kept < limit, "{kept} bytes are kept");
    server.call(|server| server.resume()).await;
    let sent = by_hand::fates(&broker, &binding.topic, &[message("key", 41)]).await;
    assert!(sent[0].is_stored(), "{sent:?}");
}

/// The memory of this program in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}

/// An acknowledgement lives in the server's memory for about a second, unless the server is told otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_survive_a_killed_server_that_writes_them_at_once() {
    let eager = recount_servers::PulsarSettings { eager_acknowledgements: true, ..Default::default() };
    let server = Server::with(eager).await;
    let (broker, binding) = (connect(&server).await, unique());
    ensure(&broker, &binding).await;
    let messages: Vec<_> = (0..200).map(|number| message(&format!("key-{}", number % 20), number)).collect();
    publish(&broker, &binding.topic, &messages).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let taken = take(&mut consumer, 200).await;
    let marks = taken.into_iter().map(|delivery| (delivery.ticket, Settle::Ack)).collect();
    consumer.settle(marks).await;
    consumer.drain(Duration::from_secs(5)).await;
    // The last ones are being written when the answer to the drain comes.
    sleep(Duration::from_millis(500)).await;
    server.call(|server| server.restart().unwrap()).await;
    // A server that has just started takes its time to load the topic.
    let broker = server.broker().await;
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut next = loop {
        match broker.subscribe(&binding).await {
            Ok(consumer) => break consumer,
            Err(error) => assert!(error.is_transient() && Instant::now() < deadline, "{error:?}"),
        }
    };
    let again = common::rest(&mut next, Duration::from_secs(4)).await;
    assert!(again.is_empty(), "{} came again", again.len());
}

/// Its lanes would wait for a program that has no connection any more, and a seek by it would rewind the group.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_of_a_closed_broker_keeps_no_lane_and_moves_no_group() {
    let server = Server::shared().await;
    for order in [Order::PerKey, Order::Unordered] {
        let (first, second, binding) = (connect(&server).await, connect(&server).await, unique().order(order));
        ensure(&first, &binding).await;
        let mut closed = first.subscribe(&binding).await.unwrap();
        publish(&first, &binding.topic, &[message("k", 80)]).await;
        let held = take(&mut closed, 1).await.remove(0);
        first.close(Duration::from_secs(5)).await;
        let extended = closed.extend(std::slice::from_ref(&held.ticket), TIMEOUT).await;
        let settled = closed.settle(vec![(held.ticket, Settle::Ack)]).await;
        for settled in [&extended[0], &settled[0]] {
            assert!(matches!(settled, Settled::Failed(BrokerError::Closed)), "{settled:?}");
        }
        let mut consumer = second.subscribe(&binding).await.unwrap();
        let messages: Vec<_> = (0..80).map(|number| message(&format!("key-{number}"), number)).collect();
        publish(&second, &binding.topic, &messages).await;
        let came: BTreeSet<_> = common::rest(&mut consumer, Duration::from_secs(3)).await.into_iter().collect();
        assert_eq!(came, (0..=80).collect(), "{order:?}");
        let sought = closed.seek(Seek::Start).await;
        assert!(matches!(sought, Err(BrokerError::Closed)), "{sought:?}");
        let again = common::rest(&mut consumer, Duration::from_secs(2)).await;
        assert!(again.is_empty(), "{order:?}: {} came again", again.len());
        in_time("drain", closed.drain(TIMEOUT)).await;
    }
}
