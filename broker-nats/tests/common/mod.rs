//! The server under test, behind a proxy that can cut connections.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use recount_broker_nats::NatsBroker;
use recount_messaging::{
    Binding, Broker, BrokerConsumer, Delivery, Fate, Group, LaneId, Message, MessageId, Outgoing, Plan, Returns, Room,
    Settle, Signal, Ticket, TicketParts, Topic,
};
use recount_servers::{NATS, Nats};
use recount_testing::broker::{Abilities, Harness};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet, block_in_place};
use tokio::time::Instant;

/// A server, and the address of a proxy before it.
pub(crate) struct Server {
    /// `None` if the environment names a server.
    private: Option<Mutex<Nats>>,
    /// Without the proxy.
    pub(crate) direct: String,
    proxy: Proxy,
}

impl Server {
    /// The server that the environment names, or a private one.
    pub(crate) async fn any() -> Self {
        match std::env::var(NATS) {
            Ok(url) if !url.is_empty() => Self::behind_proxy(None, url).await,
            _ => Self::private().await,
        }
    }

    /// A private server, which may be killed and frozen.
    pub(crate) async fn private() -> Self {
        let nats = block_in_place(|| Nats::start().unwrap());
        let url = nats.url();
        Self::behind_proxy(Some(Mutex::new(nats)), url).await
    }

    async fn behind_proxy(private: Option<Mutex<Nats>>, direct: String) -> Self {
        let target = direct.rsplit(['/', '@']).next().unwrap().to_owned();
        Self { private, direct, proxy: Proxy::before(target).await }
    }

    /// The address through the proxy.
    pub(crate) fn url(&self) -> String {
        let port = self.proxy.port;
        match self.direct.rsplit_once('@') {
            Some((login, _)) => format!("{login}@127.0.0.1:{port}"),
            None => format!("nats://127.0.0.1:{port}"),
        }
    }

    /// The private server.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Nats) -> T) -> T {
        let nats = self.private.as_ref().expect("a private server");
        block_in_place(|| act(&mut nats.lock().unwrap()))
    }

    pub(crate) async fn connect(&self) -> Arc<dyn Broker> {
        Arc::new(NatsBroker::options(&self.url()).unwrap().connect().await.unwrap())
    }
}

#[async_trait]
impl Harness for Server {
    async fn broker(&self) -> Arc<dyn Broker> {
        // A window that a test waits for.
        let options = NatsBroker::options(&self.url()).unwrap().duplicate_window(Duration::from_secs(10));
        Arc::new(options.connect().await.unwrap())
    }

    async fn kill(&self) {
        self.with(Nats::kill);
    }

    async fn start(&self) {
        self.with(|nats| nats.start_again().unwrap());
    }

    async fn cut_connections(&self) {
        self.proxy.cut();
    }

    async fn freeze(&self) {
        self.with(|nats| nats.freeze());
    }

    async fn thaw(&self) {
        self.with(|nats| nats.resume());
    }

    async fn publish_raw(&self, topic: &Topic, key: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        let client = async_nats::connect(&self.direct).await.unwrap();
        let mut map = async_nats::HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, std::str::from_utf8(value).unwrap());
        }
        let subject = format!("{topic}.{}", topic.lane_of(key));
        client.publish_with_headers(subject, map, body.to_vec().into()).await.unwrap();
        client.flush().await.unwrap();
    }

    fn abilities(&self) -> Abilities {
        let private = self.private.is_some();
        Abilities { kill: private, freeze: private, ..Abilities::default() }
    }
}

/// Forwards connections, until they are cut.
struct Proxy {
    port: u16,
    connections: Arc<Mutex<JoinSet<()>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    async fn before(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections: Arc<Mutex<JoinSet<()>>> = Arc::default();
        let of_task = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = target.clone();
                of_task.lock().unwrap().spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self { port, connections, accepting }
    }

    fn cut(&self) {
        self.connections.lock().unwrap().abort_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Names that no other test uses.
pub(crate) fn unique(lanes: u16) -> Binding {
    let name = |start| format!("{start}-{}", uuid::Uuid::now_v7().simple());
    let topic = Topic::new(&name("t")).unwrap().with_lanes(lanes.try_into().unwrap());
    Binding::new(topic, Group::new(&name("g")).unwrap())
}

/// Declares a binding.
pub(crate) async fn ensure(broker: &dyn Broker, binding: &Binding) {
    let plan = Plan { bindings: vec![binding.clone()], ..Plan::default() };
    broker.ensure(&plan, false).await.unwrap();
}

/// A message of a key with a number as its data.
pub(crate) fn message(key: &str, number: usize) -> Message {
    let id = MessageId::new(uuid::Uuid::now_v7().to_string()).unwrap();
    Message::new(id, "tests", "tests.numbered", number.to_string()).with_key(key)
}

pub(crate) fn number(message: &Message) -> usize {
    std::str::from_utf8(&message.data).unwrap().parse().unwrap()
}

/// Publishes messages, which must be stored.
pub(crate) async fn publish(broker: &dyn Broker, topic: &Topic, messages: &[Message]) {
    let batch = messages.iter().cloned().map(Outgoing::new).collect();
    for fate in broker.publish(topic, batch).await {
        assert!(matches!(fate, Fate::Stored(_)), "{fate:?}");
    }
}

/// Takes deliveries until one comes.
pub(crate) async fn take(consumer: &mut dyn BrokerConsumer, room: usize) -> Vec<Delivery> {
    let started = Instant::now();
    loop {
        match consumer.next(&Room::of(room)).await {
            Ok(Signal::Deliveries(deliveries)) => return deliveries,
            Ok(_) => {}
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no delivery comes");
    }
}

/// Takes and acknowledges deliveries until none has come for this time.
pub(crate) async fn take_all(consumer: &mut dyn BrokerConsumer, quiet: Duration) -> Vec<Delivery> {
    let (mut all, mut last) = (Vec::new(), Instant::now());
    while last.elapsed() < quiet {
        match consumer.next(&Room::of(100)).await {
            Ok(Signal::Deliveries(deliveries)) => {
                last = Instant::now();
                for mut delivery in deliveries {
                    let ticket = std::mem::replace(&mut delivery.ticket, spent());
                    assert!(consumer.settle(vec![(ticket, Settle::Ack)]).await[0].is_done());
                    all.push(delivery);
                }
            }
            Ok(_) => {}
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
    }
    all
}

/// A ticket of no consumer.
fn spent() -> Ticket {
    let parts = TicketParts { lane: LaneId(0), generation: 0, tag: 0, handle: bytes::Bytes::new() };
    Ticket::new(parts, &Returns::default())
}
