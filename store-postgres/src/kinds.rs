//! Kinds of events: category and type as one small number.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;
use recount_core::{Append, EventType, QueryItem, StoreError};
use sqlx::Row;

use crate::database::Database;
use crate::error::{During, damaged};
use crate::statement::Statement;

const OPERATION: &str = "reading the kinds of events";

/// What events of one kind have in common.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) category: Box<str>,
    pub(crate) event_type: EventType,
}

/// The kinds that are known to be committed. Kinds are never changed or deleted, so this only ever lags behind.
#[derive(Debug, Default)]
pub(crate) struct Kinds(RwLock<Arc<Table>>);

/// What was known at some time.
#[derive(Clone, Debug, Default)]
struct Table {
    by_id: HashMap<i32, Arc<Kind>, RandomState>,
    by_name: HashMap<Box<str>, HashMap<EventType, i32, RandomState>, RandomState>,
}

/// Finds the kinds of rows, most of which have that of the row before.
pub(crate) struct KindsOfRows {
    table: Arc<Table>,
    before: Option<(i32, EventType)>,
}

impl KindsOfRows {
    /// The type of this kind's events, if it is known.
    pub(crate) fn event_type(&mut self, id: i32) -> Option<&EventType> {
        if self.before.as_ref().is_none_or(|(before, _)| *before != id) {
            self.before = self.table.by_id.get(&id).map(|kind| (id, kind.event_type.clone()));
        }
        self.before.as_ref().map(|(_, event_type)| event_type)
    }
}

impl Kinds {
    fn look<T>(&self, with: impl FnOnce(&Table) -> T) -> T {
        with(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// By what is known now.
    pub(crate) fn of_rows(&self) -> KindsOfRows {
        let table = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        KindsOfRows { table, before: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.look(|table| table.by_id.len())
    }

    pub(crate) fn find(&self, category: &str, event_type: &EventType) -> Option<i32> {
        self.look(|table| table.by_name.get(category)?.get(event_type).copied())
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
            Some(ids)
        })
    }

    /// Learns the kinds that are committed.
    pub(crate) async fn reload(&self, database: &Database) -> Result<(), StoreError> {
        let select = Statement::new(&database.schema, include_str!("sql/select_kinds.sql"));
        let rows = database.read(OPERATION, select).await?;
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let table = Arc::make_mut(&mut table);
        for row in rows {
            let id: i32 = row.try_get(0).during(OPERATION)?;
            let category: &str = row.try_get(1).during(OPERATION)?;
            let event_type: &str = row.try_get(2).during(OPERATION)?;
            let event_type = EventType::new(event_type).map_err(|error| damaged(error.to_string()))?;
            table.by_name.entry(category.into()).or_default().insert(event_type.clone(), id);
            table.by_id.insert(id, Arc::new(Kind { category: category.into(), event_type }));
        }
        Ok(())
    }

    /// Makes sure that the kinds of all these events are known, and so committed.
    pub(crate) async fn learn<'a>(
        &self,
        database: &Database,
        appends: impl Iterator<Item = &'a Append>,
    ) -> Result<(), StoreError> {
        let parts = appends.flat_map(|append| &append.streams);
        let names = parts.flat_map(|part| part.events.iter().map(|event| (part.stream.category(), &event.event_type)));
        let missing = self.missing(names);
        self.make(database, missing).await
    }

    /// Those of the categories and types that are not known to be there.
    pub(crate) fn missing<'a>(
        &self,
        names: impl Iterator<Item = (&'a str, &'a EventType)>,
    ) -> BTreeSet<(&'a str, &'a str)> {
        let unknown = names.filter(|(category, event_type)| self.find(category, event_type).is_none());
        unknown.map(|(category, event_type)| (category, event_type.as_str())).collect()
    }

    /// Makes kinds that are not there yet, committed before anybody can use them.
    pub(crate) async fn make(&self, database: &Database, missing: BTreeSet<(&str, &str)>) -> Result<(), StoreError> {
        if missing.is_empty() {
            return Ok(());
        }
        let (categories, types): (Vec<&str>, Vec<&str>) = missing.into_iter().unzip();
        let insert = Statement::new(&database.schema, include_str!("sql/insert_kinds.sql"));
        let insert = insert.bind(categories).bind(types);
        // In a box: every append carries room for what is seldom needed.
        Box::pin(async move {
            database.read("adding kinds of events", insert).await?;
            self.reload(database).await
        })
        .await
    }
}
