//! Inline projections: handlers that run inside the append's own transaction.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use recount_core::{
    BoxError, Direction, Event, NameCollision, Position, Projection, Query, ReadAll, RecordedEvent, StoreError,
    StoredNames,
};
use sqlx::{Row, SqliteConnection};

use crate::connection::Settings;
use crate::error::During;
use crate::handling::handling;
use crate::kinds::Kinds;
use crate::page::Cursor;
use crate::place::Place;
use crate::plan::Plan;
use crate::read_model::SqliteReadModel;
use crate::transaction::Transaction;

const OPERATION: &str = "running inline projections";
/// How many events are caught up with in one transaction when the store is opened.
const BATCH: u64 = 1000;

/// A projection whose types are forgotten.
#[async_trait]
trait Inline: Send + Sync {
    fn name(&self) -> &str;
    async fn setup(&self, connection: &mut SqliteConnection) -> Result<(), BoxError>;
    async fn on(&self, recorded: &RecordedEvent, connection: &mut SqliteConnection) -> Result<(), BoxError>;
}

#[async_trait]
impl<P: Projection<ReadModel = SqliteReadModel>> Inline for P {
    fn name(&self) -> &str {
        Projection::name(self)
    }

    async fn setup(&self, connection: &mut SqliteConnection) -> Result<(), BoxError> {
        Projection::setup(self, connection).await
    }

    async fn on(&self, recorded: &RecordedEvent, connection: &mut SqliteConnection) -> Result<(), BoxError> {
        let event = P::Event::from_recorded(recorded)?;
        Projection::on(self, &event, recorded, connection).await
    }
}

/// The inline projections of a store.
#[derive(Default)]
pub(crate) struct Inlines {
    entries: Vec<Entry>,
    /// The stored names of the events that the projections decode.
    names: StoredNames,
    /// The first projection with an event whose stored name belongs to another type.
    collision: Option<(String, NameCollision)>,
    bounds: Bounds,
}

/// The limits of handlers.
#[derive(Clone, Default)]
struct Bounds {
    /// The file that handlers may only write to with their own connection.
    place: Arc<Place>,
    /// The timeout of a handler.
    patience: Duration,
}

struct Entry {
    projection: Box<dyn Inline>,
    query: Query,
    /// Its checkpoint, as read in the transaction under way.
    checkpoint: Position,
}

impl fmt::Debug for Inlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| entry.projection.name())).finish()
    }
}

impl Entry {
    fn failed(&self, source: BoxError) -> StoreError {
        StoreError::Projection { projection: self.projection.name().to_owned(), source }
    }

    async fn on(
        &self,
        event: &RecordedEvent,
        connection: &mut SqliteConnection,
        bounds: &Bounds,
    ) -> Result<(), StoreError> {
        let handler =
            handling(Arc::clone(&bounds.place), self.projection.name(), self.projection.on(event, connection));
        // A handler that panics or exceeds the timeout fails its append. The writer continues.
        let handled = tokio::time::timeout(bounds.patience, AssertUnwindSafe(handler).catch_unwind()).await;
        let handled = match handled {
            Ok(handled) => handled.unwrap_or_else(|_| Err("the handler panicked".into())),
            Err(_) => Err(format!(
                "the handler has not returned within {:?}, while every append waits for it",
                bounds.patience
            )
            .into()),
        };
        handled.map_err(|error| self.failed(error))
    }

    /// Takes recorded events in, up to this position or until there were this many.
    async fn advance(
        &mut self,
        connection: &mut SqliteConnection,
        kinds: &Kinds,
        to: Position,
        limit: Option<u64>,
        bounds: &Bounds,
    ) -> Result<(), StoreError> {
        let read =
            ReadAll { query: self.query.clone(), after: self.checkpoint, to, direction: Direction::Forward, limit };
        let mut cursor = Cursor::new(read, to, kinds);
        while !cursor.is_done() {
            for event in cursor.next_page(connection, kinds).await? {
                self.on(&event, connection, bounds).await?;
                self.checkpoint = event.position;
            }
        }
        if cursor.limit != Some(0) {
            self.checkpoint = to.max(self.checkpoint);
        }
        Ok(())
    }

    async fn read_checkpoint(&mut self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let select = sqlx::query(include_str!("sql/select_checkpoint.sql")).bind(self.projection.name());
        let row = select.fetch_optional(connection).await.during(OPERATION)?;
        let position: i64 = row.map_or(Ok(0), |row| row.try_get(0)).during(OPERATION)?;
        self.checkpoint = Position::new(position.cast_unsigned());
        Ok(())
    }

    async fn write_checkpoint(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let upsert = sqlx::query(include_str!("sql/upsert_checkpoint.sql"));
        let upsert = upsert.bind(self.projection.name()).bind(self.checkpoint.as_i64());
        upsert.execute(connection).await.map(drop).during(OPERATION)
    }
}

impl Inlines {
    pub(crate) fn names(&self) -> &StoredNames {
        &self.names
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn add<P: Projection<ReadModel = SqliteReadModel>>(&mut self, projection: P) {
        let query = P::Event::query();
        let claimed = self.names.claim_events::<P::Event>();
        self.collision = self
            .collision
            .take()
            .or(claimed.err().map(|collision| (Projection::name(&projection).to_owned(), collision)));
        self.entries.push(Entry { projection: Box::new(projection), query, checkpoint: Position::START });
    }

    /// Sets the projections up and takes in what was appended without them, in transactions of bounded size.
    pub(crate) async fn open(
        &mut self,
        connection: &mut SqliteConnection,
        kinds: &Kinds,
        settings: &Settings,
    ) -> Result<(), StoreError> {
        if let Some((projection, collision)) = self.collision.take() {
            return Err(StoreError::Projection { projection, source: collision.into() });
        }
        let patience = settings.patience;
        self.bounds = Bounds { place: Arc::clone(&settings.place), patience };
        for entry in &mut self.entries {
            let mut transaction = Transaction::begin(&mut *connection, patience, OPERATION).await?;
            let setup = entry.projection.setup(&mut transaction);
            let setup = handling(Arc::clone(&settings.place), entry.projection.name(), setup).await;
            setup.map_err(|error| entry.failed(error))?;
            transaction.commit(OPERATION).await?;
            loop {
                let mut transaction = Transaction::begin(&mut *connection, patience, OPERATION).await?;
                let row = sqlx::query(include_str!("sql/select_head.sql")).fetch_one(&mut *transaction).await;
                let head: i64 = row.and_then(|row| row.try_get(0)).during(OPERATION)?;
                let head = Position::new(head.cast_unsigned());
                kinds.refresh(&mut transaction).await?;
                entry.read_checkpoint(&mut transaction).await?;
                if entry.checkpoint >= head {
                    break;
                }
                entry.advance(&mut transaction, kinds, head, Some(BATCH), &self.bounds).await?;
                entry.write_checkpoint(&mut transaction).await?;
                transaction.commit(OPERATION).await?;
            }
        }
        Ok(())
    }

    /// Takes in, inside a batch's transaction, what others appended without these projections.
    pub(crate) async fn catch_up(
        &mut self,
        connection: &mut SqliteConnection,
        head: Position,
        kinds: &Kinds,
    ) -> Result<(), StoreError> {
        for entry in &mut self.entries {
            entry.read_checkpoint(connection).await?;
            if entry.checkpoint < head {
                entry.advance(connection, kinds, head, None, &self.bounds).await?;
                entry.write_checkpoint(connection).await?;
            }
        }
        Ok(())
    }

    /// Takes in the events of a batch.
    pub(crate) async fn take(&mut self, connection: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), StoreError> {
        if plan.events.is_empty() {
            return Ok(());
        }
        for entry in &mut self.entries {
            for row in plan.events.iter().filter(|row| entry.query.matches_data(row.stream_id, row.data)) {
                entry.on(&row.recorded(plan.now), connection, &self.bounds).await?;
            }
            entry.checkpoint = plan.counters.position;
            entry.write_checkpoint(connection).await?;
        }
        Ok(())
    }
}
