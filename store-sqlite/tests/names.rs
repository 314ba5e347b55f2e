//! A stored name in an inline projection also belongs to one type of the program.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

extern crate recount_core as recount;

use std::error::Error;
use std::sync::Arc;

use recount_core::{BoxError, Event, Fold, InMemory, Position, Projection, RecordedEvent, Recount, Status, StoreError};
use recount_store_sqlite::{SqliteReadModel, SqliteStore};
use sqlx::SqliteConnection;
use tempfile::TempDir;

#[derive(Event)]
#[event(name = "order.placed")]
struct Placed {}

mod elsewhere {
    use recount_core::Event;

    #[derive(Event)]
    #[event(name = "order.placed")]
    pub(crate) struct Placed {}
}

/// A projection that ignores the events of this type.
struct Takes<E>(std::marker::PhantomData<fn(E)>);

impl<E: Event> Takes<E> {
    const NEW: Self = Self(std::marker::PhantomData);
}

impl<E: Event> Projection for Takes<E> {
    type Event = E;
    type ReadModel = SqliteReadModel;
    fn name(&self) -> &str {
        "takes"
    }
    async fn on(&self, _: &E, _: &RecordedEvent, _: &mut SqliteConnection) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test]
async fn an_inline_projection_and_a_type_of_the_same_name_are_refused() {
    let directory = TempDir::new().unwrap();
    let builder = || SqliteStore::builder(directory.path().join("events.db"));
    let recount = Recount::new(builder().inline(Takes::<Placed>::NEW).open().await.unwrap());
    let same = Arc::new(Fold::new((), |(), _: &Placed, _| {}));
    let other = Arc::new(Fold::new((), |(), _: &elsewhere::Placed, _| {}));
    let projections = recount.consumers().projection(other, InMemory::new()).start();
    let stopped = projections.wait_for(Position::START).await.unwrap_err();
    assert!(matches!(&stopped.status, Status::Stopped { error } if error.contains("order.placed")), "{stopped:?}");
    projections.shutdown().await;
    let projections = recount.consumers().projection(same, InMemory::new()).start();
    projections.wait_for(Position::START).await.unwrap();
    projections.shutdown().await;
    recount.close().await;
    let both = builder().inline(Takes::<Placed>::NEW).inline(Takes::<elsewhere::Placed>::NEW).open().await.unwrap_err();
    assert!(matches!(both, StoreError::Projection { .. }), "{both}");
    assert!(both.source().unwrap().to_string().contains("elsewhere::Placed"), "{both:?}");
}
