//! One transaction of an import: the locks, looks and order of an append, around two `COPY`.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::time::Duration;

use recount_core::{AppendError, Conflict, EventId, Position, RecordedEvent, StoreError, StreamId, Violation};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, Row, SqlSafeStr};
use sqlx_core::transaction::TransactionManager;
use tokio::time::timeout;
use uuid::Uuid;

use crate::copy::{Placed, Rows};
use crate::database::Line;
use crate::error::{Cause, Class, Failed, damaged};
use crate::import::Imported;
use crate::inline::Projections;
use crate::lifecycle::ERASED;
use crate::locks::Locks;
use crate::patience::Process;
use crate::push::Wake;
use crate::read::Reader;
use crate::resolve;
use crate::statement::Statement;

type Manager = <Postgres as sqlx::Database>::TransactionManager;

pub(crate) const OPERATION: &str = "importing";
/// How much of a `COPY` is sent at once.
const PIECE: usize = 256 * 1024;
/// Of how many streams the versions are remembered: about 15 MB.
const MAX_HEADS: usize = 100_000;

/// An import under way.
///
/// Looking up ids and versions takes as long as a third of writing. So it is left out as long as the streams are where this import
/// left them and no id is known: if that is wrong, the rows collide with those that are there, and the batch is undone and
/// written again carefully.
pub(crate) struct Session<'a> {
    reader: &'a Reader,
    wake: &'a Wake,
    projections: Option<&'a Projections>,
    /// Not a connection of the pool, so that dropping it at any point rolls back its transaction.
    line: Option<(PgConnection, Process)>,
    /// The versions that streams had last, at least.
    heads: HashMap<StreamId, i64>,
    /// How many batches are still to be written carefully, and how many after the next collision.
    careful: usize,
    penalty: usize,
}

impl<'a> Session<'a> {
    /// Careful at first: it may be a repetition.
    pub(crate) fn new(reader: &'a Reader, wake: &'a Wake, projections: Option<&'a Projections>) -> Self {
        Self { reader, wake, projections, line: None, heads: HashMap::new(), careful: 1, penalty: 1 }
    }

    pub(crate) fn patience(&self) -> Duration {
        self.reader.database.patience()
    }

    pub(crate) async fn failure(&self, cause: &Cause) -> StoreError {
        self.reader.database.failure(cause, OPERATION).await
    }

    /// Makes sure that the kinds of all these events are known, and so committed.
    pub(crate) async fn learn(&self, events: &[RecordedEvent]) -> Result<(), StoreError> {
        let Reader { database, kinds, .. } = self.reader;
        let missing = kinds.missing(events.iter().map(|event| (&event.stream, &event.data)));
        kinds.make(database, missing).await
    }

    /// After a failure: gives up the connection. A transaction that a lost connection left under way holds up all other
    /// appends, so its server process is ended.
    pub(crate) async fn start_over(&mut self, class: Class) {
        self.heads.clear();
        if class == Class::Unique {
            self.penalty *= 2;
        }
        self.careful = self.careful.max(self.penalty);
        if let Some((_, process)) = self.line.take()
            && class == Class::Lost
        {
            // If the server can't be asked now, its time-outs end it.
            let _ = timeout(self.patience(), resolve::end(&self.reader.database, process)).await;
        }
    }

    /// Writes a batch in one transaction.
    pub(crate) async fn write(&mut self, events: &[RecordedEvent]) -> Result<Imported, Failed> {
        if self.line.is_none() {
            if let Some(projections) = self.projections {
                projections.catch_up().await?;
            }
            let Line { connection, process } = self.reader.database.line(true).await.map_err(Failed::Call)?;
            self.line = Some((connection.detach(), process));
            // An append's locks are the server's alone; these depend on this side going on. If it can't, they are to go soon.
            self.say(include_str!("sql/tune_import.sql")).await?;
        }
        // The rows that are read after the locks must be newer than the locks.
        self.begin().await?;
        self.lock(events).await?;
        let fresh = if self.careful > 0 { self.fresh(events).await? } else { events.iter().collect() };
        let imported = Imported { written: fresh.len() as u64, skipped: (events.len() - fresh.len()) as u64 };
        let (mut newest, mut last) = (None, None);
        if imported.written > 0 {
            let placed = self.place(fresh).await?;
            last = placed.last().map(|last| (last.event.data.id, Position::new(last.position.cast_unsigned())));
            newest = last.map(|(_, position)| position);
            self.copy(include_str!("sql/copy_events.sql"), &placed, Rows::event).await?;
            if placed.iter().any(|placed| !placed.event.data.tags.is_empty()) {
                self.copy(include_str!("sql/copy_tags.sql"), &placed, Rows::tags).await?;
            }
        }
        if let (Some(projections), Some((connection, _)), Some(last)) = (self.projections, &mut self.line, last) {
            take_in(projections, connection, last).await?;
        }
        // COPY does not check the store's identity, so check before the commit that the rows went to this store.
        self.say(include_str!("sql/check_store.sql")).await?;
        let (connection, process) = self.line.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        self.reader.database.patiently(*process, pin!(Manager::commit(connection))).await?;
        if newest.is_some() {
            self.wake.appended(newest);
        }
        self.careful = self.careful.saturating_sub(1).max(usize::from(imported.skipped > 0));
        Ok(imported)
    }

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let (connection, process) = self.line.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED".into_sql_str();
        self.reader.database.patiently(*process, pin!(Manager::begin(connection, Some(begin)))).await
    }

    async fn ask(&mut self, statement: Statement) -> Result<Vec<PgRow>, sqlx::Error> {
        let (connection, process) = self.line.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        self.reader.database.patiently(*process, pin!(statement.run(connection))).await
    }

    async fn say(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        self.ask(self.statement(text)).await.map(drop)
    }

    fn statement(&self, template: &'static str) -> Statement {
        Statement::new(&self.reader.database.schema, template)
    }

    /// Takes the locks that an append of these events would take, in the same order.
    async fn lock(&mut self, events: &[RecordedEvent]) -> Result<(), sqlx::Error> {
        let mut locks = Locks::new(&self.reader.database.schema);
        for event in events {
            locks.stream(&event.stream);
            event.data.tags.iter().for_each(|tag| locks.tag(tag.as_str()));
        }
        // With inline projections no other append may be under way.
        let alone = locks.too_many() || self.projections.is_some();
        let (locks, exclusive) = locks.columns();
        let lock = self.statement(include_str!("sql/lock_names.sql")).bind(locks).bind(exclusive).bind(alone);
        self.ask(lock).await.map(drop)
    }

    /// Those of the events that are not recorded yet.
    async fn fresh<'e>(&mut self, events: &'e [RecordedEvent]) -> Result<Vec<&'e RecordedEvent>, Failed> {
        let ids: Vec<Uuid> = events.iter().map(|event| event.data.id.0).collect();
        let select = self.statement(include_str!("sql/select_imported.sql")).bind(ids);
        let mut known: HashMap<Uuid, (String, i64)> = HashMap::new();
        for row in self.ask(select).await? {
            known.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
        }
        let mut fresh = Vec::with_capacity(events.len());
        for event in events {
            let this = (event.stream.to_string(), event.recorded_at.as_microsecond());
            match known.entry(event.data.id.0) {
                Entry::Occupied(other) if *other.get() == this => {}
                Entry::Occupied(_) => {
                    return Err(Failed::Answer(AppendError::DuplicateEvent { id: event.data.id }));
                }
                Entry::Vacant(new) => {
                    new.insert(this);
                    fresh.push(event);
                }
            }
        }
        Ok(fresh)
    }

    /// Gives each event its version and its position.
    async fn place<'e>(&mut self, events: Vec<&'e RecordedEvent>) -> Result<Vec<Placed<'e>>, Failed> {
        self.look(&events).await?;
        let positions = self.positions(events.len()).await?;
        let mut placed = Vec::with_capacity(events.len());
        for (event, position) in events.into_iter().zip(positions) {
            let head = self.heads.get_mut(&event.stream).ok_or_else(|| damaged("the head of a stream is not told"))?;
            let version = head.checked_add(1);
            *head = version.ok_or_else(|| StoreError::Exhausted { what: format!("stream {}", event.stream) })?;
            let kind = self.reader.kinds.find(event.stream.category(), &event.data);
            let kind = kind.ok_or_else(|| damaged("a kind of events vanished"))?;
            placed.push(Placed { event, position, version: *head, kind });
        }
        Ok(placed)
    }

    /// Looks whether the streams are open, and at their versions unless those are known.
    async fn look(&mut self, events: &[&RecordedEvent]) -> Result<(), Failed> {
        if self.careful > 0 || self.heads.len() > MAX_HEADS {
            self.heads.clear();
        }
        let streams: HashMap<String, &StreamId> = events
            .iter()
            .map(|event| &event.stream)
            .collect::<HashSet<_>>()
            .into_iter()
            .map(|s| (s.to_string(), s))
            .collect();
        let stream = |name: &str| streams.get(name).copied().ok_or_else(|| damaged("an unknown stream is told"));
        let names: Vec<&str> = streams.keys().map(String::as_str).collect();
        let mut violations = Vec::new();
        for row in self.ask(self.statement(include_str!("sql/select_closed.sql")).bind(names)).await? {
            let stream = stream(row.try_get(0)?)?.clone();
            violations.push(match row.try_get::<i64, _>(1)? {
                ERASED => Violation::Erased { stream },
                _ => Violation::Archived { stream },
            });
        }
        if !violations.is_empty() {
            return Err(Failed::Answer(Conflict { violations }.into()));
        }
        let unknown = streams.iter().filter(|(_, stream)| !self.heads.contains_key(**stream));
        let unknown: Vec<&str> = unknown.map(|(name, _)| name.as_str()).collect();
        if !unknown.is_empty() {
            for row in self.ask(self.statement(include_str!("sql/select_heads.sql")).bind(unknown)).await? {
                self.heads.insert(stream(row.try_get(0)?)?.clone(), row.try_get(1)?);
            }
        }
        Ok(())
    }

    /// Draws positions: first the lock, then the numbers, see `safe_head` in the database.
    async fn positions(&mut self, count: usize) -> Result<Vec<i64>, Failed> {
        self.ask(self.statement(include_str!("sql/lock_position.sql"))).await?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let rows = self.ask(self.statement(include_str!("sql/draw_positions.sql")).bind(count)).await?;
        Ok(rows.first().map_or_else(|| Ok(Vec::new()), |row| row.try_get(0))?)
    }

    async fn copy(
        &mut self,
        template: &str,
        events: &[Placed<'_>],
        encode: fn(&mut Rows, &Placed<'_>) -> Result<(), StoreError>,
    ) -> Result<(), Failed> {
        let database = &self.reader.database;
        let text = database.schema.text(template);
        let (connection, process) = self.line.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        let process = *process;
        let mut copy = database.patiently(process, pin!(connection.copy_in_raw(&text))).await?;
        let mut rows = Rows::new();
        for event in events {
            encode(&mut rows, event)?;
            if rows.len() > PIECE {
                database.patiently(process, pin!(copy.send(rows.bytes()))).await?;
                rows.clear();
            }
        }
        rows.finish();
        database.patiently(process, pin!(copy.send(rows.bytes()))).await?;
        database.patiently(process, pin!(copy.finish())).await?;
        Ok(())
    }
}

/// Has the inline projections take the batch in. `last` is its last event.
async fn take_in(
    projections: &Projections,
    connection: &mut PgConnection,
    last: (EventId, Position),
) -> Result<(), Failed> {
    let Err(failed) = projections.advance(connection, None).await else { return Ok(()) };
    let failed = Failed::from(failed);
    match projections.committed(failed.answer(), last).await {
        Some(source) => Err(StoreError::OutcomeUnknown { operation: OPERATION, source }.into()),
        None => Err(failed),
    }
}
