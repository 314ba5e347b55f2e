//! A store with the process running on it, the orders that customers place, and the checks of the outcome.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use recount_core::{
    Consumers, InstanceState, InstanceStatus, Position, Query, ReadAll, RecordedEvent, Recount, RetryBudget, StartAt,
    Store,
};

use super::domain::{Cancel, Fill, Fulfilment, Note, Place};
use crate::FaultyStore;

/// How long an outcome may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A store, and the way of customers and operators to it.
pub struct World {
    pub store: Arc<dyn Store>,
    pub client: Recount,
}

/// A program that runs the process.
pub struct Program {
    pub faults: FaultyStore<Arc<dyn Store>>,
    pub consumers: Consumers,
    pub recount: Recount,
}

impl World {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { client: Recount::new(Arc::clone(&store)), store }
    }

    /// Starts a program.
    pub fn program(&self) -> Program {
        Program::start(FaultyStore::new(Arc::clone(&self.store)))
    }

    pub async fn place(&self, order: u64, pieces: u32) {
        let _ = self.client.dispatch(Place { order, pieces }).await.unwrap();
    }

    pub async fn cancel(&self, order: u64) {
        let _ = self.client.dispatch(Cancel { order }).await.unwrap();
    }

    pub async fn note(&self, order: u64) {
        let _ = self.client.dispatch(Note { order }).await.unwrap();
    }

    pub async fn fill(&self, order: u64, pieces: u32) {
        let _ = self.client.dispatch(Fill { order, pieces }).await.unwrap();
    }

    pub async fn status(&self, order: u64) -> Option<InstanceStatus> {
        self.client.processes().instance("suite_fulfilment", &order.to_string()).await.unwrap()
    }

    pub async fn state(&self, order: u64) -> Option<InstanceState> {
        Some(self.status(order).await?.state)
    }

    /// Waits until the instance of the order is in this state.
    pub async fn reaches(&self, order: u64, state: InstanceState) {
        let looked = tokio::time::timeout(LIMIT, async {
            while self.state(order).await != Some(state) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        if looked.await.is_err() {
            panic!(
                "order {order} is not {state} after {LIMIT:?}: {:#?}\n{}",
                self.status(order).await,
                self.log(order).await
            );
        }
    }

    /// Waits until the condition holds.
    pub async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let looked = tokio::time::timeout(LIMIT, async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(looked.await.is_ok(), "not within {LIMIT:?}: {what}");
    }

    /// All events.
    pub async fn events(&self) -> Vec<RecordedEvent> {
        let events: Vec<_> = self.store.read_all(ReadAll::new(Query::all())).collect().await;
        events.into_iter().collect::<Result<_, _>>().unwrap()
    }

    /// The events of an order, as text.
    pub async fn log(&self, order: u64) -> String {
        let events = self.events().await;
        let own = events.iter().filter(|event| event.stream.id() == order.to_string());
        own.map(|event| {
            let payload = String::from_utf8_lossy(&event.data.payload);
            format!("{} {} {} {payload}\n", event.position, event.stream, event.data.event_type)
        })
        .collect()
    }

    pub async fn head(&self) -> Position {
        self.store.head().await.unwrap()
    }
}

impl Program {
    /// Starts the process on this store.
    pub fn start(faults: FaultyStore<Arc<dyn Store>>) -> Self {
        let recount = Recount::new(Arc::new(faults.clone()));
        let consumers = recount
            .consumers()
            .process::<Fulfilment>(StartAt::Beginning)
            .retry(RetryBudget { longest_pause: Duration::from_millis(50), ..RetryBudget::default() })
            .start();
        Self { faults, consumers, recount }
    }

    /// Dies at once.
    pub fn die(self) {
        drop(self);
    }

    pub async fn shut_down(self) {
        self.consumers.shutdown().await;
    }
}
