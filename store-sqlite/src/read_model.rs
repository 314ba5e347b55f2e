//! Read models in SQLite: in the store's own file, or in one of their own.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use recount_core::{
    Checkpoint, CheckpointError, EventId, Filter, FilterId, Position, ReadModel, Runners, StoreError, StoreId,
    StoredCheckpoint, driven, is_transient,
};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row, SqliteConnection};
use tokio::time::Instant;

use crate::connection::Settings;
use crate::error::{During, heals, occupied};
use crate::handling::{handling, refuse_inside};
use crate::identity::uuid;
use crate::path;
use crate::transaction::{Transaction, depth, is_whole};
use crate::write_lock::{Holder, TurnConnection, WriteLock};

const OPERATION: &str = "writing the read model";
/// How long the handlers of one transaction may take.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A read model in a SQLite file. Its checkpoints commit together with the handlers' writes: exactly once.
///
/// [`SqliteReadModel::open`] uses a file of its own, which may hold other tables and may be deleted to
/// rebuild everything. [`SqliteStore::read_model`](crate::SqliteStore::read_model) uses the store's file: then projections and appends
/// take turns, first come, first served.
///
/// Handlers write through a plain [`sqlx::SqliteConnection`] and must leave the transaction open: no `COMMIT`, no `ROLLBACK`.
/// [`sqlx::Connection::begin`] inside makes a savepoint, as usual.
#[derive(Clone, Debug)]
pub struct SqliteReadModel {
    writer: WriteLock,
    readers: SqlitePool,
    path: PathBuf,
    runners: Runners,
    time_limit: Duration,
}

impl SqliteReadModel {
    /// Opens the file for read models, and creates it if it isn't there.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be opened or written to.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let settings = Arc::new(Settings::new(&path::checked(path.as_ref())?));
        let mut connection = settings.open().await?;
        let create = sqlx::query(include_str!("sql/create_checkpoints.sql"));
        create.execute(&mut connection).await.during(OPERATION)?;
        settings.place.remember(&settings.path, None)?;
        let readers = settings.pool();
        let path = settings.path.clone();
        Ok(Self::new(WriteLock::new(settings, connection), readers, &path))
    }

    pub(crate) fn new(writer: WriteLock, readers: SqlitePool, path: &Path) -> Self {
        Self { writer, readers, path: path.to_owned(), runners: Runners::default(), time_limit: TIME_LIMIT }
    }

    /// How long the handlers of one transaction may take. Then it is undone, and tried again with fewer events. 30
    /// seconds unless set.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Connections for queries; they can't write.
    #[must_use]
    pub fn pool(&self) -> &SqlitePool {
        &self.readers
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoint of a projection: everything up to it is in the read model. `START` if it never ran.
    ///
    /// # Errors
    /// [`StoreError`] if the file can't be read.
    pub async fn checkpoint(&self, projection: &str) -> Result<Checkpoint, StoreError> {
        const OPERATION: &str = "reading a checkpoint";
        let (readers, projection) = (self.readers.clone(), projection.to_owned());
        driven(OPERATION, async move {
            let select = sqlx::query(include_str!("sql/select_checkpoint.sql")).bind(projection);
            let row = select.fetch_optional(&readers).await.during(OPERATION)?;
            row.as_ref().map_or(Ok(Checkpoint::START), decode).during(OPERATION)
        })
        .await
    }
}

fn decode(row: &SqliteRow) -> Result<Checkpoint, sqlx::Error> {
    let position: i64 = row.try_get(0)?;
    let (store, event) = (uuid(row, 1)?.map(StoreId), uuid(row, 2)?.map(EventId));
    let filter = uuid(row, 3)?.map(FilterId);
    Ok(Checkpoint { position: Position::new(position.cast_unsigned()), store, event, filter })
}

fn stored(row: &SqliteRow) -> Result<StoredCheckpoint, sqlx::Error> {
    let filter: Option<&str> = row.try_get(5)?;
    let filter = filter.map(Filter::parse);
    Ok(StoredCheckpoint { projection: row.try_get(4)?, checkpoint: decode(row)?, filter })
}

/// An open transaction of a [`SqliteReadModel`]. Dropping it undoes it and lets the next writer go on.
pub struct SqliteTransaction(Transaction<TurnConnection>);

impl fmt::Debug for SqliteTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTransaction").finish_non_exhaustive()
    }
}

impl ReadModel for SqliteReadModel {
    type Connection = SqliteConnection;
    type Transaction = SqliteTransaction;

    const BATCH: usize = 1000;

    fn runners(&self) -> &Runners {
        &self.runners
    }

    fn time_limit(&self) -> Duration {
        self.time_limit
    }

    fn is_transient(&self, projection: &str, error: &(dyn Error + 'static)) -> bool {
        let mut causes = std::iter::successors(Some(error), |&error| error.source());
        // Time doesn't free the file from a handler that waits for itself.
        let own = |cause: &(dyn Error + 'static)| occupied(cause).is_some_and(|by| by.is_projection(projection));
        if causes.clone().any(own) {
            return false;
        }
        is_transient(error) || causes.any(|cause| cause.downcast_ref().is_some_and(heals))
    }

    async fn begin(&self, projection: &str) -> Result<(SqliteTransaction, Checkpoint), StoreError> {
        refuse_inside(self.writer.place(), OPERATION)?;
        let holder = Holder::Projection(projection.into());
        let connection = self.writer.lock(Instant::now(), holder).await?.into_connection().await?;
        let mut transaction = Transaction::begin_for_handlers(connection, self.writer.patience(), OPERATION).await?;
        let checkpoint = checkpoint(&mut transaction, projection).await.during(OPERATION)?;
        Ok((SqliteTransaction(transaction), checkpoint))
    }

    fn connection(transaction: &mut SqliteTransaction) -> &mut SqliteConnection {
        &mut transaction.0
    }

    async fn handling<F: Future<Output: Send> + Send>(&self, projection: &str, handlers: F) -> F::Output {
        handling(Arc::clone(self.writer.place()), projection, handlers).await
    }

    async fn checkpoints(&self) -> Result<Vec<StoredCheckpoint>, StoreError> {
        const OPERATION: &str = "reading the checkpoints";
        let readers = self.readers.clone();
        driven(OPERATION, async move {
            let rows = sqlx::query(include_str!("sql/list_checkpoints.sql")).fetch_all(&readers).await;
            rows.and_then(|rows| rows.iter().map(stored).collect()).during(OPERATION)
        })
        .await
    }

    async fn filter(
        &self,
        transaction: &mut SqliteTransaction,
        projection: &str,
    ) -> Result<Option<Filter>, StoreError> {
        stored_filter(&mut transaction.0, projection).await.during(OPERATION)
    }

    async fn remember_filter(
        &self,
        transaction: &mut SqliteTransaction,
        projection: &str,
        filter: &Filter,
    ) -> Result<(), StoreError> {
        remember_filter(&mut transaction.0, projection, filter).await.during(OPERATION)
    }

    async fn commit(
        &self,
        transaction: SqliteTransaction,
        projection: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), CheckpointError> {
        let SqliteTransaction(mut transaction) = transaction;
        let refuse = |source: &str| StoreError::Backend { operation: OPERATION, source: source.into() };
        if depth(&transaction) != 1 {
            return Err(refuse("a handler left a savepoint open").into());
        }
        if !is_whole(&mut transaction).await.during(OPERATION)? {
            return Err(refuse("a handler ended the transaction").into());
        }
        let connection = &mut *transaction;
        let insert = sqlx::query(include_str!("sql/insert_checkpoint.sql")).bind(projection);
        let mut update = sqlx::query(include_str!("sql/move_checkpoint.sql")).bind(projection);
        for Checkpoint { position, store, event, filter } in [from, to] {
            let bytes = |id: uuid::Uuid| id.as_bytes().to_vec();
            update = update.bind(position.as_i64()).bind(store.map(|id| bytes(id.0))).bind(event.map(|id| bytes(id.0)));
            update = update.bind(filter.map(|id| bytes(id.0)));
        }
        if from.position == Position::START {
            insert.execute(&mut *connection).await.during(OPERATION)?;
        }
        let moved = update.execute(&mut *connection).await.during(OPERATION)?;
        if moved.rows_affected() == 0 {
            let actual = checkpoint(connection, projection).await.during(OPERATION)?.position;
            let (projection, expected) = (projection.to_owned(), from.position);
            return Err(CheckpointError::Moved { projection, expected, actual });
        }
        transaction.commit(OPERATION).await?;
        Ok(self.writer.place().check(OPERATION)?)
    }
}

pub(crate) async fn checkpoint(connection: &mut SqliteConnection, projection: &str) -> Result<Checkpoint, sqlx::Error> {
    let select = sqlx::query(include_str!("sql/select_checkpoint.sql")).bind(projection);
    let row = select.fetch_optional(connection).await?;
    row.as_ref().map_or(Ok(Checkpoint::START), decode)
}

pub(crate) async fn stored_filter(
    connection: &mut SqliteConnection,
    projection: &str,
) -> Result<Option<Filter>, sqlx::Error> {
    let select = sqlx::query_scalar(include_str!("sql/select_filter.sql")).bind(projection);
    let text: Option<Option<String>> = select.fetch_optional(connection).await?;
    Ok(text.flatten().map(|text| Filter::parse(&text)))
}

pub(crate) async fn remember_filter(
    connection: &mut SqliteConnection,
    projection: &str,
    filter: &Filter,
) -> Result<(), sqlx::Error> {
    let remember = sqlx::query(include_str!("sql/remember_filter.sql")).bind(projection).bind(filter.to_string());
    remember.execute(connection).await.map(drop)
}
