//! Read models in Postgres: in the store's own database, or in another one.

use std::error::Error;
use std::time::Duration;

use recount_core::{
    Checkpoint, CheckpointError, EventId, Filter, FilterId, Position, ReadModel, Runners, StoreError, StoreId,
    StoredCheckpoint, is_transient,
};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use tokio::time::timeout;

use crate::address::Address;
use crate::config::{DEFAULT_SCHEMA, READ_MODEL_CONNECTIONS};
use crate::database::{self, Database};
use crate::error::{Cause, During, heals};
use crate::migrate;
use crate::patience;
use crate::schema::Schema;
use crate::statement::Statement;
use crate::transaction::PostgresTransaction;

const OPERATION: &str = "writing the read model";
/// How long closing waits for transactions that are open still.
const LAST_TRANSACTIONS: Duration = Duration::from_secs(5);
/// How long the handlers of one transaction may take, unless set.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A read model in a Postgres database. Its checkpoints commit together with the handlers' writes: exactly once.
///
/// [`PostgresStore::read_model`](crate::PostgresStore::read_model) is in the store's own database, [`PostgresReadModel::open`]
/// in any. Checkpoints are kept in the schema `recount`, or the store's; handlers write where they like.
///
/// Handlers write through a plain [`sqlx::PgConnection`] and must leave the transaction open: no `COMMIT`, no `ROLLBACK`.
/// [`sqlx::Connection::begin`] inside makes a savepoint, as usual.
///
/// Every wait has a limit: 10 seconds to begin and to commit, and the [time limit](Self::with_time_limit) for handlers.
/// The server ends a session after its transaction was idle for that long, so the locks of a runner that has fallen
/// silent hold up another runner for no longer.
#[derive(Clone, Debug)]
pub struct PostgresReadModel {
    database: Database,
    runners: Runners,
    time_limit: Duration,
}

impl PostgresReadModel {
    /// Opens a database for read models. The address is that of a store; its `schema` holds the checkpoints.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be reached, or the table of checkpoints can't be made.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let (options, named) = Address::new(url).options()?;
        let schema = Schema::new(named.as_deref().unwrap_or(DEFAULT_SCHEMA))?;
        let pool = database::pool(options, READ_MODEL_CONNECTIONS, Duration::from_secs(10), false);
        let database = Database::new(pool, schema);
        migrate::make_checkpoints(&database).await?;
        Ok(Self::new(database))
    }

    pub(crate) fn new(database: Database) -> Self {
        Self { database, runners: Runners::default(), time_limit: TIME_LIMIT }
    }

    /// How long the handlers of one transaction may take, each of their statements, and an idle moment between two. Then
    /// the transaction is undone, and tried again with fewer events. 30 seconds unless set.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Connections for queries.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    /// The checkpoint of a projection: everything up to it is in the read model. `START` if it never ran.
    ///
    /// # Errors
    /// [`StoreError`] if the database can't be asked.
    pub async fn checkpoint(&self, projection: &str) -> Result<Checkpoint, StoreError> {
        const OPERATION: &str = "reading a checkpoint";
        let select = Statement::new(&self.database.schema, include_str!("sql/select_checkpoint.sql")).bind(projection);
        let rows = self.database.read(OPERATION, select).await?;
        rows.first().map_or(Ok(Checkpoint::START), checkpoint).during(OPERATION)
    }

    /// Runs a statement of an open transaction.
    async fn run(&self, statement: Statement, connection: &mut PgConnection) -> Result<Vec<PgRow>, StoreError> {
        match statement.run(connection).await {
            Ok(rows) => Ok(rows),
            Err(error) => Err(self.database.failure(&Cause::from(error), OPERATION).await),
        }
    }

    /// Bounds the wait for the server's answers.
    async fn in_time<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Option<Result<T, StoreError>> {
        timeout(self.database.patience(), call).await.ok()
    }

    async fn begin_transaction(&self, projection: &str) -> Result<(PostgresTransaction, Checkpoint), StoreError> {
        let acquired = self.database.pool.acquire().await;
        let begun = match acquired {
            Ok(connection) => PostgresTransaction::begin(connection, self.time_limit).await,
            Err(error) => Err(error),
        };
        let mut transaction = match begun {
            Ok(transaction) => transaction,
            Err(error) => return Err(self.database.failure(&Cause::from(error), OPERATION).await),
        };
        let select = Statement::new(&self.database.schema, include_str!("sql/begin_checkpoint.sql")).bind(projection);
        let rows = self.run(select, transaction.lend()).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound).during(OPERATION)?;
        let checkpoint = checkpoint(row).during(OPERATION)?;
        transaction.begun(row.try_get(4).during(OPERATION)?);
        Ok((transaction, checkpoint))
    }

    /// Moves the checkpoint in the transaction.
    async fn move_checkpoint(
        &self,
        transaction: &mut PostgresTransaction,
        projection: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), CheckpointError> {
        let refuse = |source: &str| StoreError::Backend { operation: OPERATION, source: source.into() };
        if transaction.depth() != 1 {
            return Err(refuse("a handler left a savepoint open").into());
        }
        let id = transaction.id().to_owned();
        let connection = transaction.lend();
        let statement = |template: &'static str| Statement::new(&self.database.schema, template);
        if from.position == Position::START {
            let insert = statement(include_str!("sql/insert_checkpoint.sql")).bind(projection).bind(id.as_str());
            self.run(insert, connection).await?;
        }
        let mut update = statement(include_str!("sql/move_checkpoint.sql")).bind(projection);
        for Checkpoint { position, store, event, filter } in [from, to] {
            update = update.bind(position.as_i64()).bind(store.map(|id| id.0));
            update = update.bind(event.map(|id| id.0)).bind(filter.map(|id| id.0));
        }
        if !self.run(update.bind(id.as_str()), connection).await?.is_empty() {
            return Ok(());
        }
        let same = statement(include_str!("sql/same_transaction.sql")).bind(id.as_str());
        let rows = self.run(same, connection).await?;
        if !rows.first().map_or(Ok(false), |row| row.try_get::<bool, _>(0)).during(OPERATION)? {
            return Err(refuse("a handler ended the transaction").into());
        }
        let (expected, actual) = (from.position, self.checkpoint(projection).await?.position);
        Err(CheckpointError::Moved { projection: projection.to_owned(), expected, actual })
    }

    pub(crate) async fn close(&self) {
        // An application that keeps a connection must not hold up the caller of `close` for long.
        if tokio::time::timeout(LAST_TRANSACTIONS, self.database.close()).await.is_err() {
            tracing::warn!("a connection of a read model is still in use");
        }
    }
}

/// Decodes the checkpoint from the first four columns.
pub(crate) fn checkpoint(row: &PgRow) -> Result<Checkpoint, sqlx::Error> {
    let position: i64 = row.try_get(0)?;
    let (store, event): (Option<_>, Option<_>) = (row.try_get(1)?, row.try_get(2)?);
    let (position, filter): (_, Option<_>) = (Position::new(position.cast_unsigned()), row.try_get(3)?);
    Ok(Checkpoint { position, store: store.map(StoreId), event: event.map(EventId), filter: filter.map(FilterId) })
}

/// Decodes the checkpoint, the projection's name and the filter.
fn stored(row: &PgRow) -> Result<StoredCheckpoint, sqlx::Error> {
    let filter: Option<&str> = row.try_get(5)?;
    let filter = filter.map(Filter::parse);
    Ok(StoredCheckpoint { projection: row.try_get(4)?, checkpoint: checkpoint(row)?, filter })
}

impl ReadModel for PostgresReadModel {
    type Connection = PgConnection;
    type Transaction = PostgresTransaction;

    const BATCH: usize = 1000;

    fn runners(&self) -> &Runners {
        &self.runners
    }

    fn time_limit(&self) -> Duration {
        self.time_limit
    }

    fn is_transient(&self, _: &str, error: &(dyn Error + 'static)) -> bool {
        let mut causes = std::iter::successors(Some(error), |&error| error.source());
        is_transient(error) || causes.any(|cause| cause.downcast_ref().is_some_and(heals))
    }

    async fn begin(&self, projection: &str) -> Result<(PostgresTransaction, Checkpoint), StoreError> {
        let begun = self.in_time(self.begin_transaction(projection)).await;
        begun.unwrap_or_else(|| Err(Cause::from(patience::silence()).store_error(OPERATION)))
    }

    fn connection(transaction: &mut PostgresTransaction) -> &mut PgConnection {
        transaction.lend()
    }

    async fn checkpoints(&self) -> Result<Vec<StoredCheckpoint>, StoreError> {
        const OPERATION: &str = "reading the checkpoints";
        let select = Statement::new(&self.database.schema, include_str!("sql/list_checkpoints.sql"));
        self.database.read(OPERATION, select).await?.iter().map(stored).collect::<Result<_, _>>().during(OPERATION)
    }

    async fn filter(
        &self,
        transaction: &mut PostgresTransaction,
        projection: &str,
    ) -> Result<Option<Filter>, StoreError> {
        let select = Statement::new(&self.database.schema, include_str!("sql/select_filter.sql")).bind(projection);
        let selected = self.in_time(self.run(select, transaction.lend())).await;
        let rows = selected.unwrap_or_else(|| Err(Cause::from(patience::silence()).store_error(OPERATION)))?;
        let text: Option<String> = rows.first().map_or(Ok(None), |row| row.try_get(0)).during(OPERATION)?;
        Ok(text.map(|text| Filter::parse(&text)))
    }

    async fn remember_filter(
        &self,
        transaction: &mut PostgresTransaction,
        projection: &str,
        filter: &Filter,
    ) -> Result<(), StoreError> {
        let remember = Statement::new(&self.database.schema, include_str!("sql/remember_filter.sql"));
        let remember = remember.bind(projection).bind(filter.to_string());
        let remembered = self.in_time(self.run(remember, transaction.lend())).await;
        remembered.unwrap_or_else(|| Err(Cause::from(patience::silence()).store_error(OPERATION))).map(drop)
    }

    async fn commit(
        &self,
        mut transaction: PostgresTransaction,
        projection: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), CheckpointError> {
        let patience = self.database.patience();
        let moving = timeout(patience, self.move_checkpoint(&mut transaction, projection, from, to)).await;
        moving.unwrap_or_else(|_| Err(Cause::from(patience::silence()).store_error(OPERATION).into()))?;
        let committed = timeout(patience, transaction.commit()).await.unwrap_or_else(|_| Err(patience::silence()));
        committed.map_err(|error| Cause::from(error).commit_error(OPERATION).into())
    }
}
