//! The programs: each runs a relay or an inbox, with faults of its store, until it dies or is shut down.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use recount_core::{Consumers, Recount, Status, Store};
use recount_messaging::{Service, Subscriber};
use recount_testing::{Call, Fault, FaultyStore};

use super::broker::Noted;
use super::world::Sim;
use crate::common::{Enters, Ledger, binding, publication};

/// How long a handler may take.
const TIME_LIMIT: Duration = Duration::from_secs(5);

type Faults = FaultyStore<Arc<dyn Store>>;

/// A running relay, inbox, or both.
pub(crate) struct Program {
    consumers: Vec<Consumers>,
}

impl Program {
    /// Panics if a consumer has given up: each mishap here is one that time heals.
    fn assert_alive(&self) {
        for consumers in &self.consumers {
            for progress in consumers.progress() {
                assert!(!matches!(progress.status, Status::Stopped { .. }), "it gave up: {progress:?}");
            }
        }
    }

    pub(crate) async fn shut_down(self) {
        self.assert_alive();
        for consumers in self.consumers {
            consumers.shutdown().await;
        }
    }

    /// Ends it suddenly: nothing is settled.
    fn die(self) {
        self.assert_alive();
        drop(self.consumers);
    }
}

fn service(sim: &Sim, store: impl Store, name: &str) -> Service {
    let broker = Noted { broker: sim.server.connect(), stored: Arc::clone(&sim.stored) };
    let recount = Recount::builder(store).register::<Ledger>().build();
    Service::new(recount, Arc::new(broker), name).unwrap().unannounced()
}

fn relay(sim: &Sim, store: impl Store) -> Consumers {
    service(sim, store, "orders").publish(publication()).start()
}

fn inbox(sim: &Sim, store: impl Store) -> Consumers {
    let subscriber = Subscriber::new(binding()).handle(Enters(sim.plan.clone())).unwrap();
    service(sim, store, "ledgers").subscribe(subscriber.retry(sim.retry).time_limit(TIME_LIMIT)).start()
}

/// A relay and an inbox without faults.
pub(crate) fn healthy(sim: &Sim) -> Program {
    Program { consumers: vec![relay(sim, Arc::clone(&sim.orders)), inbox(sim, Arc::clone(&sim.ledgers))] }
}

/// Runs programs one after the other, for ever.
pub(crate) async fn life(sim: &Sim, relays: bool, mut random: Rng) {
    loop {
        let store = if relays { &sim.orders } else { &sim.ledgers };
        let faults: Faults = FaultyStore::new(Arc::clone(store));
        if sim.faulty {
            faults.fail_each(chooser(random.fork()));
        }
        let consumers = if relays { relay(sim, faults.clone()) } else { inbox(sim, faults.clone()) };
        let program = Program { consumers: vec![consumers] };
        if !sim.faulty {
            std::future::pending::<()>().await;
        }
        let life = Duration::from_millis(random.u64(1_000..40_000));
        let hangs = tokio::time::timeout(life, faults.paused()).await.is_ok();
        if hangs && relays && random.bool() {
            // It goes on later, when another relay may have taken over.
            pause(&mut random, 20_000).await;
            faults.release();
            pause(&mut random, 2_000).await;
        }
        if !hangs && random.u8(..3) == 0 {
            sim.note(format_args!("{} shuts down", name(relays)));
            program.shut_down().await;
        } else {
            sim.note(format_args!("{} dies, hanging: {hangs}", name(relays)));
            program.die();
        }
        pause(&mut random, 6_000).await;
    }
}

fn name(relays: bool) -> &'static str {
    if relays { "a relay" } else { "an inbox" }
}

/// Chooses the faults of a program's calls of its store.
fn chooser(mut random: Rng) -> impl FnMut(&Call<'_>) -> Option<Fault> + Send + 'static {
    let mut before_pause = random.u32(1..600);
    // A third of the programs has no other fault.
    let faulty = random.u8(..3) > 0;
    move |_| {
        before_pause = before_pause.saturating_sub(1);
        if before_pause == 1 {
            return Some(if random.bool() { Fault::PauseBefore } else { Fault::PauseAfter });
        }
        if !faulty {
            return None;
        }
        match random.u8(..120) {
            0 => Some(Fault::Before),
            1 => Some(Fault::After),
            2 => Some(Fault::Delay(delay(&mut random))),
            3 => Some(Fault::DelayAnswer(delay(&mut random))),
            _ => None,
        }
    }
}

fn delay(random: &mut Rng) -> Duration {
    Duration::from_millis(random.u64(1..300))
}

pub(crate) async fn pause(random: &mut Rng, longest: u64) {
    tokio::time::sleep(Duration::from_millis(random.u64(..longest))).await;
}
