//! The two services of a simulation: their stores, broker, handlers and what is expected of them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures_util::TryStreamExt;
use recount_core::{Event, EventStore, Namespace, Position, ReadAll, Recount, StateStore, Store, Timestamp};
use recount_messaging::{
    Broker, DeadLetters, InProcess, LetterSummary, Plan as Declared, Profile, RetryPlan, Settings,
};
use recount_store_memory::MemoryStore;
use recount_testing::FaultyStore;

use super::expected::Expected;
use crate::common::{Fail, Ledger, OrderEvent, Plan, binding, topic};

/// An event that is to be published.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    pub(crate) position: Position,
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) n: u32,
}

/// The two services, and the broker between them.
pub(crate) struct Sim {
    pub(crate) faulty: bool,
    pub(crate) server: InProcess,
    pub(crate) orders: Arc<dyn Store>,
    pub(crate) ledgers: Arc<dyn Store>,
    pub(crate) plan: Plan,
    pub(crate) retry: RetryPlan,
    /// The keys, and how many events each has in the end.
    pub(crate) keys: Vec<(String, u32)>,
    /// The ids of messages that the broker has confirmed.
    pub(crate) stored: Arc<Mutex<BTreeSet<String>>>,
    pub(crate) expected: Mutex<Expected>,
    pub(crate) client: Recount,
    books: Recount,
    started: tokio::time::Instant,
    log: Mutex<String>,
}

impl Sim {
    pub(crate) async fn new(seed: u64, random: &mut Rng) -> Self {
        let profile = Profile::ALL[usize::try_from(seed % 7).unwrap()];
        let faulty = random.u8(..4) > 0;
        let settings = Settings::new(profile).seed(seed).start(Timestamp::UNIX_EPOCH);
        let server = InProcess::with_settings(settings);
        let declared = Declared { topics: vec![topic()], bindings: vec![binding()] };
        let _ = server.ensure(&declared, false).await.unwrap();
        let store = || -> Arc<dyn Store> { Arc::new(FaultyStore::waking_in_order(MemoryStore::new())) };
        let (orders, ledgers) = (store(), store());
        let keys = (0..random.u32(3..=6)).map(|key| (format!("key {key}"), random.u32(5..=20))).collect();
        let retry = RetryPlan {
            in_place: random.u32(1..=3),
            stored: random.u32(0..=3),
            first_delay: Duration::from_millis(random.u64(100..3000)),
            ..RetryPlan::default()
        };
        let sim = Self {
            faulty,
            server,
            client: Recount::new(Arc::clone(&orders)),
            books: Recount::new(Arc::clone(&ledgers)),
            orders,
            ledgers,
            plan: Plan::default(),
            retry,
            keys,
            stored: Arc::default(),
            expected: Mutex::default(),
            started: tokio::time::Instant::now(),
            log: Mutex::default(),
        };
        sim.note(format_args!("{profile:?}, faults: {faulty}, {:?}, {:?}", sim.keys, sim.retry));
        if faulty {
            sim.plan_failures(random);
        }
        sim
    }

    /// Some messages fail.
    fn plan_failures(&self, random: &mut Rng) {
        for (key, count) in &self.keys {
            for n in 0..*count {
                let fail = match random.u8(..40) {
                    0 => Fail::Once,
                    1 => Fail::Times(random.u32(2..8)),
                    2 => Fail::Always,
                    3 => Fail::Permanently,
                    4 => Fail::Outage,
                    5 => Fail::Panic,
                    6 => Fail::Hang,
                    _ => continue,
                };
                self.note(format_args!("{key} {n} fails: {fail:?}"));
                self.plan.fail(key, n, fail);
            }
        }
    }

    /// Ends all faults.
    pub(crate) fn heal(&self) {
        let faults = self.server.faults();
        let _ = faults.cancel_publishes();
        faults.start();
        faults.thaw();
        faults.set_latency(Duration::ZERO);
        self.plan.heal();
        self.note(format_args!("healed"));
    }

    /// The numbers that were entered for a key.
    pub(crate) async fn entered(&self, key: &str) -> Vec<u32> {
        let ledger = self.books.load::<Ledger>(&key.to_owned()).await;
        ledger.map(|ledger| ledger.entered).unwrap_or_default()
    }

    pub(crate) fn letters_of(store: &Arc<dyn Store>) -> DeadLetters {
        DeadLetters::new(Arc::clone(store))
    }

    /// The parked messages of relays and inboxes.
    pub(crate) async fn parked(&self) -> [Vec<LetterSummary>; 2] {
        [
            Self::letters_of(&self.orders).list(None).await.unwrap(),
            Self::letters_of(&self.ledgers).list(None).await.unwrap(),
        ]
    }

    /// The events that are to be published, in their order.
    pub(crate) async fn committed(&self) -> Vec<Committed> {
        let query = OrderEvent::query();
        let recorded: Vec<_> = self.orders.read_all(ReadAll::new(query)).try_collect().await.unwrap();
        let mut all = Vec::new();
        for recorded in recorded {
            let event = OrderEvent::from_recorded(&recorded).unwrap();
            if let OrderEvent::Placed { order, n } = event {
                all.push(Committed { position: recorded.position, id: recorded.data.id.to_string(), key: order, n });
            }
        }
        all
    }

    /// The position up to which the relays have marked events as published.
    pub(crate) async fn mark(&self) -> u64 {
        let key = Namespace::CONSUMER.key("relay/orders").unwrap();
        let Some(entry) = self.orders.get(&key).await.unwrap() else { return 0 };
        let stored: serde_json::Value = serde_json::from_slice(&entry.value).unwrap();
        stored["mark"]["position"].as_u64().unwrap_or(0)
    }

    /// Whether any message waits at the broker.
    pub(crate) fn backlog(&self) -> usize {
        self.server.faults().backlog(&binding()).unwrap()
    }

    pub(crate) fn note(&self, text: std::fmt::Arguments<'_>) {
        let mut log = self.log.lock().unwrap();
        writeln!(log, "{:>9.3} {text}", self.started.elapsed().as_secs_f64()).unwrap();
        if std::env::var_os("RECOUNT_SEED").is_some() {
            println!("{:>9.3} {text}", self.started.elapsed().as_secs_f64());
        }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}
