//! The store's identity, the event at a position, and the check whether another store has replaced this one.

use recount_core::{EventAt, EventId, Position, StoreError, StoreId};
use sqlx::postgres::types::Oid;
use sqlx::{ConnectOptions, Row};
use tokio::time::timeout;
use uuid::Uuid;

use crate::database::Database;
use crate::error::{Cause, Class, During, damaged};
use crate::patience;
use crate::statement::Statement;

/// The identity of the store, drawn when its schema was created, and the view that is named after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) store: StoreId,
    pub(crate) mark: Oid,
}

pub(crate) async fn identify(database: &Database) -> Result<Identity, StoreError> {
    const OPERATION: &str = "reading the identity of the store";
    let rows = database.read(OPERATION, Statement::new(&database.schema, include_str!("sql/select_store.sql"))).await?;
    let row = rows.first().ok_or_else(|| damaged("the table of the store's identity is empty"))?;
    let store = row.try_get(0).map(StoreId).during(OPERATION)?;
    Ok(Identity { store, mark: row.try_get(1).during(OPERATION)? })
}

/// Looks up the event at a position.
pub(crate) async fn event_at(database: &Database, position: Position) -> Result<EventAt, StoreError> {
    const OPERATION: &str = "reading the event at a position";
    let select = Statement::new(&database.schema, include_str!("sql/select_event_at.sql")).bind(position.as_i64());
    let rows = database.read(OPERATION, select).await?;
    let row = rows.first().ok_or_else(|| damaged("the query for the event at a position returned no row"))?;
    Ok(match (row.try_get(0).during(OPERATION)?, row.try_get(1).during(OPERATION)?) {
        (Some(id), _) => EventAt::Event(EventId(id)),
        (None, true) => EventAt::Erased,
        (None, false) => EventAt::Nothing,
    })
}

impl Database {
    /// The caller's error for an operation that failed and wrote nothing. If the cause suggests it, checks whether
    /// another store has replaced this one.
    pub(crate) async fn failure(&self, cause: &Cause, operation: &'static str) -> StoreError {
        let replaced = match cause.class() {
            Class::Unfamiliar => Box::pin(self.replaced(operation)).await,
            _ => None,
        };
        replaced.unwrap_or_else(|| cause.store_error(operation))
    }

    /// Checks whether the schema still holds this store. Returns [`StoreError::Replaced`] if it does not.
    pub(crate) async fn replaced(&self, operation: &'static str) -> Option<StoreError> {
        let identity = self.identity?;
        let looking = timeout(self.patience(), self.found(identity));
        let found = looking.await.unwrap_or_else(|_| Err(patience::silence()));
        let found = match found.map_err(Cause::from) {
            Ok(found) => found?,
            Err(cause) if cause.is_database_gone() => "there is no such database".to_owned(),
            // The check itself failed, so the schema's content is unknown.
            Err(_) => return None,
        };
        let database = self.pool.connect_options().get_database().unwrap_or_default().to_owned();
        let place = format!("the schema {:?} of the database {database:?}", self.schema.name());
        Some(StoreError::Replaced { operation, place, expected: Some(identity.store), found })
    }

    /// Describes the schema's content if it is not this store. Uses a new connection and reads the catalog's rows, so
    /// that no cached name resolution answers.
    async fn found(&self, identity: Identity) -> Result<Option<String>, sqlx::Error> {
        let mut connection = self.pool.connect_options().connect().await?;
        let select = sqlx::query(include_str!("sql/select_found.sql")).bind(self.schema.name());
        let row = select.fetch_one(&mut connection).await?;
        if !row.try_get::<bool, _>(0)? {
            return Ok(Some("there is no such schema".to_owned()));
        }
        let id: Option<String> = row.try_get(2)?;
        let id = id.and_then(|id| Uuid::try_parse(&id).ok()).map(StoreId);
        Ok(match (id, row.try_get::<Option<Oid>, _>(1)?) {
            (Some(id), Some(mark)) if id == identity.store && mark == identity.mark => None,
            (Some(id), _) if id == identity.store => {
                Some("it holds tables that were made anew since, as by restoring a dump".to_owned())
            }
            (Some(id), _) => Some(format!("it holds store {id}")),
            (None, _) => Some("it holds no store".to_owned()),
        })
    }
}
