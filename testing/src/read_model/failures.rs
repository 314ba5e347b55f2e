//! A projection that doesn't work doesn't look healthy, and recovers where it can.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use recount_core::{BoxError, Projection, ReadModel, RecordedEvent, Status};

use super::Harness;
use super::writing::*;
use crate::{Fault, FaultyReadModel};

/// Where [`Panicking`] panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Setup,
    On,
    OnMany,
}

struct Panicking<H>(Writing<H>, Place);

/// An event with a decoder that panics.
struct Undecodable;

impl recount_core::Event for Undecodable {
    fn variants() -> Vec<recount_core::EventVariant> {
        Noted::variants()
    }
    fn encode(&self) -> Result<recount_core::EventData, recount_core::EncodeError> {
        Noted::First {}.encode()
    }
    fn decode(_: &str, _: u32, _: &[u8]) -> Result<Self, recount_core::DecodeError> {
        panic!("boom in decode")
    }
}

impl<H: Harness> Projection for Panicking<H> {
    type Event = Noted;
    type ReadModel = FaultyReadModel<H::Model>;

    fn name(&self) -> &str {
        "panicking"
    }

    async fn setup(&self, connection: &mut <H::Model as ReadModel>::Connection) -> Result<(), BoxError> {
        assert_ne!(self.1, Place::Setup, "boom in Setup");
        self.0.setup(connection).await
    }

    async fn on(
        &self,
        event: &Noted,
        recorded: &RecordedEvent,
        connection: &mut <H::Model as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        assert!(self.1 == Place::Setup || recorded.position.get() < 3, "boom in {:?}", self.1);
        self.0.on(event, recorded, connection).await
    }

    async fn on_many(
        &self,
        events: &[(Noted, &RecordedEvent)],
        connection: &mut <H::Model as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        assert_ne!(self.1, Place::OnMany, "boom in OnMany");
        for (event, recorded) in events {
            self.on(event, recorded, connection).await?;
        }
        Ok(())
    }
}

/// A panic is retried until the budget is used up, then the projection stops with the panic's message. Events before it
/// are kept.
pub async fn a_panic_is_a_failure_with_its_message<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    append(&store, "a", 5).await;
    let model = open(h).await;
    for place in [Place::Setup, Place::OnMany] {
        let projection = Panicking(Writing::new(h), place);
        let running = recount.consumers().retry(soon()).projection(projection, model.clone()).start();
        let (_, error) = stopped(&running).await;
        assert!(error.contains(&format!("boom in {place:?}")) && error.contains("panicked"), "{error}");
        running.wait_for(recount_core::Position::new(5)).await.unwrap_err();
    }
    assert_eq!(h.written().await, [1, 2]);
    let projection = Panicking(Writing::new(h), Place::On);
    let running = recount.consumers().retry(soon()).projection(projection, model.clone()).start();
    let (position, error) = stopped(&running).await;
    assert!(error.contains("position 3") && error.contains("boom in On"), "{error}");
    assert_eq!(position.get(), 2);
    let running = start(&recount, Writing::<H, Undecodable>::new(h), model);
    let (_, error) = stopped(&running).await;
    assert!(error.contains("boom in decode"), "{error}");
}

/// A read model that can't be reached for much longer than the retry budget is waited for, and the status says so.
pub async fn an_outage_uses_up_no_retry_budget<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let model = open(h).await;
    let running = start(&recount, Writing::<H>::new(h), model.clone());
    running.wait_for(append(&store, "a", 5).await).await.unwrap();
    model.fail_always(Fault::Before);
    let last = append(&store, "a", 5).await;
    let waiting = until(&running, |now| matches!(now.status, Status::Waiting { .. })).await;
    let Status::Waiting { error, .. } = &waiting.status else { panic!("{waiting:?}") };
    assert!(error.contains("injected fault"), "{error}");
    tokio::time::sleep(soon().time * 10).await;
    let now = running.progress().remove(0);
    assert!(matches!(now.status, Status::Waiting { failures: 3.., .. }), "{now:?}");
    model.heal();
    running.wait_for(last).await.unwrap();
    until(&running, |now| now.status == Status::Live).await;
    assert_eq!(h.written().await, (1..=10).collect::<Vec<u64>>());
}

/// A handler that doesn't return is ended after the time limit. The status says so, and it goes on by itself.
pub async fn a_handler_that_hangs_is_ended_and_tried_again<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let model = open(h).await.with_time_limit(Duration::from_millis(200));
    let writing = Writing::<H>::new(h);
    let hangs = Arc::clone(&writing.hangs);
    hangs.store(true, Ordering::SeqCst);
    let running = start(&recount, writing, model);
    let last = append(&store, "a", 5).await;
    let waiting = until(&running, |now| matches!(now.status, Status::Waiting { .. })).await;
    let Status::Waiting { error, .. } = &waiting.status else { panic!("{waiting:?}") };
    assert!(error.contains("has not returned within 200ms"), "{error}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!running.progress()[0].is_over());
    hangs.store(false, Ordering::SeqCst);
    running.wait_for(last).await.unwrap();
    assert_eq!(h.written().await, [1, 2, 3, 4, 5]);
}

/// A task that ends without a word counts as stopped: here its runtime ended.
pub async fn a_projection_whose_runtime_ended_says_so<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let model = open(h).await;
    let writing = Writing::<H>::new(h);
    let starting = {
        let (recount, model) = (recount.clone(), model.clone());
        tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let running = runtime.block_on(async { start(&recount, writing, model) });
            runtime.shutdown_timeout(Duration::from_secs(5));
            running
        })
    };
    let running = starting.await.unwrap();
    let (_, error) = stopped(&running).await;
    assert!(error.contains("runtime"), "{error}");
    running.wait_for(append(&store, "a", 1).await).await.unwrap_err();
    // Its name is free again.
    let again = start(&recount, Writing::<H>::new(h), open(h).await);
    again.wait_for(append(&store, "a", 1).await).await.unwrap();
}

/// Takes its time for each event, and falls silent once.
struct Slow<H> {
    writing: Writing<H>,
    /// Where it falls silent, if it has not done so.
    silent_at: std::sync::atomic::AtomicU64,
}

impl<H: Harness> Projection for Slow<H> {
    type Event = Noted;
    type ReadModel = FaultyReadModel<H::Model>;

    fn name(&self) -> &str {
        "slow"
    }

    async fn setup(&self, connection: &mut <H::Model as ReadModel>::Connection) -> Result<(), BoxError> {
        self.writing.setup(connection).await
    }

    async fn on(
        &self,
        event: &Noted,
        recorded: &RecordedEvent,
        connection: &mut <H::Model as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        let position = recorded.position.get();
        if self.silent_at.compare_exchange(position, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        self.writing.on(event, recorded, connection).await
    }
}

/// Handlers that together exceed the time limit, and one that does so alone, are ended in the midst of a transaction: each
/// event is written once all the same.
pub async fn handlers_that_take_too_long_write_each_event_once<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let last = append(&store, "a", 20).await;
    let model = open(h).await.with_time_limit(Duration::from_millis(250));
    let slow = Slow { writing: Writing::<H>::new(h), silent_at: 7.into() };
    let running = recount.consumers().retry(soon()).projection(slow, model).start();
    let waiting = until(&running, |now| matches!(now.status, Status::Waiting { .. })).await;
    let Status::Waiting { error, .. } = &waiting.status else { panic!("{waiting:?}") };
    assert!(error.contains("has not returned within 250ms"), "{error}");
    if !H::Model::UNDOES {
        assert!(error.contains("event noted.first at position"), "{error}");
    }
    running.wait_for(last).await.unwrap();
    assert_eq!(h.written().await, (1..=20).collect::<Vec<u64>>());
    assert_eq!(running.progress()[0].events, 20);
}
