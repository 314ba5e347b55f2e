//! The suite of inline projections finds stores whose read model does not commit with the append.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use common::execute;
use common::models::Sqlite;
use futures_util::TryStreamExt;
use recount_core::{
    Append, AppendError, Appended, BoxError, Event, EventStore, FilterChange, Projection, ReadAll, ReadModel,
    RecordedEvent, Store, StoreError,
};
use recount_store_sqlite::{SqliteReadModel, SqliteStore};
use recount_testing::inline::{self, committed, ended, failures, filter, history};
use recount_testing::read_model::{self, check};
use recount_testing::{StoreWrapper, Wrapped};
use sqlx::SqliteConnection;

/// A defect of a store, named after what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    HandlesEventsAfterTheCommit,
    MovesTheCheckpointOutsideTheTransaction,
    LeavesTheCheckpointBehind,
    SkipsEventsOfOtherPrograms,
    RecordsRefusedAppends,
    ForgetsTheFilter,
    OpensWithoutTheSetUp,
    ReportsCommittedAppendsAsUndone,
}

/// Each defect and a promise that it breaks.
const DEFECTS: [(Defect, &str); 8] = [
    (Defect::HandlesEventsAfterTheCommit, "a_failing_handler_refuses_only_its_own_append"),
    (Defect::MovesTheCheckpointOutsideTheTransaction, "a_refused_event_of_another_program_refuses_each_append"),
    (Defect::LeavesTheCheckpointBehind, "an_event_is_in_the_read_model_when_its_append_returns"),
    (Defect::SkipsEventsOfOtherPrograms, "events_of_another_program_are_taken_with_the_next_append"),
    (Defect::RecordsRefusedAppends, "a_failing_handler_refuses_only_its_own_append"),
    (Defect::ForgetsTheFilter, "an_older_program_does_not_move_a_newer_checkpoint"),
    (Defect::OpensWithoutTheSetUp, "a_failing_set_up_refuses_to_open"),
    (Defect::ReportsCommittedAppendsAsUndone, "an_append_that_a_handler_has_committed_is_not_reported_as_undone"),
];

/// A store with a defect, or without.
struct Mutant {
    sqlite: Sqlite,
    defect: Option<Defect>,
}

impl read_model::Harness for Mutant {
    type Model = SqliteReadModel;

    async fn store(&self) -> Arc<dyn Store> {
        read_model::Harness::store(&self.sqlite).await
    }
    async fn open(&self) -> SqliteReadModel {
        self.sqlite.open().await
    }
    async fn prepare(&self, connection: &mut SqliteConnection) -> Result<(), BoxError> {
        self.sqlite.prepare(connection).await
    }
    async fn write(&self, connection: &mut SqliteConnection, position: u64) -> Result<(), BoxError> {
        self.sqlite.write(connection, position).await
    }
    async fn clear(&self, connection: &mut SqliteConnection) -> Result<(), BoxError> {
        self.sqlite.clear(connection).await
    }
    async fn written(&self) -> Vec<u64> {
        self.sqlite.written().await
    }
}

impl inline::Harness for Mutant {
    async fn open_inline<P: Projection<ReadModel = SqliteReadModel>>(
        &self,
        projections: Vec<P>,
        choice: FilterChange,
    ) -> Result<Arc<dyn Store>, StoreError> {
        let path = self.sqlite.path();
        let without = SqliteStore::open(&path).await.unwrap();
        if self.defect == Some(Defect::HandlesEventsAfterTheCommit) {
            let model = without.read_model();
            let (mut transaction, _) = model.begin("taking").await.unwrap();
            projections[0].setup(SqliteReadModel::connection(&mut transaction)).await.unwrap();
            model
                .commit(transaction, "taking", recount_core::Checkpoint::START, recount_core::Checkpoint::START)
                .await
                .unwrap();
            return Ok(Arc::new(Wrapped(Later { store: without, projections })));
        }
        let opened = self.sqlite.open_inline(projections, choice).await;
        let store = match opened {
            Err(_) if self.defect == Some(Defect::OpensWithoutTheSetUp) => Arc::new(without.clone()),
            opened => opened?,
        };
        Ok(Arc::new(Wrapped(Careless { store, without, path, defect: self.defect })))
    }

    async fn execute(&self, connection: &mut SqliteConnection, sql: &'static str) -> Result<(), BoxError> {
        inline::Harness::execute(&self.sqlite, connection, sql).await
    }
}

/// Handles the events of an append in a transaction of its own, behind that of the append.
struct Later<P> {
    store: SqliteStore,
    projections: Vec<P>,
}

#[async_trait]
impl<P: Projection<ReadModel = SqliteReadModel>> StoreWrapper for Later<P> {
    fn inner(&self) -> &dyn Store {
        &self.store
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let appended = self.store.append(append).await?;
        let model = self.store.read_model();
        for projection in &self.projections {
            let (mut transaction, from) = model.begin("taking").await?;
            let read = ReadAll { after: from.position, ..ReadAll::new(P::Event::query()) };
            let events: Vec<RecordedEvent> = self.store.read_all(read).try_collect().await?;
            for recorded in &events {
                let event = P::Event::from_recorded(recorded).unwrap();
                let handled = projection.on(&event, recorded, SqliteReadModel::connection(&mut transaction)).await;
                handled.map_err(|source| StoreError::Projection { projection: "taking".to_owned(), source })?;
            }
            drop(model.commit(transaction, "taking", from, appended.position.into()).await);
        }
        Ok(appended)
    }
}

/// Writes to the checkpoint beside the transactions of appends, or takes another way if they fail.
struct Careless {
    store: Arc<dyn Store>,
    without: SqliteStore,
    path: PathBuf,
    defect: Option<Defect>,
}

impl Careless {
    async fn execute_if(&self, defect: Defect, sql: &'static str) {
        if self.defect == Some(defect) {
            execute(&self.path, sql).await.unwrap();
        }
    }
}

#[async_trait]
impl StoreWrapper for Careless {
    fn inner(&self) -> &dyn Store {
        &*self.store
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        const TO_THE_HEAD: &str = "UPDATE checkpoints SET position = (SELECT coalesce(max(position), 0) FROM events)";
        self.execute_if(Defect::SkipsEventsOfOtherPrograms, TO_THE_HEAD).await;
        self.execute_if(Defect::ForgetsTheFilter, "UPDATE checkpoints SET filter_id = NULL").await;
        let outcome = self.store.append(append.clone()).await;
        self.execute_if(Defect::MovesTheCheckpointOutsideTheTransaction, TO_THE_HEAD).await;
        self.execute_if(Defect::LeavesTheCheckpointBehind, "UPDATE checkpoints SET position = 0").await;
        match (outcome, self.defect) {
            (Err(AppendError::Store(StoreError::Projection { .. })), Some(Defect::RecordsRefusedAppends)) => {
                self.without.append(append).await
            }
            (
                Err(AppendError::Store(StoreError::OutcomeUnknown { source, .. })),
                Some(Defect::ReportsCommittedAppendsAsUndone),
            ) => Err(StoreError::Projection { projection: "taking".to_owned(), source }.into()),
            (outcome, _) => outcome,
        }
    }
}

/// The promises that a store with this defect breaks.
fn broken(defect: Option<Defect>) -> Vec<&'static str> {
    let mut broken = Vec::new();
    macro_rules! promises {
        ($($topic:ident::$promise:ident)*) => {$(
            let mutant = async { Mutant { sqlite: Sqlite::in_the_store(), defect } };
            let kept = catch_unwind(AssertUnwindSafe(|| check(mutant, async |h: &Arc<Mutant>| $topic::$promise(h).await)));
            if kept.is_err() {
                broken.push(stringify!($promise));
            }
        )*};
    }
    promises! {
        committed::an_event_is_in_the_read_model_when_its_append_returns
        failures::a_failing_handler_refuses_only_its_own_append
        failures::a_failing_set_up_refuses_to_open
        ended::an_append_that_a_handler_has_committed_is_not_reported_as_undone
        history::events_of_another_program_are_taken_with_the_next_append
        history::a_refused_event_of_another_program_refuses_each_append
        filter::an_older_program_does_not_move_a_newer_checkpoint
    }
    broken
}

#[test]
fn a_store_without_a_defect_keeps_the_promises_of_inline_projections() {
    assert_eq!(broken(None), Vec::<&str>::new());
}

#[test]
fn each_defect_breaks_its_promise_of_inline_projections() {
    let missed = |(defect, promise): &(Defect, &str)| !broken(Some(*defect)).contains(promise);
    let unnoticed: Vec<_> = DEFECTS.into_iter().filter(missed).collect();
    assert_eq!(unnoticed, []);
}
