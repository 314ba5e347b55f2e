//! Which store this is, what it has at a position, and how a store is noticed that came in its place.

use recount_core::{EventAt, EventId, Position, StoreError, StoreId};
use sqlx::postgres::types::Oid;
use sqlx::{ConnectOptions, Row};
use tokio::time::timeout;
use uuid::Uuid;

use crate::database::Database;
use crate::error::{Cause, Class, During, damaged};
use crate::patience;
use crate::statement::Statement;

/// The identity that the store was given when its schema was made, and the view that has its name.
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

/// What the store has at this position.
pub(crate) async fn event_at(database: &Database, position: Position) -> Result<EventAt, StoreError> {
    const OPERATION: &str = "reading the event at a position";
    let select = Statement::new(&database.schema, include_str!("sql/select_event_at.sql")).bind(position.as_i64());
    let rows = database.read(OPERATION, select).await?;
    let row = rows.first().ok_or_else(|| damaged("the look at a position answers nothing"))?;
    Ok(match (row.try_get(0).during(OPERATION)?, row.try_get(1).during(OPERATION)?) {
        (Some(id), _) => EventAt::Event(EventId(id)),
        (None, true) => EventAt::Erased,
        (None, false) => EventAt::Nothing,
    })
}

impl Database {
    /// What the failure of an operation means to its caller; nothing was written. Looks, if need be, whether the store still is in its
    /// place.
    pub(crate) async fn failure(&self, cause: &Cause, operation: &'static str) -> StoreError {
        let replaced = match cause.class() {
            Class::Unfamiliar => Box::pin(self.replaced(operation)).await,
            _ => None,
        };
        replaced.unwrap_or_else(|| cause.store_error(operation))
    }

    /// The error that says what is in the place of the store, if that isn't there any more.
    pub(crate) async fn replaced(&self, operation: &'static str) -> Option<StoreError> {
        let identity = self.identity?;
        let looking = timeout(self.patience(), self.found(identity));
        let found = looking.await.unwrap_or_else(|_| Err(patience::silence()));
        let found = match found.map_err(Cause::from) {
            Ok(found) => found?,
            Err(cause) if cause.is_database_gone() => "there is no such database".to_owned(),
            // Nothing is known.
            Err(_) => return None,
        };
        let database = self.pool.connect_options().get_database().unwrap_or_default().to_owned();
        let place = format!("the schema {:?} of the database {database:?}", self.schema.name());
        Some(StoreError::Replaced { operation, place, expected: Some(identity.store), found })
    }

    /// What is in the place of the store, if that isn't there. By a connection of its own, and from the catalog's rows.
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
