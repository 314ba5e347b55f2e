//! Read models in Postgres: in the store's own database, or in another one.

use std::fmt;
use std::time::Duration;

use recount_core::{Checkpoint, CheckpointError, EventId, Position, ReadModel, StoreError, StoreId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Postgres, Row, Transaction};
use sqlx_core::transaction::TransactionManager;

use crate::address::Address;
use crate::config::{DEFAULT_SCHEMA, READ_MODEL_CONNECTIONS};
use crate::database::{self, Database};
use crate::error::{Cause, During};
use crate::migrate;
use crate::schema::Schema;
use crate::statement::Statement;

const OPERATION: &str = "writing the read model";
/// How long closing waits for transactions that are open still.
const LAST_TRANSACTIONS: Duration = Duration::from_secs(5);

/// A read model in a Postgres database, whose checkpoints commit together with what handlers write: exactly once.
///
/// [`PostgresStore::read_model`](crate::PostgresStore::read_model) is in the store's own database, [`PostgresReadModel::open`]
/// in any. Checkpoints are kept in the schema `recount`, or the store's; handlers write where they like.
///
/// Handlers write through a plain [`sqlx::PgConnection`] and must leave the transaction open: no `COMMIT`, no `ROLLBACK`.
/// [`sqlx::Connection::begin`] inside makes a savepoint, as usual.
#[derive(Clone, Debug)]
pub struct PostgresReadModel(Database);

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
        Self(database)
    }

    /// Connections for queries.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// The checkpoint of a projection: everything up to it is in the read model. `START` if it never ran.
    ///
    /// # Errors
    /// [`StoreError`] if the database can't be asked.
    pub async fn checkpoint(&self, projection: &str) -> Result<Checkpoint, StoreError> {
        const OPERATION: &str = "reading a checkpoint";
        let select = Statement::new(&self.0.schema, include_str!("sql/select_checkpoint.sql")).bind(projection);
        let rows = self.0.read(OPERATION, select).await?;
        rows.first().map_or(Ok(Checkpoint::START), checkpoint).during(OPERATION)
    }

    /// Runs a statement of an open transaction.
    async fn run(&self, statement: Statement, connection: &mut PgConnection) -> Result<Vec<PgRow>, StoreError> {
        match statement.run(connection).await {
            Ok(rows) => Ok(rows),
            Err(error) => Err(self.0.failure(&Cause::from(error), OPERATION).await),
        }
    }

    pub(crate) async fn close(&self) {
        // An application that keeps a connection holds nobody up for long.
        if tokio::time::timeout(LAST_TRANSACTIONS, self.0.close()).await.is_err() {
            tracing::warn!("a connection of a read model is still in use");
        }
    }
}

/// Decodes the checkpoint from the first three columns.
fn checkpoint(row: &PgRow) -> Result<Checkpoint, sqlx::Error> {
    let position: i64 = row.try_get(0)?;
    let (store, event): (Option<_>, Option<_>) = (row.try_get(1)?, row.try_get(2)?);
    let position = Position::new(position.cast_unsigned());
    Ok(Checkpoint { position, store: store.map(StoreId), event: event.map(EventId) })
}

/// An open transaction of a [`PostgresReadModel`]. Dropping it undoes it.
pub struct PostgresTransaction {
    transaction: Transaction<'static, Postgres>,
    /// Tells whether it still is the one that was begun.
    id: String,
}

impl fmt::Debug for PostgresTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTransaction").finish_non_exhaustive()
    }
}

impl ReadModel for PostgresReadModel {
    type Connection = PgConnection;
    type Transaction = PostgresTransaction;

    const BATCH: usize = 1000;

    async fn begin(&self, projection: &str) -> Result<(PostgresTransaction, Checkpoint), StoreError> {
        let mut transaction = match self.0.pool.begin().await {
            Ok(transaction) => transaction,
            Err(error) => return Err(self.0.failure(&Cause::from(error), OPERATION).await),
        };
        let select = Statement::new(&self.0.schema, include_str!("sql/begin_checkpoint.sql")).bind(projection);
        let rows = self.run(select, &mut transaction).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound).during(OPERATION)?;
        let checkpoint = checkpoint(row).during(OPERATION)?;
        let id = row.try_get(3).during(OPERATION)?;
        Ok((PostgresTransaction { transaction, id }, checkpoint))
    }

    fn connection(transaction: &mut PostgresTransaction) -> &mut PgConnection {
        &mut transaction.transaction
    }

    async fn commit(
        &self,
        transaction: PostgresTransaction,
        projection: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), CheckpointError> {
        let PostgresTransaction { mut transaction, id } = transaction;
        let refuse = |source: &str| StoreError::Backend { operation: OPERATION, source: source.into() };
        let connection: &mut PgConnection = &mut transaction;
        if <Postgres as sqlx::Database>::TransactionManager::get_transaction_depth(connection) != 1 {
            return Err(refuse("a handler left a savepoint open").into());
        }
        let statement = |template: &'static str| Statement::new(&self.0.schema, template);
        if from.position == Position::START {
            let insert = statement(include_str!("sql/insert_checkpoint.sql")).bind(projection).bind(id.as_str());
            self.run(insert, connection).await?;
        }
        let update = statement(include_str!("sql/move_checkpoint.sql"));
        let parts =
            |at: Checkpoint| (at.position.as_i64(), at.store.map(|store| store.0), at.event.map(|event| event.0));
        let ((from_position, from_store, from_event), (position, store, event)) = (parts(from), parts(to));
        let update = update.bind(projection).bind(from_position).bind(from_store).bind(from_event);
        let update = update.bind(position).bind(store).bind(event).bind(id.as_str());
        if self.run(update, connection).await?.is_empty() {
            let same = statement(include_str!("sql/same_transaction.sql")).bind(id.as_str());
            let rows = self.run(same, connection).await?;
            if !rows.first().map_or(Ok(false), |row| row.try_get::<bool, _>(0)).during(OPERATION)? {
                return Err(refuse("a handler ended the transaction").into());
            }
            let (expected, actual) = (from.position, self.checkpoint(projection).await?.position);
            return Err(CheckpointError::Moved { projection: projection.to_owned(), expected, actual });
        }
        transaction.commit().await.map_err(|error| Cause::from(error).commit_error(OPERATION).into())
    }
}
