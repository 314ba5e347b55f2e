//! Inline projections: handlers that run inside the append's own transaction.

use std::sync::Arc;
use std::time::Duration;

use recount_core::{
    Checkpoint, Direction, EndedTransaction, Filter, Inline, Inlines, Position, ReadAll, RecordedEvent, StoreError,
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
use crate::read_model::{SqliteReadModel, checkpoint, remember_filter, stored_filter};
use crate::transaction::{Transaction, is_whole};

const OPERATION: &str = "running inline projections";
/// How many events are caught up with in one transaction when the store is opened.
const BATCH: u64 = 1000;
/// How long a set-up may take.
const SET_UP: Duration = Duration::from_secs(30);

/// The inline projections of an open store.
pub(crate) struct Projections {
    inlines: Inlines<SqliteReadModel>,
    /// The file that handlers may only write to with their own connection.
    place: Arc<Place>,
    /// The timeout of a handler.
    patience: Duration,
}

impl Projections {
    /// Sets the projections up and takes in the events appended without them, in transactions of bounded size.
    pub(crate) async fn open(
        mut inlines: Inlines<SqliteReadModel>,
        connection: &mut SqliteConnection,
        kinds: &Kinds,
        settings: &Settings,
    ) -> Result<Self, StoreError> {
        inlines.check()?;
        let projections = Self { inlines, place: Arc::clone(&settings.place), patience: settings.patience };
        for inline in &projections.inlines {
            let started = projections.start(inline, connection, kinds).await;
            started.map_err(|error| EndedTransaction::without_append(OPERATION, error))?;
        }
        Ok(projections)
    }

    /// Sets one projection up, and takes in the events appended without it.
    async fn start(
        &self,
        inline: &Inline<SqliteReadModel>,
        connection: &mut SqliteConnection,
        kinds: &Kinds,
    ) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin_for_handlers(&mut *connection, self.patience, OPERATION).await?;
        self.set_up(inline, &mut transaction).await?;
        transaction.commit(OPERATION).await?;
        loop {
            let mut transaction = Transaction::begin_for_handlers(&mut *connection, self.patience, OPERATION).await?;
            let row = sqlx::query(include_str!("sql/select_head.sql")).fetch_one(&mut *transaction).await;
            let head: i64 = row.and_then(|row| row.try_get(0)).during(OPERATION)?;
            let head = Position::new(head.cast_unsigned());
            kinds.refresh(&mut transaction).await?;
            if self.advance(inline, &mut transaction, kinds, head, Some(BATCH)).await? {
                return Ok(());
            }
            transaction.commit(OPERATION).await?;
        }
    }

    pub(crate) fn names(&self) -> &StoredNames {
        self.inlines.names()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inlines.is_empty()
    }

    /// Sets one projection up, and stores its filter.
    async fn set_up(
        &self,
        inline: &Inline<SqliteReadModel>,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        let stored = checkpoint(connection, inline.name()).await.during(OPERATION)?;
        let before = self.filter(inline, connection).await?;
        let setup = inline.set_up(stored, before, &mut *connection, SET_UP);
        let Checkpoint { position, .. } = handling(Arc::clone(&self.place), inline.name(), setup).await?;
        check(inline, connection).await?;
        remember_filter(connection, inline.name(), inline.filter()).await.during(OPERATION)?;
        write_checkpoint(inline, connection, position).await
    }

    async fn filter(
        &self,
        inline: &Inline<SqliteReadModel>,
        connection: &mut SqliteConnection,
    ) -> Result<Option<Filter>, StoreError> {
        stored_filter(connection, inline.name()).await.during(OPERATION)
    }

    async fn on(
        &self,
        inline: &Inline<SqliteReadModel>,
        event: &RecordedEvent,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        // A handler that panics or exceeds the timeout fails its append. The writer continues.
        let handler = inline.on(event, connection, self.patience);
        let handled = handling(Arc::clone(&self.place), inline.name(), handler).await;
        handled.map_err(|error| inline.failed(error))
    }

    /// Takes recorded events into one projection, up to this position or until there were this many. `true` if there was
    /// nothing to take.
    async fn advance(
        &self,
        inline: &Inline<SqliteReadModel>,
        connection: &mut SqliteConnection,
        kinds: &Kinds,
        to: Position,
        limit: Option<u64>,
    ) -> Result<bool, StoreError> {
        let stored = checkpoint(connection, inline.name()).await.during(OPERATION)?;
        if inline.is_changed(&stored) {
            let before = self.filter(inline, connection).await?;
            return Err(inline.changed(&stored, before));
        }
        let mut reached = stored.position;
        if reached >= to {
            return Ok(true);
        }
        let query = inline.query().clone();
        let read = ReadAll { query, after: reached, to, direction: Direction::Forward, limit };
        let mut cursor = Cursor::new(read, to, kinds);
        while !cursor.is_done() {
            for event in cursor.next_page(connection, kinds).await? {
                self.on(inline, &event, connection).await?;
                reached = event.position;
            }
        }
        if cursor.limit != Some(0) {
            reached = to;
        }
        // A checkpoint that is written outside of the transaction could be that of events that were rolled back.
        check(inline, connection).await?;
        write_checkpoint(inline, connection, reached).await.map(|()| false)
    }

    /// Takes in, inside a batch's transaction, the events that others appended without these projections.
    pub(crate) async fn catch_up(
        &self,
        connection: &mut SqliteConnection,
        head: Position,
        kinds: &Kinds,
    ) -> Result<(), StoreError> {
        for inline in &self.inlines {
            self.advance(inline, connection, kinds, head, None).await?;
        }
        Ok(())
    }

    /// Takes in the events of a batch.
    pub(crate) async fn take(&self, connection: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), StoreError> {
        if plan.events.is_empty() {
            return Ok(());
        }
        for inline in &self.inlines {
            for row in plan.events.iter().filter(|row| inline.query().matches_data(row.stream_id, row.data)) {
                self.on(inline, &row.recorded(plan.now), connection).await?;
            }
            check(inline, connection).await?;
            write_checkpoint(inline, connection, plan.counters.position).await?;
        }
        Ok(())
    }
}

/// Fails if a handler of this projection ended the transaction.
async fn check(inline: &Inline<SqliteReadModel>, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    if is_whole(connection).await.during(OPERATION)? {
        return Ok(());
    }
    Err(EndedTransaction::by(inline.name()).unrecorded())
}

async fn write_checkpoint(
    inline: &Inline<SqliteReadModel>,
    connection: &mut SqliteConnection,
    position: Position,
) -> Result<(), StoreError> {
    let upsert = sqlx::query(include_str!("sql/upsert_checkpoint.sql")).bind(inline.name()).bind(position.as_i64());
    let upsert = upsert.bind(inline.filter().id().0.as_bytes().to_vec());
    upsert.execute(connection).await.map(drop).during(OPERATION)
}
