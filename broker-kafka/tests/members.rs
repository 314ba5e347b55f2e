//! Two programs of a service take 20,000 messages from a topic, while members join and leave each second, one key is slow, and the
//! programs are killed: nothing is lost, each key keeps its order, and each message takes effect once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{Server, ensure};
use recount_broker_kafka::KafkaBroker;
use recount_core::{Aggregate, Apply, BoxError, Command as Order, Commands, Event, Handle, Recount};
use recount_messaging::{
    Binding, Broker, Group, Incoming, Message, MessageHandler, MessageId, Outgoing, Room, Service, Subscriber, Topic,
};
use recount_store_sqlite::SqliteStore;
use tokio::time::{Instant, sleep, timeout};

const MESSAGES: usize = 20_000;
const KEYS: usize = 100;
/// Where a program that was started by the test finds the broker and the store.
const BROKER: &str = "RECOUNT_MEMBER_BROKER";
const STORE: &str = "RECOUNT_MEMBER_STORE";
const TOPIC: &str = "RECOUNT_MEMBER_TOPIC";

#[derive(Event, Clone, Debug)]
#[event(name = "orders", published, unlocked)]
enum OrderMessage {
    Placed { order: String, n: u32 },
}

#[derive(Event, Clone, Debug)]
#[event(name = "ledger", unlocked)]
enum LedgerEvent {
    Entered { n: u32 },
}

#[derive(Order, Clone)]
#[command(aggregate = Ledger)]
struct Enter {
    #[command(id)]
    order: String,
    n: u32,
}

/// The numbers of an order, as they were entered: it takes any number at any time.
#[derive(Aggregate, Clone, Default, Debug)]
#[aggregate(name = "ledger", id = String, event = LedgerEvent, error = std::convert::Infallible, commands(Enter))]
struct Ledger {
    entered: Vec<u32>,
}

impl Apply for Ledger {
    fn apply(&mut self, LedgerEvent::Entered { n }: &LedgerEvent) {
        self.entered.push(*n);
    }
}

impl Handle<Enter> for Ledger {
    fn handle(&self, Enter { n, .. }: Enter) -> Result<Vec<LedgerEvent>, std::convert::Infallible> {
        Ok(vec![LedgerEvent::Entered { n }])
    }
}

struct Enters;

impl MessageHandler for Enters {
    type Message = OrderMessage;

    async fn handle(
        &self,
        OrderMessage::Placed { order, n }: &OrderMessage,
        _: &Incoming<'_>,
    ) -> Result<Commands, BoxError> {
        if order == "key-0" {
            sleep(Duration::from_millis(50)).await;
        }
        Ok(Commands::send(Enter { order: order.clone(), n: *n }))
    }
}

fn binding(topic: &str) -> Binding {
    Binding::new(Topic::new(topic).unwrap(), Group::new("ledgers").unwrap())
}

async fn recount(file: &str) -> Recount {
    Recount::builder(Arc::new(SqliteStore::open(file).await.unwrap())).register::<Ledger>().build()
}

/// A program of the service, if the test below has started it: it runs until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn member() {
    let Ok(url) = std::env::var(BROKER) else { return };
    let (file, topic) = (std::env::var(STORE).unwrap(), std::env::var(TOPIC).unwrap());
    let broker = Arc::new(KafkaBroker::connect(&url).await.unwrap());
    let subscriber = Subscriber::new(binding(&topic)).handle(Enters).unwrap();
    let service = Service::new(recount(&file).await, broker, "ledgers").unwrap().unannounced().subscribe(subscriber);
    let _running = service.start();
    std::future::pending::<()>().await;
}

struct Program(Child);

impl Program {
    fn start(url: &str, store: &str, topic: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "member", "--nocapture"]).stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.env(BROKER, url).env(STORE, store).env(TOPIC, topic).spawn().unwrap())
    }
}

impl Drop for Program {
    /// By SIGKILL.
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// confluentinc/librdkafka#2933: a commit that fails during a rebalance stalls the fetchers. Here rebalances and commits go on all
/// the time, and the messages must all come.
#[tokio::test(flavor = "multi_thread")]
async fn members_that_are_killed_under_rebalances_lose_nothing_and_do_nothing_twice() {
    let server = Server::any().await;
    let url = format!("{}?session_timeout=6", server.direct);
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("ledgers.db").display().to_string();
    let topic = format!("members-{}", uuid::Uuid::now_v7().simple());
    let (broker, bound) = (Arc::new(KafkaBroker::connect(&url).await.unwrap()), binding(&topic));
    ensure(&*broker, &bound).await;
    let service = recount(&store).await;
    let start = || Program::start(&url, &store, &topic);
    let mut programs = [start(), start()];
    let started = Instant::now();

    let publishing = async {
        for first in (0..MESSAGES).step_by(500) {
            let batch = (first..first + 500).map(|number| {
                let (key, n) = (format!("key-{}", number % KEYS), number / KEYS);
                let data = format!("{{\"order\":\"{key}\",\"n\":{n}}}");
                let id = MessageId::new(format!("{key}-{n}")).unwrap();
                Outgoing::new(Message::new(id, "orders", "orders.placed", data).with_key(&key))
            });
            for fate in broker.publish(&bound.topic, batch.collect()).await {
                assert!(fate.is_stored(), "{fate:?}");
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    let entered = async || service.store().head().await.unwrap().get();
    let killing = async {
        for round in 0..4 {
            sleep(Duration::from_secs(6)).await;
            programs[round % 2] = start();
        }
    };
    // A third member joins and leaves each second, and handles nothing.
    let unrest = async {
        for _ in 0..20 {
            let mut guest = broker.subscribe(&bound).await.unwrap();
            let until = Instant::now() + Duration::from_secs(1);
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                // Deliveries are dropped, and so released.
                let _ = timeout(left, guest.next(&Room::of(10))).await;
            }
            guest.drain(Duration::from_secs(5)).await;
        }
    };
    tokio::join!(publishing, killing, unrest);
    while entered().await < MESSAGES as u64 {
        assert!(started.elapsed() < Duration::from_secs(240), "{} of {MESSAGES} have taken effect", entered().await);
        sleep(Duration::from_millis(200)).await;
    }
    // Nothing more comes.
    sleep(Duration::from_secs(3)).await;
    drop(programs);
    for key in (0..KEYS).map(|key| format!("key-{key}")) {
        let ledger = service.load::<Ledger>(&key).await.unwrap();
        assert!(ledger.entered.iter().copied().eq(0..(MESSAGES / KEYS) as u32), "{key}: {:?}", ledger.entered);
    }
    println!("{MESSAGES} messages in {:?}", started.elapsed());
}
