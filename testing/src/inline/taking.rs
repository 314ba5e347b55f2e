//! The projection of the suite.

use std::error::Error;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::TryStreamExt;
use recount_core::{
    AppendError, Appended, BoxError, Event, FilterChange, Projection, Query, ReadAll, ReadModel, RecordedEvent, Store,
    StoreError,
};

use super::Harness;
pub(super) use crate::read_model::writing::{FirstOnly, Noted, append, append_each};

/// The SQL by which a handler ends the transaction of its append, by the id of the event's stream.
const ENDS: [(&str, &str); 6] = [
    ("commits", "COMMIT"),
    ("commits-and-fails", "COMMIT"),
    ("commits-and-begins", "COMMIT; BEGIN"),
    ("rolls-back", "ROLLBACK"),
    ("rolls-back-and-fails", "ROLLBACK"),
    ("rolls-back-and-begins", "ROLLBACK; BEGIN"),
];

/// Writes the position of each event, then behaves as the id of its stream says: `refused`, `panics`, `hangs`, or one
/// of [`ENDS`].
pub(super) struct Taking<H, E = Noted> {
    harness: Arc<H>,
    fails_to_set_up: bool,
    sets_up: Option<&'static str>,
    mended: bool,
    event: PhantomData<fn() -> E>,
}

impl<H: Harness, E: Event> Taking<H, E> {
    pub(super) fn new(harness: &Arc<H>) -> Self {
        Self { harness: Arc::clone(harness), fails_to_set_up: false, sets_up: None, mended: false, event: PhantomData }
    }

    pub(super) fn failing_to_set_up(self) -> Self {
        Self { fails_to_set_up: true, ..self }
    }

    /// One that only writes.
    pub(super) fn mended(self) -> Self {
        Self { mended: true, ..self }
    }

    /// With these statements behind its set-up.
    pub(super) fn setting_up(self, sql: &'static str) -> Self {
        Self { sets_up: Some(sql), ..self }
    }
}

impl<H: Harness, E: Event> Projection for Taking<H, E> {
    type Event = E;
    type ReadModel = H::Model;

    fn name(&self) -> &str {
        "taking"
    }

    async fn setup(&self, connection: &mut <H::Model as ReadModel>::Connection) -> Result<(), BoxError> {
        self.harness.prepare(connection).await?;
        if let Some(sql) = self.sets_up {
            self.harness.execute(connection, sql).await?;
        }
        if self.fails_to_set_up { Err("no set-up today".into()) } else { Ok(()) }
    }

    async fn reset(&self, connection: &mut <H::Model as ReadModel>::Connection) -> Result<(), BoxError> {
        self.harness.clear(connection).await
    }

    async fn on(
        &self,
        _: &E,
        recorded: &RecordedEvent,
        connection: &mut <H::Model as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        self.harness.write(connection, recorded.position.get()).await?;
        if self.mended {
            return Ok(());
        }
        if let Some((_, sql)) = ENDS.iter().find(|(id, _)| *id == recorded.stream.id()) {
            self.harness.execute(connection, sql).await?;
        }
        match recorded.stream.id() {
            "refused" => Err("this one is refused".into()),
            "panics" => panic!("boom in the handler"),
            "hangs" => std::future::pending().await,
            id if id.ends_with("-and-fails") => Err("this one is refused".into()),
            _ => Ok(()),
        }
    }
}

/// The store with the projection of both kinds of events.
pub(super) async fn open<H: Harness>(h: &Arc<H>) -> Arc<dyn Store> {
    h.open_inline(vec![Taking::<H>::new(h)], FilterChange::Refuse).await.unwrap()
}

/// The positions of the store's events.
pub(super) async fn positions(store: &Arc<dyn Store>) -> Vec<u64> {
    let events: Vec<RecordedEvent> = store.read_all(ReadAll::new(Query::all())).try_collect().await.unwrap();
    events.iter().map(|event| event.position.get()).collect()
}

/// The read model has exactly the events of the store, each once and in order.
pub(super) async fn same<H: Harness>(h: &Arc<H>, store: &Arc<dyn Store>) {
    assert_eq!(h.written().await, positions(store).await);
}

/// Why the projection refused an append.
pub(super) fn refusal(outcome: Result<Appended, AppendError>) -> String {
    match outcome {
        Err(AppendError::Store(error)) => reason(&error),
        other => panic!("{other:?}"),
    }
}

/// The cause of an error that names the projection.
pub(super) fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Projection { projection, source } if projection == "taking" => {
            let causes = std::iter::successors(Some(&**source as &(dyn Error + 'static)), |&error| error.source());
            causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
        }
        other => panic!("{other:?}"),
    }
}
