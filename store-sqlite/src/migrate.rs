//! The schema: reads a file's version and migrates it to the newest.

use std::io::ErrorKind;
use std::path::Path;

use recount_core::{StoreError, StoreId};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::connection::{Settings, patiently};
use crate::error::{During, damaged};
use crate::transaction::Transaction;

/// Marks the file as recount's: `RCNT`.
const APPLICATION_ID: i64 = 0x5243_4e54;

/// The scripts that lead from one schema version to the next, from version 0, an empty file.
const MIGRATIONS: [&str; 1] = [include_str!("../migrations/0001.sql")];
const OPERATION: &str = "migrating the database";

/// Makes sure that the file is recount's, or no file or an empty one yet, without changing it.
pub(crate) async fn inspect(settings: &Settings) -> Result<(), StoreError> {
    if !has_content(&settings.path)? {
        return Ok(());
    }
    // The header can be in the log still: only SQLite knows the newest one.
    let found = patiently(settings.patience, || async {
        let mut connection = settings.inspect().await?;
        let found = Found::read(&mut connection).await?;
        connection.close().await?;
        Ok(found)
    });
    match found.await {
        Ok(found) => found.check(&settings.path).map(drop),
        // Another process is just creating it, or removed it again: opening to write decides.
        Err(cause) if cause.is_cannot_open() => Ok(()),
        Err(cause) if cause.is_not_a_database() => {
            Err(damaged(format!("{} is not a SQLite database", settings.path.display())))
        }
        Err(cause) => Err(cause.at(&settings.path).store_error("inspecting the database")),
    }
}

/// Whether the file exists and is not empty.
///
/// Does not open the file: closing it would release the locks that SQLite holds for other connections of this process.
fn has_content(path: &Path) -> Result<bool, StoreError> {
    match std::fs::metadata(path) {
        Ok(file) => Ok(file.len() > 0),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::Backend {
            operation: "looking for the database",
            source: std::io::Error::new(error.kind(), format!("{}: {error}", path.display())).into(),
        }),
    }
}

/// The identification that a file contains.
struct Found {
    application_id: i64,
    version: i64,
    /// The number of tables; 0 if it is a file of read models, which may become a store too.
    tables: i64,
}

impl Found {
    async fn read(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let (application_id, version, tables) =
            sqlx::query_as(include_str!("sql/select_identity.sql")).fetch_one(connection).await?;
        Ok(Self { application_id, version, tables })
    }

    /// The file's schema version, from 0 for an empty file, if this program may use it.
    fn check(&self, path: &Path) -> Result<usize, StoreError> {
        match self.application_id {
            APPLICATION_ID => {}
            0 if self.tables == 0 => return Ok(0),
            other => {
                return Err(damaged(format!(
                    "{} belongs to another application (application id {other:#x}): choose another file",
                    path.display()
                )));
            }
        }
        let version = usize::try_from(self.version).unwrap_or(usize::MAX);
        if version > MIGRATIONS.len() {
            return Err(StoreError::SchemaVersion { found: version as u64, known: MIGRATIONS.len() as u64 });
        }
        Ok(version)
    }
}

/// Brings the file to the newest schema. Of several processes that try at once, one does it and the others wait.
#[tracing::instrument(level = "debug", skip_all, fields(path = %settings.path.display()))]
pub(crate) async fn migrate(settings: &Settings, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let found = Found::read(&mut *connection).await.during(OPERATION)?;
    if found.check(&settings.path)? == MIGRATIONS.len() {
        return Ok(());
    }
    let mut transaction = Transaction::begin(connection, settings.patience, OPERATION).await?;
    let found = Found::read(&mut transaction).await.during(OPERATION)?;
    let version = found.check(&settings.path)?;
    for (index, script) in MIGRATIONS.iter().enumerate().skip(version) {
        sqlx::raw_sql(*script).execute(&mut *transaction).await.during(OPERATION)?;
        tracing::info!(version = index + 1, "migrated the database");
    }
    if version == 0 {
        let insert = sqlx::query(include_str!("sql/insert_store.sql")).bind(StoreId::new().0.as_bytes().to_vec());
        insert.execute(&mut *transaction).await.during(OPERATION)?;
    }
    // A pragma takes no bound parameters; both are constants of this program.
    let stamp = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}", MIGRATIONS.len());
    sqlx::raw_sql(AssertSqlSafe(stamp)).execute(&mut *transaction).await.during(OPERATION)?;
    transaction.commit(OPERATION).await
}
