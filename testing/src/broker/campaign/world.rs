//! Two services of one seed, with programs that die and start again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use recount_core::{Consumers, Recount, Status, Store};
use recount_messaging::{
    Binding, Broker, CircuitSettings, DeadLetters, Group, Publication, RetryPlan, Service, Subscriber, Topic,
};
use tokio::sync::watch;
use tokio::time::sleep;

use super::history::History;
use super::mortal::{Death, Mortal};
use super::proxy::Proxy;
use super::services::{Enters, Failures, Ledger, OrderEvent, OrderMessage, Place};
use super::{Scale, Server};

/// Pauses that a test waits for.
const CIRCUIT: CircuitSettings =
    CircuitSettings { failures: 5, first_pause: Duration::from_millis(200), longest_pause: Duration::from_secs(1) };
const LEASE: Duration = Duration::from_secs(3);
/// The bytes that a message takes on a connection, roughly.
const BYTES: u32 = 800;

/// The part of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Relay,
    Inbox,
}

/// The services of one seed.
pub(super) struct World {
    pub(super) seed: u64,
    scale: Scale,
    server: Arc<dyn Server>,
    orders: Arc<dyn Store>,
    ledgers: Arc<dyn Store>,
    pub(super) failures: Arc<Failures>,
    history: Arc<History>,
    topic: Topic,
    /// How often each part has died, and how many connections were cut.
    deaths: [AtomicU32; 2],
    cuts: AtomicU32,
}

impl World {
    pub(super) fn new(
        seed: u64,
        scale: Scale,
        server: Arc<dyn Server>,
        [orders, ledgers]: [Arc<dyn Store>; 2],
    ) -> Self {
        let topic = Topic::new(&format!("campaign-{seed}")).expect("a name");
        let failures = Arc::new(Failures::new(seed));
        Self {
            seed,
            scale,
            server,
            orders,
            ledgers,
            failures,
            history: Arc::new(History::new()),
            topic,
            deaths: Default::default(),
            cuts: AtomicU32::new(0),
        }
    }

    fn key(number: u32) -> String {
        format!("order-{number}")
    }

    /// How many messages each key has.
    fn of_key(&self) -> u32 {
        self.scale.messages / self.scale.keys
    }

    pub(super) fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(Arc::clone(&self.ledgers))
    }

    /// Places all orders.
    pub(super) async fn place(&self) {
        let recount = Recount::new(Arc::clone(&self.orders));
        for n in 0..self.of_key() {
            for key in 0..self.scale.keys {
                let _ = recount.dispatch(Place { order: Self::key(key), n }).await.expect("an order is placed");
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many messages have taken effect.
    pub(super) async fn entered(&self) -> u64 {
        self.ledgers.head().await.expect("the store answers").get()
    }

    /// Runs programs of this part, one after the other, until it is told to end. Each has connections of its own.
    pub(super) async fn keep_running(&self, part: Part, mut end: watch::Receiver<bool>) {
        let (place, cuts, longest) =
            (part as usize, self.scale.cuts, self.scale.messages * BYTES / (self.scale.cuts + 1));
        let mut random = fastrand::Rng::with_seed(self.seed.wrapping_mul(2) + place as u64);
        let proxy = Proxy::before(self.server.port(), random.u64(..), cuts, longest).await.expect("a port is free");
        loop {
            let broker = tokio::select! {
                broker = self.connect(proxy.port) => broker,
                () = told(&mut end) => break,
            };
            let died = self.deaths[place].load(Ordering::Relaxed);
            // Inboxes acknowledge many messages by one call.
            let calls = self.scale.messages / (self.scale.deaths[place] + 1) / if part == Part::Inbox { 16 } else { 1 };
            let death = Death::at(if died < self.scale.deaths[place] { random.u32(1..=calls) } else { 0 });
            let running = self.start(part, Arc::new(self.mortal(broker, &death)));
            tokio::select! {
                () = death.came() => {}
                () = stopped(&running) => panic!("seed {}: the {part:?} gave up: {:?}", self.seed, running.progress()),
                () = told(&mut end) => {
                    running.shutdown().await;
                    break;
                }
            }
            // The program dies: nothing is settled, released or closed.
            drop(running);
            proxy.cut_all();
            self.deaths[place].fetch_add(1, Ordering::Relaxed);
        }
        self.cuts.fetch_add(proxy.cuts(), Ordering::Relaxed);
    }

    async fn connect(&self, port: u16) -> Arc<dyn Broker> {
        loop {
            match self.server.connect(port).await {
                Ok(broker) => return broker,
                Err(error) => assert!(error.is_transient(), "seed {}: {error:?}", self.seed),
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    fn mortal(&self, broker: Arc<dyn Broker>, death: &Arc<Death>) -> Mortal {
        Mortal { broker, death: Arc::clone(death), history: Arc::clone(&self.history) }
    }

    fn start(&self, part: Part, broker: Arc<dyn Broker>) -> Consumers {
        match part {
            Part::Relay => {
                let recount = Recount::new(Arc::clone(&self.orders));
                let publication = Publication::new("orders", self.topic.clone()).circuit(CIRCUIT);
                let publication = publication.map(|event: &OrderEvent, _| match event {
                    OrderEvent::Placed { order, n } => Some(OrderMessage::Placed { order: order.clone(), n: *n }),
                });
                Service::new(recount, broker, "orders").expect("a name").unannounced().publish(publication).start()
            }
            Part::Inbox => {
                let recount = Recount::builder(Arc::clone(&self.ledgers)).register::<Ledger>().build();
                let binding = Binding::new(self.topic.clone(), Group::new("ledgers").expect("a name")).lease(LEASE);
                let plan = RetryPlan {
                    in_place: 2,
                    first_pause: Duration::from_millis(5),
                    stored: 4,
                    first_delay: Duration::from_millis(300),
                    ..RetryPlan::default()
                };
                let subscriber = Subscriber::new(binding).retry(plan).circuit(CIRCUIT);
                let subscriber = subscriber.handle(Enters(Arc::clone(&self.failures))).expect("one handler");
                Service::new(recount, broker, "ledgers").expect("a name").unannounced().subscribe(subscriber).start()
            }
        }
    }

    /// The keys that are not as they must be, with the reason.
    pub(super) async fn defects(&self) -> Vec<String> {
        let recount = Recount::builder(Arc::clone(&self.ledgers)).register::<Ledger>().build();
        let mut defects = Vec::new();
        for key in (0..self.scale.keys).map(Self::key) {
            let entered = recount.load::<Ledger>(&key).await.map(|ledger| ledger.entered).unwrap_or_default();
            if !entered.iter().copied().eq(0..self.of_key()) {
                let lost = (0..self.of_key()).filter(|n| !entered.contains(n));
                let lost: Vec<_> = lost.take(3).map(|n| (n, self.history.of_message(&key, n))).collect();
                let lanes = self.history.of_lanes();
                defects.push(format!("{key}: {}: {lost:#?}, lanes: {lanes:#?}", describe(&entered, self.of_key())));
            }
        }
        defects
    }

    /// The counts of events so far.
    pub(super) fn summary(&self, redriven: usize) -> String {
        let [relays, inboxes] = self.deaths.each_ref().map(|deaths| deaths.load(Ordering::Relaxed));
        format!(
            "seed {}: {} calls of the handler, {} of them repeated; {relays} dead relays, {inboxes} dead inboxes, {} cut connections, {redriven} dead letters redriven",
            self.seed,
            self.failures.calls(),
            self.failures.repeats(),
            self.cuts.load(Ordering::Relaxed),
        )
    }

    /// Demands that the campaign was one.
    pub(super) fn assert_faults(&self, redriven: usize) {
        let happened = self.deaths.each_ref().map(|deaths| deaths.load(Ordering::Relaxed));
        // The last death may be due at a call that never comes: fewer calls do where many messages are settled at once.
        assert!(happened.iter().all(|deaths| *deaths > 0), "seed {}: deaths {happened:?}", self.seed);
        assert!(redriven > 0, "seed {}: no message became a dead letter", self.seed);
        assert!(self.cuts.load(Ordering::Relaxed) > 0, "seed {}: no connection was cut", self.seed);
    }
}

/// The fault in the numbers of a key.
fn describe(entered: &[u32], expected: u32) -> String {
    let mut seen = std::collections::BTreeSet::new();
    let twice: Vec<u32> = entered.iter().copied().filter(|n| !seen.insert(*n)).collect();
    let lost: Vec<u32> = (0..expected).filter(|n| !seen.contains(n)).collect();
    let late: Vec<&[u32]> = entered.windows(2).filter(|pair| pair[1] < pair[0]).collect();
    format!("missing {lost:?}, twice {twice:?}, out of order {late:?}")
}

/// Waits until the program is told to end.
async fn told(end: &mut watch::Receiver<bool>) {
    let _ = end.wait_for(|end| *end).await;
}

/// Waits until a consumer has given up.
async fn stopped(running: &Consumers) {
    while !running.progress().iter().any(|progress| matches!(progress.status, Status::Stopped { .. })) {
        sleep(Duration::from_millis(100)).await;
    }
}
