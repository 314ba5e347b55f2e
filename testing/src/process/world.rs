//! A store with the process running on it, the orders that customers place, and the checks of the outcome.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use recount_core::{
    Consumers, ConsumersBuilder, InstanceState, InstanceStatus, Namespace, Query, ReadAll, RecordedEvent, Recount,
    RetryBudget, StartAt, StateStore, Store,
};

use super::domain::{Cancel, Extend, Fill, Fulfilment, Note, Pay, PermitRefund, Place};
use crate::FaultyStore;

/// How long an outcome may take.
const LIMIT: Duration = Duration::from_secs(30);
/// The name of the process.
pub const PROCESS: &str = "suite_fulfilment";

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

    /// The store with faults of its own.
    pub fn faults(&self) -> FaultyStore<Arc<dyn Store>> {
        FaultyStore::new(Arc::clone(&self.store))
    }

    /// Starts a program.
    pub fn program(&self) -> Program {
        Program::start(self.faults())
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

    pub async fn extend(&self, order: u64) {
        let _ = self.client.dispatch(Extend { order }).await.unwrap();
    }

    pub async fn fill(&self, order: u64, pieces: u32) {
        let _ = self.client.dispatch(Fill { order, pieces }).await.unwrap();
    }

    pub async fn pay(&self, order: u64) {
        let _ = self.client.dispatch(Pay { order }).await.unwrap();
    }

    pub async fn permit_refund(&self, order: u64) {
        let _ = self.client.dispatch(PermitRefund { order }).await.unwrap();
    }

    pub async fn redrive(&self, order: u64) {
        self.client.processes().redrive(PROCESS, &order.to_string(), "the suite").await.unwrap();
    }

    pub async fn status(&self, order: u64) -> Option<InstanceStatus> {
        self.client.processes().instance(PROCESS, &order.to_string()).await.unwrap()
    }

    pub async fn state(&self, order: u64) -> Option<InstanceState> {
        Some(self.status(order).await?.state)
    }

    /// Waits until the instance of the order is in this state.
    pub async fn reaches(&self, order: u64, state: InstanceState) {
        if !self.reaches_within(order, state, LIMIT).await {
            panic!(
                "order {order} is not {state} after {LIMIT:?}: {:#?}\n{}",
                self.status(order).await,
                self.log(order).await
            );
        }
    }

    /// Whether the instance of the order is in this state before the time is over.
    pub async fn reaches_within(&self, order: u64, state: InstanceState, limit: Duration) -> bool {
        self.looks(limit, async || self.state(order).await == Some(state)).await
    }

    /// Waits until the condition holds, which can only change by an event.
    pub async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        assert!(self.looks(LIMIT, condition).await, "not within {LIMIT:?}: {what}");
    }

    /// Waits until the log of the order holds this text so many times.
    pub async fn until_log(&self, order: u64, text: &str, times: usize) {
        if !self.looks(LIMIT, async || self.log(order).await.matches(text).count() >= times).await {
            panic!("not within {LIMIT:?}, {times} times {text}:\n{}", self.log(order).await);
        }
    }

    /// Whether the condition holds before the time is over.
    pub async fn looks(&self, limit: Duration, condition: impl AsyncFn() -> bool) -> bool {
        let mut head = self.store.watch();
        let looking = async {
            loop {
                head.mark_unchanged();
                if condition().await {
                    return;
                }
                // Not every store tells of events that another instance of it has recorded.
                let _ = tokio::time::timeout(Duration::from_millis(100), head.changed()).await;
            }
        };
        tokio::time::timeout(limit, looking).await.is_ok()
    }

    /// All events.
    pub async fn events(&self) -> Vec<RecordedEvent> {
        let events: Vec<_> = self.store.read_all(ReadAll::new(Query::all())).collect().await;
        events.into_iter().collect::<Result<_, _>>().unwrap()
    }

    /// The events of an order, as text.
    pub async fn log(&self, order: u64) -> String {
        text(self.events().await.iter().filter(|event| event.stream.id() == order.to_string()))
    }

    /// Deletes all state: checkpoints, timers and snapshots.
    pub async fn wipe_state(&self) {
        for namespace in [Namespace::CONSUMER, Namespace::TIMER, Namespace::SNAPSHOT] {
            for (key, _) in StateStore::list(&*self.store, namespace, "", None, 10_000).await.unwrap() {
                self.store.delete(&key, recount_core::ExpectedRevision::Any).await.unwrap();
            }
        }
    }
}

/// Events as text.
pub fn text<'a>(events: impl Iterator<Item = &'a RecordedEvent>) -> String {
    let line = |event: &RecordedEvent| {
        let payload = String::from_utf8_lossy(&event.data.payload).into_owned();
        format!("{} {} {} {payload}\n", event.position, event.stream, event.data.event_type)
    };
    events.map(line).collect()
}

impl Program {
    /// Starts the process on this store.
    pub fn start(faults: FaultyStore<Arc<dyn Store>>) -> Self {
        Self::start_with(faults, |consumers| consumers.process::<Fulfilment>(StartAt::Beginning))
    }

    /// Starts these consumers on this store.
    pub fn start_with(
        faults: FaultyStore<Arc<dyn Store>>,
        add: impl FnOnce(ConsumersBuilder) -> ConsumersBuilder,
    ) -> Self {
        let recount = Recount::new(Arc::new(faults.clone()));
        // No item is to blame for anything in this suite, so a short time is enough to see that one is blamed.
        let (time, longest_pause) = (Duration::from_secs(2), Duration::from_millis(50));
        let budget = RetryBudget { time, longest_pause, ..RetryBudget::default() };
        let consumers = add(recount.consumers()).retry(budget).start();
        Self { faults, consumers, recount }
    }

    /// Fails if one of the consumers has given up.
    pub fn assert_alive(&self) {
        for progress in self.consumers.progress() {
            assert!(!progress.is_over(), "{progress:?}");
        }
    }

    /// Dies at once.
    pub fn die(self) {
        drop(self);
    }

    pub async fn shut_down(self) {
        self.consumers.shutdown().await;
    }
}
