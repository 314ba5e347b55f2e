//! Two services: one has orders and publishes them, the other enters them into ledgers.
#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod layers;
pub(crate) mod presence;
pub(crate) mod profiles;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use recount_core::{
    Aggregate, Apply, BoxError, Command, Commands, Consumers, Event, Handle, Recount, RetryBudget, Status,
    TransientError,
};
use recount_messaging::{
    Binding, Broker, DeadLetters, Group, Incoming, LetterState, LetterSummary, MessageHandler, PermanentError,
    Publication, RetryPlan, Service, Subscriber, Topic,
};
use recount_store_memory::MemoryStore;

/// An event of the service that has orders. Private.
#[derive(Event, Clone, Debug)]
#[event(name = "order", unlocked)]
pub(crate) enum OrderEvent {
    Placed { order: String, n: u32 },
    Noted,
}

/// What other services hear of.
#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "orders", published, unlocked)]
pub(crate) enum OrderMessage {
    Placed { order: String, n: u32 },
}

#[derive(Command, Clone)]
#[command(aggregate = Order)]
pub(crate) struct Place {
    #[command(id)]
    pub(crate) order: String,
    pub(crate) n: u32,
}

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "order", id = String, event = OrderEvent, error = std::convert::Infallible, commands(Place))]
pub(crate) struct Order;

impl Apply for Order {
    fn apply(&mut self, _: &OrderEvent) {}
}

impl Handle<Place> for Order {
    fn handle(&self, Place { order, n }: Place) -> Result<Vec<OrderEvent>, std::convert::Infallible> {
        Ok(vec![OrderEvent::Noted, OrderEvent::Placed { order, n }])
    }
}

#[derive(Event, Clone, Debug)]
#[event(name = "ledger", unlocked)]
pub(crate) enum LedgerEvent {
    Entered { n: u32 },
}

#[derive(Debug, thiserror::Error, serde::Serialize)]
pub(crate) enum LedgerError {
    #[error("{n} is not entered")]
    Odd { n: u32 },
}

#[derive(Command, Clone)]
#[command(aggregate = Ledger)]
pub(crate) struct Enter {
    #[command(id)]
    pub(crate) order: String,
    pub(crate) n: u32,
}

/// The numbers of an order, as they were entered.
#[derive(Aggregate, Clone, Default, Debug)]
#[aggregate(name = "ledger", id = String, event = LedgerEvent, error = LedgerError, commands(Enter))]
pub(crate) struct Ledger {
    pub(crate) entered: Vec<u32>,
}

impl Apply for Ledger {
    fn apply(&mut self, LedgerEvent::Entered { n }: &LedgerEvent) {
        self.entered.push(*n);
    }
}

impl Handle<Enter> for Ledger {
    fn handle(&self, Enter { n, .. }: Enter) -> Result<Vec<LedgerEvent>, LedgerError> {
        if n == 666 { Err(LedgerError::Odd { n }) } else { Ok(vec![LedgerEvent::Entered { n }]) }
    }
}

/// How the handler fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fail {
    Once,
    Times(u32),
    Always,
    Permanently,
    Panic,
    Hang,
    Outage,
}

/// The failures to come, by order and number, and the calls so far.
#[derive(Clone, Default)]
pub(crate) struct Plan(Arc<Mutex<BTreeMap<(String, u32), Fail>>>, Arc<Mutex<Vec<(String, u32)>>>);

impl Plan {
    pub(crate) fn fail(&self, order: &str, n: u32, fail: Fail) {
        self.0.lock().unwrap().insert((order.to_owned(), n), fail);
    }

    pub(crate) fn heal(&self) {
        self.0.lock().unwrap().clear();
    }

    /// Ends the failures of this kind.
    pub(crate) fn repair(&self, fail: Fail) {
        self.0.lock().unwrap().retain(|_, planned| *planned != fail);
    }

    /// Ends the failures of one message.
    pub(crate) fn repair_one(&self, order: &str, n: u32) {
        self.0.lock().unwrap().remove(&(order.to_owned(), n));
    }

    pub(crate) fn calls(&self, order: &str, n: u32) -> usize {
        self.1.lock().unwrap().iter().filter(|call| **call == (order.to_owned(), n)).count()
    }

    fn next(&self, order: &str, n: u32) -> Option<Fail> {
        let key = (order.to_owned(), n);
        self.1.lock().unwrap().push(key.clone());
        let mut plan = self.0.lock().unwrap();
        let fail = *plan.get(&key)?;
        match fail {
            Fail::Once | Fail::Times(0 | 1) => drop(plan.remove(&key)),
            Fail::Times(n) => drop(plan.insert(key, Fail::Times(n - 1))),
            _ => {}
        }
        Some(fail)
    }
}

/// Enters orders into ledgers.
pub(crate) struct Enters(pub(crate) Plan);

impl MessageHandler for Enters {
    type Message = OrderMessage;

    async fn handle(
        &self,
        OrderMessage::Placed { order, n }: &OrderMessage,
        _: &Incoming<'_>,
    ) -> Result<Commands, BoxError> {
        match self.0.next(order, *n) {
            None => Ok(Commands::send(Enter { order: order.clone(), n: *n })),
            Some(Fail::Permanently) => Err(PermanentError::new("never").into()),
            Some(Fail::Panic) => panic!("boom"),
            Some(Fail::Hang) => std::future::pending().await,
            Some(Fail::Outage) => Err(TransientError::new("the database is away").into()),
            Some(_) => Err("not now".into()),
        }
    }
}

/// The two services, on stores of their own.
pub(crate) struct World {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) orders: MemoryStore,
    pub(crate) ledgers: MemoryStore,
    pub(crate) plan: Plan,
}

impl World {
    pub(crate) fn new(broker: impl Broker) -> Self {
        Self {
            broker: Arc::new(broker),
            orders: MemoryStore::new(),
            ledgers: MemoryStore::new(),
            plan: Plan::default(),
        }
    }

    pub(crate) fn orders(&self) -> Recount {
        Recount::new(self.orders.clone())
    }

    pub(crate) fn ledgers(&self) -> Recount {
        Recount::builder(self.ledgers.clone()).register::<Ledger>().build()
    }

    /// Starts the relay.
    pub(crate) fn relay(&self) -> Consumers {
        self.relay_on(&self.orders())
    }

    pub(crate) fn relay_on(&self, recount: &Recount) -> Consumers {
        let service = Service::new(recount.clone(), Arc::clone(&self.broker), "orders").unwrap();
        // Ordered faults shall meet the messages of the test.
        service.unannounced().publish(publication()).consumers(|consumers| consumers.retry(budget())).start()
    }

    /// The subscriber, to which a test adds settings.
    pub(crate) fn subscriber(&self) -> Subscriber {
        Subscriber::new(binding()).handle(Enters(self.plan.clone())).unwrap().retry(quick())
    }

    /// Starts the inbox.
    pub(crate) fn inbox(&self, subscriber: Subscriber) -> Consumers {
        self.inbox_on(&self.ledgers(), subscriber)
    }

    pub(crate) fn inbox_on(&self, recount: &Recount, subscriber: Subscriber) -> Consumers {
        let service = Service::new(recount.clone(), Arc::clone(&self.broker), "ledgers").unwrap();
        service.unannounced().subscribe(subscriber).start()
    }

    pub(crate) async fn place(&self, order: &str, numbers: impl IntoIterator<Item = u32>) {
        let orders = self.orders();
        for n in numbers {
            let _ = orders.dispatch(Place { order: order.to_owned(), n }).await.unwrap();
        }
    }

    /// The numbers that were entered for an order.
    pub(crate) async fn entered(&self, order: &str) -> Vec<u32> {
        let ledger = self.ledgers().load::<Ledger>(&order.to_owned()).await;
        ledger.map(|ledger| ledger.entered).unwrap_or_default()
    }

    /// Waits until these numbers are entered for an order.
    #[track_caller]
    pub(crate) fn becomes(&self, order: &str, numbers: &[u32]) -> impl Future<Output = ()> {
        let (order, numbers, caller) = (order.to_owned(), numbers.to_vec(), std::panic::Location::caller());
        async move {
            let mut entered = Vec::new();
            for _ in 0..20_000 {
                entered = self.entered(&order).await;
                if entered.len() >= numbers.len() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(entered, numbers, "{order}, at {caller}");
        }
    }

    pub(crate) fn dead(&self) -> DeadLetters {
        DeadLetters::new(Arc::new(self.ledgers.clone()))
    }

    /// Waits until a message of the ledgers is parked.
    #[track_caller]
    pub(crate) fn some_parked(&self) -> impl Future<Output = ()> {
        let (letters, caller) = (self.dead(), std::panic::Location::caller());
        async move {
            for _ in 0..600_000 {
                if !letters.list(None).await.unwrap().is_empty() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            panic!("no message is parked within ten minutes, at {caller}");
        }
    }

    /// Waits until so many messages of the ledgers wait for an operator, and returns all parked ones.
    pub(crate) async fn parked(&self, dead: usize) -> Vec<LetterSummary> {
        wait_for_dead(&self.dead(), dead).await
    }
}

pub(crate) async fn wait_for_dead(letters: &DeadLetters, dead: usize) -> Vec<LetterSummary> {
    let mut list = Vec::new();
    for _ in 0..20_000 {
        list = letters.list(None).await.unwrap();
        if list.iter().filter(|letter| letter.state == LetterState::Dead).count() == dead {
            return list;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not {dead} dead letters: {list:#?}");
}

/// Waits until consumers are live: groups of some brokers get no messages from before.
pub(crate) async fn live(consumers: &Consumers) {
    while consumers.progress().iter().any(|progress| progress.status != Status::Live) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn topic() -> Topic {
    Topic::new("orders").unwrap()
}

pub(crate) fn binding() -> Binding {
    Binding::new(topic(), Group::new("ledgers").unwrap())
}

pub(crate) fn publication() -> recount_messaging::PublicationParts {
    Publication::new("orders", topic()).map(|event: &OrderEvent, _| match event {
        OrderEvent::Placed { order, n } => Some(OrderMessage::Placed { order: order.clone(), n: *n }),
        OrderEvent::Noted => None,
    })
}

/// Two attempts in place and two from the store.
pub(crate) fn quick() -> RetryPlan {
    RetryPlan { in_place: 2, stored: 2, first_delay: Duration::from_secs(5), ..RetryPlan::default() }
}

fn budget() -> RetryBudget {
    RetryBudget::default()
}
