//! The tables of the read models, in SQLite or in Postgres: where the events are, if that is a database.
//!
//! Both take the same statements, written for tables in a schema `shop`. In SQLite there is no such schema. In Postgres it
//! has the name of the store's, so that each store has tables of its own, and text is compared byte by byte.

use anyhow::Result;
use recount::postgres::PostgresReadModel;
use recount::sqlite::SqliteReadModel;
use recount::{BoxError, Checkpoint, ReadModel};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, FromRow, PgConnection, SqliteConnection};

/// A value of a statement.
#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Number(i64),
}

impl<T: ToString + ?Sized> From<&T> for Value {
    fn from(text: &T) -> Self {
        Self::Text(text.to_string())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

macro_rules! query {
    ($query:expr, $values:expr) => {
        $values.into_iter().fold($query, |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
        })
    };
}

/// A database that the shop's projections write to.
pub trait Tables: Clone + Send + Sync + 'static {
    type ReadModel: ReadModel;

    /// Runs a statement of a handler.
    fn run<const N: usize>(
        &self,
        connection: &mut <Self::ReadModel as ReadModel>::Connection,
        sql: &str,
        values: [Value; N],
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// Tables in a SQLite file.
#[derive(Clone)]
pub struct Sqlite(pub SqliteReadModel);

/// Tables in a schema of a Postgres database.
#[derive(Clone)]
pub struct Postgres {
    read_model: PostgresReadModel,
    schema: String,
}

impl Sqlite {
    fn sql(sql: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(sql.replace("shop.", ""))
    }
}

impl Tables for Sqlite {
    type ReadModel = SqliteReadModel;

    async fn run<const N: usize>(
        &self,
        connection: &mut SqliteConnection,
        sql: &str,
        values: [Value; N],
    ) -> Result<(), BoxError> {
        query!(sqlx::query(Self::sql(sql)), values).execute(connection).await?;
        Ok(())
    }
}

impl Postgres {
    /// Makes the schema of the store at this address, if it isn't there.
    pub async fn open(read_model: PostgresReadModel, url: &str) -> Result<Self> {
        let store = url.split(['?', '&']).find_map(|part| part.strip_prefix("schema=")).unwrap_or("recount");
        let schema = format!("\"{store}_shop\"");
        // One at a time: two that make it at once would collide.
        let create = format!("SELECT pg_advisory_xact_lock(7330); CREATE SCHEMA IF NOT EXISTS {schema}");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(read_model.pool()).await?;
        Ok(Self { read_model, schema })
    }

    pub fn read_model(&self) -> &PostgresReadModel {
        &self.read_model
    }

    fn sql(&self, sql: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(sql.replace("shop.", &format!("{}.", self.schema)).replace(" TEXT", " TEXT COLLATE \"C\""))
    }
}

impl Tables for Postgres {
    type ReadModel = PostgresReadModel;

    async fn run<const N: usize>(
        &self,
        connection: &mut PgConnection,
        sql: &str,
        values: [Value; N],
    ) -> Result<(), BoxError> {
        query!(sqlx::query(self.sql(sql)), values).execute(connection).await?;
        Ok(())
    }
}

/// The read models, for queries.
pub enum ReadModels {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl ReadModels {
    pub async fn rows<R, const N: usize>(&self, sql: &str, values: [Value; N]) -> Result<Vec<R>>
    where
        R: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        Ok(match self {
            Self::Sqlite(tables) => query!(sqlx::query_as(Sqlite::sql(sql)), values).fetch_all(tables.0.pool()).await?,
            Self::Postgres(tables) => {
                query!(sqlx::query_as(tables.sql(sql)), values).fetch_all(tables.read_model.pool()).await?
            }
        })
    }

    /// Deletes the read models of an earlier shop, which has no outcomes: they are made anew. It did not record the filters of
    /// its projections in each file, so these can't find out themselves.
    pub async fn renew(&self) -> Result<()> {
        let Self::Sqlite(tables) = self else { return Ok(()) };
        let select = "SELECT count(*) FROM pragma_table_info('orders') WHERE name IN ('paid', 'outcome')";
        let (columns,): (i64,) = sqlx::query_as(select).fetch_one(tables.0.pool()).await?;
        if columns == 1 {
            for (projection, drop) in [
                ("sales", "DROP TABLE orders; DROP TABLE customers"),
                ("stock_levels", "DROP TABLE IF EXISTS stock"),
                ("notifications", "DROP TABLE IF EXISTS notifications"),
            ] {
                let (mut transaction, before) = tables.0.begin(projection).await?;
                sqlx::raw_sql(drop).execute(SqliteReadModel::connection(&mut transaction)).await?;
                tables.0.commit(transaction, projection, before, Checkpoint::START).await?;
            }
        }
        Ok(())
    }

    /// SQL for the day so many months after another one. Both go on counting behind the last day of a month.
    pub fn months_after(&self, day: &str, months: u32) -> String {
        match self {
            Self::Sqlite(_) => format!("date({day}, '+{months} months')"),
            Self::Postgres(_) => format!(
                "to_char(date_trunc('month', {day}::date) + interval '{months} months' \
                 + (extract(day FROM {day}::date) - 1) * interval '1 day', 'YYYY-MM-DD')"
            ),
        }
    }

    pub async fn close(&self) {
        if let Self::Sqlite(tables) = self {
            tables.0.pool().close().await;
        }
    }
}
