//! The network between a program and Pub/Sub is away for a time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{PROJECT, SOON, Server, ensure, fates, message, news, number, unique};
use recount_broker_google::{GoogleBroker, GoogleOptions};
use recount_messaging::{Broker, BrokerConsumer, Fate, Message, Room, Settle, Signal, Ticket};
use recount_testing::broker::accept;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

/// The network before the port for calls of a server. While it is away its port takes no connection.
struct Network {
    port: u16,
    server: u16,
    forwarding: Option<JoinHandle<()>>,
}

impl Network {
    async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { port, server, forwarding: Some(tokio::spawn(forward(listener, server))) }
    }

    async fn away(&mut self) {
        let forwarding = self.forwarding.take().unwrap();
        forwarding.abort();
        let _ = forwarding.await;
    }

    async fn back(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.forwarding = Some(tokio::spawn(forward(listener, self.server)));
    }

    fn options(&self, server: &Server) -> GoogleOptions {
        let (calls, admin) = (self.port, server.with(|fake| fake.admin_port()));
        let url = format!("pubsub://{PROJECT}?endpoint=http://127.0.0.1:{calls}&admin=http://127.0.0.1:{admin}");
        GoogleBroker::options(&url).unwrap()
    }
}

async fn forward(listener: TcpListener, server: u16) {
    let mut connections = JoinSet::new();
    loop {
        let mut client = accept(&listener).await;
        connections.spawn(async move {
            let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

/// The messages that came of each key, without repeated ones, and the tickets of the key that is held.
#[derive(Debug, Default)]
struct Seen {
    numbers: BTreeMap<String, Vec<usize>>,
    held: Vec<Ticket>,
}

impl Seen {
    /// Takes deliveries, and acknowledges each unless its key is held.
    async fn consume(&mut self, consumer: &mut dyn BrokerConsumer) {
        let Some(Signal::Deliveries(deliveries)) = news(consumer, &Room::of(100)).await else { return };
        for delivery in deliveries {
            let message = delivery.message.as_ref().unwrap();
            let key = message.key.as_deref().unwrap().to_owned();
            if key == "held" {
                self.held.push(delivery.ticket);
                continue;
            }
            let numbers = self.numbers.entry(key).or_default();
            let number = number(message);
            if !numbers.contains(&number) {
                numbers.push(number);
            }
            assert!(consumer.settle(vec![(delivery.ticket, Settle::Ack)]).await[0].is_done());
        }
    }
}

/// The client library pauses for up to a minute between its tries to open a stream. The adapter does not: messages come soon
/// after the network is back, none is lost, and those of a key are in order. A message in hand keeps its lease.
#[tokio::test(flavor = "multi_thread")]
async fn messages_come_soon_after_the_network_is_back() {
    let server = Server::start().await;
    let mut cases = JoinSet::new();
    for away in [3, 6, 10, 20].map(Duration::from_secs) {
        let mut network = Network::before(server.with(|fake| fake.port())).await;
        let broker = network.options(&server).connect().await.unwrap();
        let (direct, binding) = (server.connect().await, unique());
        ensure(&*direct, &binding).await;
        cases.spawn(async move {
            let mut consumer = broker.subscribe(&binding).await.unwrap();
            let mut seen = Seen::default();
            let before = ["a", "b", "held"].map(|key| message(key, 0));
            assert!(fates(&*direct, &binding.topic, &before).await.iter().all(Fate::is_stored));
            while seen.numbers.len() < 2 || seen.held.is_empty() {
                seen.consume(&mut *consumer).await;
            }
            // Acknowledgements are sent within a tenth of a second.
            sleep(Duration::from_millis(500)).await;
            network.away().await;
            let started = Instant::now();
            let during: Vec<Message> = (1..20).flat_map(|number| ["a", "b"].map(|key| message(key, number))).collect();
            assert!(fates(&*direct, &binding.topic, &during).await.iter().all(Fate::is_stored));
            while started.elapsed() < away {
                seen.consume(&mut *consumer).await;
            }
            assert!(seen.numbers.values().all(|numbers| *numbers == [0]), "the network was there: {seen:?}");
            network.back().await;
            let back = Instant::now();
            let all: Vec<usize> = (0..20).collect();
            let mut first = None;
            while seen.numbers.values().any(|numbers| *numbers != all) {
                assert!(back.elapsed() < SOON, "{away:?}: {seen:?}");
                seen.consume(&mut *consumer).await;
                if seen.numbers.values().any(|numbers| numbers.len() > 1) {
                    first.get_or_insert_with(|| back.elapsed());
                }
            }
            let silent = first.unwrap();
            assert!(silent < Duration::from_secs(8), "after {away:?} the consumer was silent for {silent:?}");
            // A lease of 10 seconds outlives a short outage, and is extended again.
            while back.elapsed() < Duration::from_secs(12) {
                seen.consume(&mut *consumer).await;
            }
            assert!(away > Duration::from_secs(5) || seen.held.len() == 1, "{away:?}: {seen:?}");
            let first = seen.held.remove(0);
            assert!(consumer.settle(vec![(first, Settle::Ack)]).await[0].is_done());
            let drained = consumer.drain(Duration::from_secs(10)).await;
            assert!(drained.error.is_none(), "{drained:?}");
        });
    }
    cases.join_all().await;
}

/// Messages go to another port, and with a regional endpoint to another service, than the declarations: one that is away shows
/// although the other one answers, to a program that connects, and to the health check and the consumer of one that is.
#[tokio::test(flavor = "multi_thread")]
async fn each_half_of_the_service_is_asked_whether_it_answers() {
    let server = Server::start().await;
    let (calls, admin) = server.with(|fake| (fake.port(), fake.admin_port()));
    for (calls, admin) in [(1, admin), (calls, 1)] {
        let url = format!("pubsub://{PROJECT}?endpoint=http://127.0.0.1:{calls}&admin=http://127.0.0.1:{admin}");
        let options = GoogleBroker::options(&url).unwrap().call_timeout(Duration::from_secs(2));
        let error = timeout(Duration::from_secs(4), options.connect()).await.unwrap().unwrap_err();
        assert!(error.is_transient(), "{url}: {error:?}");
    }
    let mut network = Network::before(calls).await;
    let broker = network.options(&server).call_timeout(Duration::from_secs(2)).connect().await.unwrap();
    let binding = unique();
    ensure(&broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    broker.health().await.unwrap();
    network.away().await;
    let error = timeout(Duration::from_secs(4), broker.health()).await.unwrap().unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let started = Instant::now();
    while let Ok(signal) = consumer.next(&Room::of(1)).await {
        assert!(matches!(signal, Signal::Idle), "{signal:?}");
        assert!(started.elapsed() < Duration::from_secs(20), "the consumer looks idle");
    }
    network.back().await;
    timeout(SOON, async { while broker.health().await.is_err() {} }).await.unwrap();
    let stored = fates(&broker, &binding.topic, &[message("k", 7)]).await;
    assert!(stored[0].is_stored(), "{stored:?}");
    let mut seen = Seen::default();
    while seen.numbers.is_empty() {
        assert!(started.elapsed() < SOON, "the message does not come");
        seen.consume(&mut *consumer).await;
    }
    assert_eq!(seen.numbers["k"], [7]);
}
