//! Folding a stream: one statement, whose rows are shown as they come, since nothing of them is kept.

use recount_core::{EventRef, ReadStream, StoreError, StreamVersion};
use sqlx::postgres::PgRow;

use crate::database::{Statement, Taker};
use crate::error::damaged;
use crate::kinds::KindsOfRows;
use crate::lifecycle::{self, ERASED};
use crate::page::{OPERATION, exists};
use crate::query::order;
use crate::read::Reader;
use crate::row::get;

/// Who is shown the events.
pub(crate) type Each<'a> = dyn for<'e> FnMut(EventRef<'e>) + Send + 'a;

impl Reader {
    /// Shows the events of a stream.
    pub(crate) async fn fold_stream(&self, read: ReadStream, each: &mut Each<'_>) -> Result<(), StoreError> {
        let mut folding = Folding::new(each, self.kinds.of_rows());
        let statement = self.folding(&read);
        self.database.read_into(OPERATION, statement.clone(), &mut folding).await?;
        if folding.unknown.is_some() {
            // Committed before the event that uses it.
            self.kinds.reload(&self.database).await?;
            folding.kinds = self.kinds.of_rows();
            self.database.read_into(OPERATION, statement, &mut folding).await?;
        }
        let Folding { shown, unknown, closed, failed, .. } = folding;
        if let Some(failed) = failed {
            return Err(failed);
        }
        if let Some(kind) = unknown {
            return Err(damaged(format!("the kind {kind} of an event of {} is unknown", read.stream)));
        }
        // Erased since the first rows were shown: they are nothing to go by.
        if shown == 0 || closed == Some(ERASED) { exists(&self.database, &read, closed).await } else { Ok(()) }
    }

    /// Behind the events comes what the stream is, if it is closed.
    fn folding(&self, read: &ReadStream) -> Statement {
        let schema = &self.database.schema;
        let limit = read.limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let mut statement = Statement::new(schema, include_str!("sql/fold_events.sql"));
        statement.push(schema, order(read.direction)).push(schema, include_str!("sql/fold_closed.sql"));
        let after = StreamVersion::new(read.from.get().saturating_sub(1));
        statement.bind(read.stream.to_string()).bind(after.as_i64()).bind(read.to.as_i64()).bind(limit)
    }
}

struct Folding<'a> {
    each: &'a mut Each<'a>,
    /// How many events were shown, and how many rows of this attempt have come: a broken read begins anew.
    shown: u64,
    rows: u64,
    kinds: KindsOfRows,
    /// A kind that must be learned first.
    unknown: Option<i32>,
    /// What the stream is if it is closed.
    closed: Option<i16>,
    failed: Option<StoreError>,
}

impl<'a> Folding<'a> {
    fn new(each: &'a mut Each<'a>, kinds: KindsOfRows) -> Self {
        Self { each, shown: 0, rows: 0, kinds, unknown: None, closed: None, failed: None }
    }

    fn try_row(&mut self, row: &PgRow) -> Result<(), StoreError> {
        let Some(version) = get::<Option<i64>>(row, 0)? else {
            self.closed = Some(lifecycle::closed(get(row, 2)?)?);
            return Ok(());
        };
        self.rows += 1;
        if self.rows <= self.shown {
            return Ok(());
        }
        let kind = get(row, 1)?;
        let Some(event_type) = self.kinds.event_type(kind) else {
            self.unknown = Some(kind);
            return Ok(());
        };
        let schema_version: i64 = get(row, 2)?;
        let version = StreamVersion::new(version.cast_unsigned());
        let broken = |error| damaged(format!("the schema of an event at version {version} of its stream: {error}"));
        (self.each)(EventRef {
            version,
            event_type: event_type.as_str(),
            schema_version: u32::try_from(schema_version).map_err(broken)?,
            payload: get(row, 3)?,
        });
        self.shown += 1;
        Ok(())
    }
}

impl Taker for Folding<'_> {
    fn begin(&mut self) {
        (self.rows, self.unknown, self.closed) = (0, None, None);
    }

    fn row(&mut self, row: PgRow) {
        if self.failed.is_none() && self.unknown.is_none() {
            self.failed = self.try_row(&row).err();
        }
    }
}
