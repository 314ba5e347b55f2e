//! One transaction of an import: the locks, looks and order of an append, around two `COPY`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use recount_core::{AppendError, Conflict, RecordedEvent, StoreError, StreamId, Tag, Violation};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::batch::MAX_LOCKS;
use crate::copy::Rows;
use crate::database::{Database, Statement};
use crate::error::{Cause, Class, damaged};
use crate::import::Imported;
use crate::kinds::Kinds;
use crate::lifecycle::{self, ARCHIVED, ERASED};
use crate::push::Wake;
use crate::resolve;
use crate::writer::Process;

pub(crate) const OPERATION: &str = "importing";
/// How much of a `COPY` is sent at once.
const PIECE: usize = 256 * 1024;

/// What importing takes.
pub(crate) struct Importer {
    pub(crate) database: Database,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) wake: Wake,
}

/// A connection that is not the pool's, so that dropping it at any point undoes what it was at.
pub(crate) struct Line {
    connection: PgConnection,
    process: Process,
}

pub(crate) enum Failed {
    Call(Cause),
    Answer(AppendError),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Call(error.into())
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Answer(error.into())
    }
}

/// An event and where it goes.
struct Placed<'a> {
    event: &'a RecordedEvent,
    position: i64,
    version: i64,
    kind: i32,
}

impl Importer {
    pub(crate) fn patience(&self) -> Duration {
        self.database.patience()
    }

    /// Makes sure that the kinds of all these events are known, and so committed.
    pub(crate) async fn learn(&self, events: &[RecordedEvent]) -> Result<(), StoreError> {
        let names = events.iter().map(|event| (event.stream.category(), &event.data.event_type));
        let missing = self.kinds.missing(names);
        self.kinds.make(&self.database, missing).await
    }

    /// Gives up a connection. What it left under way holds up everybody, so it is ended.
    pub(crate) async fn hang_up(&self, line: &mut Option<Line>, class: Class) {
        if let Some(Line { process, .. }) = line.take()
            && class == Class::Lost
        {
            // If the server can't be asked now, it is asked again by whoever comes next.
            let _ = tokio::time::timeout(self.patience(), resolve::end(&self.database, process)).await;
        }
    }

    pub(crate) async fn write(&self, line: &mut Option<Line>, events: &[RecordedEvent]) -> Result<Imported, Failed> {
        let line = match line {
            Some(line) => line,
            None => {
                let crate::database::Line { connection, process } =
                    self.database.line(true).await.map_err(Failed::Call)?;
                line.insert(Line { connection: connection.detach(), process })
            }
        };
        let mut talk = Talk { database: &self.database, line };
        // What is looked at after the locks must be newer than they are.
        talk.say("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        talk.lock(events).await?;
        let fresh = talk.fresh(events).await?;
        let written = fresh.len();
        if written > 0 {
            let placed = self.place(&mut talk, fresh).await?;
            let copy = include_str!("sql/copy_events.sql");
            talk.copy(copy, placed.iter(), |rows, p| rows.event(p.event, p.position, p.version, p.kind)).await?;
            let tags = placed.iter().flat_map(|p| distinct(&p.event.data.tags).into_iter().map(move |tag| (tag, p)));
            let mut tags = tags.peekable();
            if tags.peek().is_some() {
                let copy = include_str!("sql/copy_tags.sql");
                talk.copy(copy, tags, |rows, (tag, p)| rows.tag(tag, p.position, p.kind)).await?;
            }
        }
        talk.say("COMMIT").await?;
        if written > 0 {
            self.wake.appended();
        }
        Ok(Imported { written: written as u64, skipped: (events.len() - written) as u64 })
    }

    /// Gives each event its version and its position.
    async fn place<'a>(
        &self,
        talk: &mut Talk<'_>,
        events: Vec<&'a RecordedEvent>,
    ) -> Result<Vec<Placed<'a>>, Failed> {
        let mut heads = talk.heads(&events).await?;
        let positions = talk.positions(events.len()).await?;
        let mut placed = Vec::with_capacity(events.len());
        for (event, position) in events.into_iter().zip(positions) {
            let head = heads.get_mut(&event.stream).ok_or_else(|| damaged("the head of a stream is not told"))?;
            let version = head.checked_add(1);
            *head = version.ok_or_else(|| StoreError::Exhausted { what: format!("stream {}", event.stream) })?;
            let kind = self.kinds.find(event.stream.category(), &event.data.event_type);
            let kind = kind.ok_or_else(|| damaged("a kind of events vanished"))?;
            placed.push(Placed { event, position, version: *head, kind });
        }
        Ok(placed)
    }
}

/// The tags, each once.
fn distinct(tags: &[Tag]) -> Vec<&Tag> {
    let mut tags: Vec<&Tag> = tags.iter().collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// The connection, in a transaction.
struct Talk<'a> {
    database: &'a Database,
    line: &'a mut Line,
}

impl Talk<'_> {
    async fn ask(&mut self, statement: Statement) -> Result<Vec<PgRow>, sqlx::Error> {
        self.database.patiently(self.line.process, statement.run(&mut self.line.connection)).await
    }

    async fn say(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        self.ask(Statement::new(&self.database.schema, text)).await.map(drop)
    }

    fn statement(&self, template: &str) -> Statement {
        Statement::new(&self.database.schema, template)
    }

    /// Locks what an append of these events would, in the same order.
    async fn lock(&mut self, events: &[RecordedEvent]) -> Result<(), sqlx::Error> {
        let mut names = BTreeMap::new();
        for event in events {
            names.insert(lifecycle::lock(&event.stream), true);
            for tag in &event.data.tags {
                names.entry(format!("t/{tag}")).or_insert(false);
            }
        }
        let alone = names.len() > MAX_LOCKS;
        self.ask(self.statement(include_str!("sql/lock_gate.sql")).bind(alone)).await?;
        if !alone {
            let (names, exclusive): (Vec<String>, Vec<bool>) = names.into_iter().unzip();
            self.ask(self.statement(include_str!("sql/lock_names.sql")).bind(names).bind(exclusive)).await?;
        }
        Ok(())
    }

    /// Those of the events that are not recorded yet.
    async fn fresh<'e>(&mut self, events: &'e [RecordedEvent]) -> Result<Vec<&'e RecordedEvent>, Failed> {
        let ids: Vec<Uuid> = events.iter().map(|event| event.data.id.0).collect();
        let select = self.statement(include_str!("sql/select_imported.sql")).bind(ids);
        let mut known: HashMap<Uuid, (String, i64)> = HashMap::new();
        for row in self.ask(select).await? {
            known.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
        }
        let mut seen: HashMap<Uuid, &RecordedEvent> = HashMap::with_capacity(events.len());
        let mut fresh = Vec::with_capacity(events.len());
        for event in events {
            let id = event.data.id;
            let time = event.recorded_at.as_microsecond();
            let same = match (known.get(&id.0), seen.get(&id.0)) {
                (Some((stream, at)), _) => *at == time && *stream == event.stream.to_string(),
                (None, Some(other)) => other.recorded_at.as_microsecond() == time && other.stream == event.stream,
                (None, None) => {
                    seen.insert(id.0, event);
                    fresh.push(event);
                    true
                }
            };
            if !same {
                return Err(Failed::Answer(AppendError::DuplicateEvent { id }));
            }
        }
        Ok(fresh)
    }

    /// The versions of the streams, none of which is closed.
    async fn heads<'e>(&mut self, events: &[&'e RecordedEvent]) -> Result<HashMap<&'e StreamId, i64>, Failed> {
        let mut heads: HashMap<&StreamId, i64> = events.iter().map(|event| (&event.stream, 0)).collect();
        let streams: Vec<&StreamId> = heads.keys().copied().collect();
        let names: Vec<String> = streams.iter().map(ToString::to_string).collect();
        let mut violations = Vec::new();
        for row in self.ask(self.statement(include_str!("sql/select_heads.sql")).bind(names)).await? {
            let number: i64 = row.try_get(0)?;
            let stream = usize::try_from(number - 1).ok().and_then(|index| streams.get(index));
            let stream = *stream.ok_or_else(|| damaged("the head of an unknown stream is told"))?;
            match row.try_get(2)? {
                ARCHIVED => violations.push(Violation::Archived { stream: stream.clone() }),
                ERASED => violations.push(Violation::Erased { stream: stream.clone() }),
                _ => drop(heads.insert(stream, row.try_get(1)?)),
            }
        }
        if violations.is_empty() { Ok(heads) } else { Err(Failed::Answer(Conflict { violations }.into())) }
    }

    /// Draws positions: first the lock, then the numbers, see `safe_head` in the database.
    async fn positions(&mut self, count: usize) -> Result<Vec<i64>, Failed> {
        self.ask(self.statement(include_str!("sql/lock_position.sql"))).await?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let rows = self.ask(self.statement(include_str!("sql/draw_positions.sql")).bind(count)).await?;
        Ok(rows.first().map_or_else(|| Ok(Vec::new()), |row| row.try_get(0))?)
    }

    async fn copy<T>(
        &mut self,
        template: &str,
        items: impl Iterator<Item = T>,
        encode: impl Fn(&mut Rows, T) -> Result<(), StoreError>,
    ) -> Result<(), Failed> {
        let (database, process) = (self.database, self.line.process);
        let text = database.schema.text(template);
        let mut copy = database.patiently(process, self.line.connection.copy_in_raw(&text)).await?;
        let mut rows = Rows::new();
        for item in items {
            encode(&mut rows, item)?;
            if rows.len() > PIECE {
                database.patiently(process, copy.send(rows.bytes())).await?;
                rows.clear();
            }
        }
        rows.finish();
        database.patiently(process, copy.send(rows.bytes())).await?;
        database.patiently(process, copy.finish()).await?;
        Ok(())
    }
}
