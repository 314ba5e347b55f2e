//! Kinds of events: category, type and schema version as one small number.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;
use recount_core::{Append, EventData, EventType, QueryItem, StoreError, StreamId};
use sqlx::Row;

use crate::database::Database;
use crate::error::{During, damaged};
use crate::incarnation::Incarnation;
use crate::statement::Statement;

const OPERATION: &str = "reading the kinds of events";

/// The properties that all events of one kind share.
#[derive(Debug)]
pub(crate) struct Kind {
    id: i32,
    category: Box<str>,
    pub(crate) event_type: EventType,
    pub(crate) schema_version: u32,
}

/// A cache of the kinds that are committed on the current server. Kinds are never changed or deleted there, so the
/// cache can lag behind but is never wrong.
#[derive(Debug)]
pub(crate) struct Kinds {
    incarnation: Incarnation,
    table: RwLock<Arc<Table>>,
}

/// Category, type and schema version.
type Name<'a> = (&'a str, &'a str, u32);

impl Kind {
    fn name(&self) -> Name<'_> {
        (&self.category, self.event_type.as_str(), self.schema_version)
    }
}

/// A snapshot of the known kinds.
#[derive(Clone, Debug, Default)]
struct Table {
    /// The server that has these kinds.
    server: i64,
    by_id: HashMap<i32, Arc<Kind>, RandomState>,
    /// In the order of their names.
    by_name: Vec<Arc<Kind>>,
}

/// Finds the kinds of rows, most of which have that of the row before.
#[derive(Default)]
pub(crate) struct KindsOfRows {
    table: Arc<Table>,
    before: Option<Arc<Kind>>,
}

impl KindsOfRows {
    /// The kind of this number, if it is known.
    pub(crate) fn find(&mut self, id: i32) -> Option<&Arc<Kind>> {
        if self.before.as_ref().is_none_or(|before| before.id != id) {
            self.before = self.table.by_id.get(&id).cloned();
        }
        self.before.as_ref()
    }
}

impl Kinds {
    pub(crate) fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, table: RwLock::default() }
    }

    /// Reads the table if it belongs to the current server; `None` if it is that of an earlier server.
    fn look<T>(&self, with: impl FnOnce(&Arc<Table>) -> T) -> Option<T> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        (table.server == self.incarnation.server()).then(|| with(&table))
    }

    /// A lookup that starts from the kinds known now.
    pub(crate) fn of_rows(&self) -> KindsOfRows {
        KindsOfRows { table: self.look(Arc::clone).unwrap_or_default(), before: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.look(|table| table.by_id.len()).unwrap_or(0)
    }

    pub(crate) fn find(&self, category: &str, event: &EventData) -> Option<i32> {
        let name: Name<'_> = (category, event.event_type.as_str(), event.schema_version);
        self.look(|table| {
            let at = table.by_name.binary_search_by(|kind| kind.name().cmp(&name)).ok()?;
            Some(table.by_name[at].id)
        })
        .flatten()
    }

    /// The kinds that an item of a query asks for by type and category, or nothing if it asks for neither.
    pub(crate) fn selected(&self, item: &QueryItem) -> Option<Vec<i32>> {
        if item.event_types.is_empty() && item.category.is_none() {
            return None;
        }
        let wanted = |kind: &Kind| {
            (item.event_types.is_empty() || item.event_types.contains(&kind.event_type))
                && item.category.as_ref().is_none_or(|category| *category == kind.category)
        };
        self.look(|table| {
            let mut ids: Vec<i32> = table.by_id.iter().filter(|(_, kind)| wanted(kind)).map(|(id, _)| *id).collect();
            ids.sort_unstable();
            ids
        })
        .or(Some(Vec::new()))
    }

    /// Learns the kinds that are committed.
    pub(crate) async fn reload(&self, database: &Database) -> Result<(), StoreError> {
        let select = Statement::new(&database.schema, include_str!("sql/select_kinds.sql"));
        let rows = database.read(OPERATION, select).await?;
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let table = Arc::make_mut(&mut table);
        for row in rows {
            let server = row.try_get(4).during(OPERATION)?;
            if table.server != server {
                *table = Table { server, ..Table::default() };
            }
            let id: i32 = row.try_get(0).during(OPERATION)?;
            let category: &str = row.try_get(1).during(OPERATION)?;
            let event_type: &str = row.try_get(2).during(OPERATION)?;
            let event_type = EventType::new(event_type).map_err(|error| damaged(error.to_string()))?;
            let schema_version: i64 = row.try_get(3).during(OPERATION)?;
            let schema_version = u32::try_from(schema_version).map_err(|error| damaged(error.to_string()))?;
            table.by_id.insert(id, Arc::new(Kind { id, category: category.into(), event_type, schema_version }));
        }
        table.by_name = table.by_id.values().cloned().collect();
        table.by_name.sort_unstable_by(|one, other| one.name().cmp(&other.name()));
        Ok(())
    }

    /// Makes sure that the kinds of all these events are known, and so committed.
    pub(crate) async fn learn<'a>(
        &self,
        database: &Database,
        appends: impl Iterator<Item = &'a Append>,
    ) -> Result<(), StoreError> {
        let parts = appends.flat_map(|append| &append.streams);
        let missing = self.missing(parts.flat_map(|part| part.events.iter().map(|event| (&part.stream, event))));
        self.make(database, missing).await
    }

    /// The kinds of these events that are not known to be there.
    pub(crate) fn missing<'a>(
        &self,
        events: impl Iterator<Item = (&'a StreamId, &'a EventData)>,
    ) -> BTreeSet<Name<'a>> {
        let events = events.map(|(stream, event)| (stream.category(), event));
        let unknown = events.filter(|(category, event)| self.find(category, event).is_none());
        unknown.map(|(category, event)| (category, event.event_type.as_str(), event.schema_version)).collect()
    }

    /// Makes kinds that are not there yet, committed before anybody can use them.
    pub(crate) async fn make(&self, database: &Database, missing: BTreeSet<Name<'_>>) -> Result<(), StoreError> {
        if missing.is_empty() {
            return Ok(());
        }
        let categories: Vec<&str> = missing.iter().map(|(category, ..)| *category).collect();
        let types: Vec<&str> = missing.iter().map(|(_, event_type, _)| *event_type).collect();
        let versions: Vec<i64> = missing.iter().map(|(.., version)| i64::from(*version)).collect();
        let insert = Statement::new(&database.schema, include_str!("sql/insert_kinds.sql"));
        let insert = insert.bind(categories).bind(types).bind(versions);
        // Boxed: adding kinds is rare, and inlining its future would grow every append.
        Box::pin(async move {
            database.read("adding kinds of events", insert).await?;
            self.reload(database).await
        })
        .await
    }
}
