//! The tables: reading the version of a schema, and migrating it to the newest.

use std::pin::pin;

use recount_core::StoreError;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};
use tokio::time::timeout;

use crate::database::Database;
use crate::error::{Cause, Class, During};
use crate::schema::Schema;
use crate::{patience, sequences};

/// The scripts that lead from one schema version to the next, from version 0, nothing.
const MIGRATIONS: [&str; 1] = [include_str!("../migrations/0001.sql")];
pub(crate) const OPERATION: &str = "migrating the database";

/// All migrations as one script.
pub(crate) fn script(schema: &Schema) -> String {
    let mut script = format!("BEGIN;\nSELECT pg_advisory_xact_lock({});\n", schema.migration_key());
    script.push_str(schema.text(include_str!("sql/create_schema.sql")).trim_end());
    script.push_str(";\n");
    for (index, migration) in MIGRATIONS.iter().enumerate() {
        script.push_str(&schema.text(migration));
        let insert = schema.text(include_str!("sql/insert_version.sql"));
        script.push_str(&format!("{};\n", insert.trim_end().replace("$1", &(index + 1).to_string())));
    }
    script.push_str(install_functions(schema).trim_end());
    script.push_str(";\n");
    script.push_str("COMMIT;\n");
    script
}

/// The SQL that creates the functions for the schema's current name.
fn install_functions(schema: &Schema) -> String {
    let functions = include_str!("../migrations/functions.sql");
    schema.text(&include_str!("sql/install_functions.sql").replace("{functions}", functions))
}

/// Recreates the functions if the schema was renamed. Their texts contain the schema's name, so the old functions would
/// use the schema that now has the old name.
async fn rename(connection: &mut PgConnection, schema: &Schema) -> Result<(), StoreError> {
    if name(connection, schema).await? == schema.name() {
        return Ok(());
    }
    let mut transaction = connection.begin().await.during(OPERATION)?;
    lock(&mut transaction, schema).await?;
    let before = name(&mut transaction, schema).await?;
    if before != schema.name() {
        // Appends in flight hold locks of the old name, which readers and appends by the new name do not see.
        let wait = Schema::new(&before)?.sql(include_str!("sql/lock_out_appends.sql"));
        sqlx::raw_sql(wait).execute(&mut *transaction).await.during(OPERATION)?;
        let install = AssertSqlSafe(install_functions(schema));
        sqlx::raw_sql(install).execute(&mut *transaction).await.during(OPERATION)?;
        let update = sqlx::query(schema.sql(include_str!("sql/name_schema.sql"))).bind(schema.name());
        update.execute(&mut *transaction).await.during(OPERATION)?;
        tracing::warn!(before, now = schema.name(), "the schema was renamed: its functions are recreated");
    }
    transaction.commit().await.map_err(|error| Cause::from(error).commit_error(OPERATION))
}

/// The schema name in the functions' texts.
async fn name(connection: &mut PgConnection, schema: &Schema) -> Result<String, StoreError> {
    let select = sqlx::query(schema.sql(include_str!("sql/select_store_name.sql")));
    select.fetch_one(connection).await.and_then(|row| row.try_get(0)).during(OPERATION)
}

/// The schema version, 0 if there is nothing yet, if this program may use it.
async fn version(connection: &mut PgConnection, schema: &Schema) -> Result<usize, StoreError> {
    if !exists(connection, schema, "migrations").await? {
        return Ok(0);
    }
    let found = sqlx::query(schema.sql(include_str!("sql/select_version.sql"))).fetch_optional(connection).await;
    let found: Option<i32> = found.and_then(|row| row.map(|row| row.try_get(0)).transpose()).during(OPERATION)?;
    let found = usize::try_from(found.unwrap_or(0)).unwrap_or(usize::MAX);
    if found > MIGRATIONS.len() {
        return Err(StoreError::SchemaVersion { found: found as u64, known: MIGRATIONS.len() as u64 });
    }
    Ok(found)
}

/// Brings the schema to the newest version. Of several that try at once, one does it and the others wait. Without anything
/// to do it needs no rights beyond reading.
#[tracing::instrument(level = "debug", skip_all, fields(schema = ?database.schema))]
pub(crate) async fn migrate(database: &Database) -> Result<(), StoreError> {
    patiently(database, async |connection, schema| {
        bring_up(connection, schema).await?;
        rename(connection, schema).await?;
        sequences::heal(connection, schema).await
    })
    .await
}

/// Does it on a connection of its own, which a server that falls silent doesn't hold up for ever.
async fn patiently(
    database: &Database,
    work: impl AsyncFnOnce(&mut PgConnection, &Schema) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let connecting = async {
        loop {
            let mut connection = database.pool.connect_options().connect().await?;
            match patience::process(&mut connection).await {
                Ok(process) => return Ok((connection, process)),
                // An administrator may be ending sessions. The next session lives, or can't be opened.
                Err(error) => {
                    let cause = Cause::from(error);
                    if cause.class() != Class::Ended {
                        return Err(cause);
                    }
                }
            }
        }
    };
    let connected = timeout(database.patience(), connecting).await.unwrap_or_else(|_| Err(patience::silence().into()));
    let connected = connected.map_err(|cause: Cause| cause.store_error("connecting to the database"));
    let (mut connection, process) = connected?;
    let working = async {
        work(&mut connection, &database.schema).await?;
        connection.close().await.during(OPERATION)
    };
    database.patiently(process, pin!(async { Ok(working.await) })).await.during(OPERATION)?
}

async fn bring_up(connection: &mut PgConnection, schema: &Schema) -> Result<(), StoreError> {
    if version(connection, schema).await? < MIGRATIONS.len() {
        let mut transaction = connection.begin().await.during(OPERATION)?;
        lock(&mut transaction, schema).await?;
        let found = version(&mut transaction, schema).await?;
        let create = schema.sql(include_str!("sql/create_schema.sql"));
        sqlx::raw_sql(create).execute(&mut *transaction).await.during(OPERATION)?;
        for (index, script) in MIGRATIONS.iter().enumerate().skip(found) {
            sqlx::raw_sql(schema.sql(script)).execute(&mut *transaction).await.during(OPERATION)?;
            let insert = sqlx::query(schema.sql(include_str!("sql/insert_version.sql")));
            let number = i32::try_from(index + 1).unwrap_or(i32::MAX);
            insert.bind(number).execute(&mut *transaction).await.during(OPERATION)?;
            tracing::info!(version = number, "migrated the database");
        }
        let install = AssertSqlSafe(install_functions(schema));
        sqlx::raw_sql(install).execute(&mut *transaction).await.during(OPERATION)?;
        transaction.commit().await.map_err(|error| Cause::from(error).commit_error(OPERATION))?;
    }
    Ok(())
}

/// Whether the schema has the table. Looks at the catalog's rows, as they are now: names are resolved from a cache
/// that another's commit reaches only later.
async fn exists(connection: &mut PgConnection, schema: &Schema, table: &str) -> Result<bool, StoreError> {
    let select = sqlx::query(include_str!("sql/has_table.sql")).bind(schema.name()).bind(table);
    select.fetch_one(connection).await.and_then(|row| row.try_get(0)).during(OPERATION)
}

/// Makes the table of checkpoints, for a database that holds read models only.
pub(crate) async fn make_checkpoints(database: &Database) -> Result<(), StoreError> {
    patiently(database, async |connection, schema| add_checkpoints(connection, schema).await).await
}

async fn add_checkpoints(connection: &mut PgConnection, schema: &Schema) -> Result<(), StoreError> {
    if !exists(connection, schema, "checkpoints").await? {
        let mut transaction = connection.begin().await.during(OPERATION)?;
        lock(&mut transaction, schema).await?;
        if !exists(&mut transaction, schema, "checkpoints").await? {
            for script in [include_str!("sql/create_schema.sql"), include_str!("sql/create_checkpoints.sql")] {
                sqlx::raw_sql(schema.sql(script)).execute(&mut *transaction).await.during(OPERATION)?;
            }
        }
        transaction.commit().await.map_err(|error| Cause::from(error).commit_error(OPERATION))?;
    }
    Ok(())
}

pub(crate) async fn lock(connection: &mut PgConnection, schema: &Schema) -> Result<(), StoreError> {
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(schema.migration_key());
    lock.execute(connection).await.map(drop).during(OPERATION)
}
