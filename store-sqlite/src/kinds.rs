//! Kinds of events: category, type and schema version as one small number.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use recount_core::{EventType, QueryItem, StoreError};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::error::{During, damaged};

/// The properties that events of one kind share.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) category: Box<str>,
    pub(crate) event_type: EventType,
    pub(crate) schema_version: u32,
}

/// The kinds that are known to be committed. Kinds are never changed or deleted, so this only ever lags behind.
#[derive(Debug, Default)]
pub(crate) struct Kinds(RwLock<Table>);

/// Schema versions of one event type in one category, with their kinds.
type Versions = Vec<(u32, i64)>;

#[derive(Debug, Default)]
struct Table {
    /// Ids are given out from 1 without holes.
    by_id: Vec<Arc<Kind>>,
    by_name: HashMap<Box<str>, HashMap<EventType, Versions>>,
}

impl Table {
    fn add(&mut self, id: i64, kind: Kind) {
        if id == self.last() + 1 {
            let types = self.by_name.entry(kind.category.clone()).or_default();
            types.entry(kind.event_type.clone()).or_default().push((kind.schema_version, id));
            self.by_id.push(Arc::new(kind));
        }
    }

    fn last(&self) -> i64 {
        i64::try_from(self.by_id.len()).unwrap_or(i64::MAX)
    }
}

impl Kinds {
    fn read<T>(&self, with: impl FnOnce(&Table) -> T) -> T {
        with(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn last(&self) -> i64 {
        self.read(Table::last)
    }

    pub(crate) fn get(&self, id: i64) -> Option<Arc<Kind>> {
        let index = usize::try_from(id).ok()?.checked_sub(1)?;
        self.read(|table| table.by_id.get(index).cloned())
    }

    pub(crate) fn find(&self, category: &str, event_type: &EventType, schema_version: u32) -> Option<i64> {
        self.read(|table| {
            let versions = table.by_name.get(category)?.get(event_type)?;
            versions.iter().find(|(version, _)| *version == schema_version).map(|(_, id)| *id)
        })
    }

    /// The kinds that an item of a query asks for by type and category, or nothing if it asks for neither.
    pub(crate) fn selected(&self, item: &QueryItem) -> Option<Vec<i64>> {
        if item.event_types.is_empty() && item.category.is_none() {
            return None;
        }
        self.read(|table| {
            let categories: Vec<_> = match &item.category {
                Some(category) => table.by_name.get(category).into_iter().collect(),
                None => table.by_name.values().collect(),
            };
            let mut ids = Vec::new();
            for types in categories {
                if item.event_types.is_empty() {
                    ids.extend(types.values().flatten().map(|(_, id)| *id));
                } else {
                    let versions = item.event_types.iter().filter_map(|event_type| types.get(event_type));
                    ids.extend(versions.flatten().map(|(_, id)| *id));
                }
            }
            ids.sort_unstable();
            ids.dedup();
            Some(ids)
        })
    }

    /// Adds kinds that were committed.
    pub(crate) fn publish(&self, kinds: impl IntoIterator<Item = (i64, Kind)>) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        kinds.into_iter().for_each(|(id, kind)| table.add(id, kind));
    }

    /// Learns the kinds that are committed and not known yet.
    pub(crate) async fn refresh(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        const OPERATION: &str = "reading the kinds of events";
        let select = sqlx::query(include_str!("sql/select_kinds.sql")).bind(self.last());
        let rows = select.fetch_all(connection).await.during(OPERATION)?;
        let kinds = rows.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        self.publish(kinds);
        Ok(())
    }
}

fn decode(row: &SqliteRow) -> Result<(i64, Kind), StoreError> {
    const OPERATION: &str = "reading the kinds of events";
    let event_type: &str = row.try_get(2).during(OPERATION)?;
    let schema_version: i64 = row.try_get(3).during(OPERATION)?;
    let kind = Kind {
        category: row.try_get::<&str, _>(1).during(OPERATION)?.into(),
        event_type: EventType::new(event_type).map_err(|error| damaged(error.to_string()))?,
        schema_version: u32::try_from(schema_version)
            .map_err(|_| damaged(format!("schema version {schema_version} of {event_type}")))?,
    };
    Ok((row.try_get(0).during(OPERATION)?, kind))
}
