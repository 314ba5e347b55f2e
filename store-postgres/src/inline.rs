//! Inline projections: handlers that run inside the append's own transaction.
//!
//! Such a transaction holds the gate of all appends alone. So no other append is under way: everything before the events
//! of this one is committed and seen, and a checkpoint at the newest event leaves no gap behind.

use std::sync::Arc;
use std::time::Duration;

use recount_core::{
    BoxError, Checkpoint, Direction, EndedTransaction, EventId, FilterId, Inline, Inlines, Position, ReadAll,
    RecordedEvent, StoreError, StoredNames,
};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, Row};
use sqlx_core::transaction::TransactionManager;
use tokio::time::timeout;
use uuid::Uuid;

use crate::database::Database;
use crate::error::{During, damaged, is_undone};
use crate::incarnation::Safe;
use crate::page::Cursor;
use crate::patience;
use crate::read::Reader;
use crate::read_model::PostgresReadModel;
use crate::statement::Statement;
use crate::writer::Failed;

pub(crate) type Manager = <Postgres as sqlx::Database>::TransactionManager;

pub(crate) const OPERATION: &str = "running inline projections";
/// How many events are caught up with in one transaction.
pub(crate) const BATCH: u64 = 1000;
/// How long a set-up may take.
const SET_UP: Duration = Duration::from_secs(30);

/// The inline projections of an open store.
pub(crate) struct Projections {
    pub(crate) inlines: Inlines<PostgresReadModel>,
    reader: Reader,
}

/// The state that a transaction finds when it begins.
struct State {
    newest: Position,
    /// It tells whether a handler has ended the transaction.
    transaction: String,
    /// The `statement_timeout` before the handlers' own.
    timeout: String,
    /// Of each projection.
    checkpoints: Vec<Checkpoint>,
}

/// How far a transaction came.
pub(crate) struct Advanced {
    pub(crate) caught_up: bool,
    /// The `statement_timeout` before.
    pub(crate) timeout: String,
}

/// The checkpoints to write.
#[derive(Default)]
struct Moves<'i> {
    names: Vec<&'i str>,
    from: Vec<i64>,
    to: Vec<i64>,
    filters: Vec<Uuid>,
}

impl Projections {
    /// Sets the projections up and takes in the events appended without them, in transactions of bounded size. `None`
    /// if there are no projections.
    pub(crate) async fn open(
        mut inlines: Inlines<PostgresReadModel>,
        reader: Reader,
    ) -> Result<Option<Arc<Self>>, StoreError> {
        inlines.check()?;
        if inlines.is_empty() {
            return Ok(None);
        }
        let projections = Self { inlines, reader };
        for index in 0..projections.inlines.iter().count() {
            projections.transact(Some(index)).await?;
        }
        projections.catch_up().await?;
        Ok(Some(Arc::new(projections)))
    }

    pub(crate) fn names(&self) -> &StoredNames {
        self.inlines.names()
    }

    pub(crate) fn database(&self) -> &Database {
        &self.reader.database
    }

    /// Takes in the events appended without these projections, in transactions of its own.
    pub(crate) async fn catch_up(&self) -> Result<(), StoreError> {
        while !self.transact(None).await? {}
        Ok(())
    }

    /// Runs one of this store's own statements in the transaction, with a time limit: its answer comes at once.
    async fn ask(&self, statement: Statement, connection: &mut PgConnection) -> Result<Vec<PgRow>, Failed> {
        let answer = timeout(self.database().patience() * 2, statement.run(connection)).await;
        answer.unwrap_or_else(|_| Err(patience::silence())).map_err(|error| Failed::Call(error.into()))
    }

    fn statement(&self, template: &'static str) -> Statement {
        Statement::new(&self.database().schema, template)
    }

    pub(crate) async fn set_up(
        &self,
        inline: &Inline<PostgresReadModel>,
        connection: &mut PgConnection,
    ) -> Result<(), Failed> {
        let rows = self.ask(self.statement(include_str!("sql/select_transaction.sql")), connection).await?;
        let transaction: String = rows.first().map_or(Ok(String::new()), |row| row.try_get(0)).during(OPERATION)?;
        let select = self.statement(include_str!("sql/select_checkpoint.sql")).bind(inline.name());
        let rows = self.ask(select, connection).await?;
        let stored = rows.first().map_or(Ok(Checkpoint::START), crate::read_model::checkpoint).during(OPERATION)?;
        let before = self.filter(inline, connection).await?;
        let checkpoint = inline.set_up(stored, before, connection, SET_UP).await?;
        check_depth(connection, 1)?;
        self.check_transaction(&transaction, inline.name(), connection).await?;
        let write = self.statement(include_str!("sql/write_inline_checkpoint.sql")).bind(inline.name());
        let write = write.bind(checkpoint.position.as_i64()).bind(checkpoint.store.map(|id| id.0));
        let write = write.bind(checkpoint.event.map(|id| id.0)).bind(inline.filter().id().0);
        self.ask(write.bind(inline.filter().to_string()), connection).await.map(drop)
    }

    async fn filter(
        &self,
        inline: &Inline<PostgresReadModel>,
        connection: &mut PgConnection,
    ) -> Result<Option<recount_core::Filter>, Failed> {
        let select = self.statement(include_str!("sql/select_filter.sql")).bind(inline.name());
        let rows = self.ask(select, connection).await?;
        let text: Option<String> = rows.first().map_or(Ok(None), |row| row.try_get(0)).during(OPERATION)?;
        Ok(text.map(|text| recount_core::Filter::parse(&text)))
    }

    /// Takes in the events that the projections haven't seen, or at most `limit` of them for each. The transaction must
    /// hold the gate alone.
    pub(crate) async fn advance(&self, connection: &mut PgConnection, limit: Option<u64>) -> Result<Advanced, Failed> {
        let depth = Manager::get_transaction_depth(connection);
        let State { newest, transaction, timeout, checkpoints } = self.look(connection).await?;
        let mut moves = Moves::default();
        let mut caught_up = true;
        for (inline, stored) in self.inlines.iter().zip(checkpoints) {
            if inline.is_changed(&stored) {
                let before = self.filter(inline, connection).await?;
                return Err(inline.changed(&stored, before).into());
            }
            if stored.position >= newest {
                continue;
            }
            let to = self.take(inline, connection, (stored.position, newest), limit).await?;
            caught_up &= to == newest;
            moves.names.push(inline.name());
            moves.from.push(stored.position.as_i64());
            moves.to.push(to.as_i64());
            moves.filters.push(inline.filter().id().0);
        }
        check_depth(connection, depth)?;
        self.move_on(moves, &transaction, connection).await?;
        Ok(Advanced { caught_up, timeout })
    }

    /// Reads the newest position and the checkpoints, and bounds the statements that follow.
    async fn look(&self, connection: &mut PgConnection) -> Result<State, Failed> {
        let names: Vec<&str> = self.inlines.iter().map(Inline::name).collect();
        let bound = self.database().patience().as_millis().clamp(1, i32::MAX as u128).to_string();
        let look = self.statement(include_str!("sql/look_inline.sql")).bind(names).bind(bound);
        let rows = self.ask(look, connection).await?;
        let row = rows.first().ok_or_else(|| damaged("the state of inline projections is not told"))?;
        let known: i64 = row.try_get(1).during(OPERATION)?;
        if i64::try_from(self.reader.kinds.len()).is_ok_and(|len| len < known) {
            self.reader.kinds.reload(self.database()).await?;
        }
        let newest: i64 = row.try_get(0).during(OPERATION)?;
        let positions: Vec<i64> = row.try_get(4).during(OPERATION)?;
        let filters: Vec<Option<Uuid>> = row.try_get(5).during(OPERATION)?;
        let checkpoints = positions.into_iter().zip(filters).map(|(position, filter)| Checkpoint {
            filter: filter.map(FilterId),
            ..Position::new(position.cast_unsigned()).into()
        });
        Ok(State {
            newest: Position::new(newest.cast_unsigned()),
            transaction: row.try_get(2).during(OPERATION)?,
            timeout: row.try_get(3).during(OPERATION)?,
            checkpoints: checkpoints.collect(),
        })
    }

    /// Takes the events of this range into one projection; returns how far it came.
    async fn take(
        &self,
        inline: &Inline<PostgresReadModel>,
        connection: &mut PgConnection,
        (after, to): (Position, Position),
        limit: Option<u64>,
    ) -> Result<Position, Failed> {
        let query = inline.query().clone();
        let read = ReadAll { query, after, to, direction: Direction::Forward, limit };
        // Under the gate everything up to there is safe to read.
        let safe = Safe { server: self.database().incarnation.server(), last: to };
        let mut cursor = Cursor::new(read, safe, &self.reader.kinds);
        let mut last = after;
        while !cursor.is_done() {
            let page = timeout(self.database().patience() * 2, cursor.next_page_within(&self.reader, connection));
            let page = page.await.unwrap_or_else(|_| Err(Failed::Call(patience::silence().into())))?;
            for event in page {
                self.on(inline, &event, connection).await?;
                last = event.position;
            }
        }
        Ok(if cursor.is_at_limit() { last } else { to })
    }

    async fn on(
        &self,
        inline: &Inline<PostgresReadModel>,
        event: &RecordedEvent,
        connection: &mut PgConnection,
    ) -> Result<(), Failed> {
        let handled = inline.on(event, connection, self.database().patience()).await;
        handled.map_err(|error| match error.downcast::<sqlx::Error>() {
            // Not the event is to blame.
            Ok(error) if is_undone(&error) => Failed::Call((*error).into()),
            Ok(error) => inline.failed(error).into(),
            Err(error) => inline.failed(error).into(),
        })
    }

    /// Moves the checkpoints from where they were.
    async fn move_on(&self, moves: Moves<'_>, transaction: &str, connection: &mut PgConnection) -> Result<(), Failed> {
        if moves.names.is_empty() {
            return Ok(());
        }
        let (wanted, names) = (moves.names.len(), moves.names.join(", "));
        let write = self.statement(include_str!("sql/move_inline_checkpoints.sql")).bind(moves.names);
        let write = write.bind(moves.from).bind(moves.to).bind(moves.filters).bind(transaction);
        if self.ask(write, connection).await?.len() == wanted {
            return Ok(());
        }
        self.check_transaction(transaction, &names, connection).await?;
        let source = "a checkpoint was moved meanwhile: a projection of that name runs elsewhere too";
        Err(StoreError::Projection { projection: names, source: source.into() }.into())
    }

    /// Fails if a handler of these projections ended the transaction with this id.
    async fn check_transaction(&self, id: &str, names: &str, connection: &mut PgConnection) -> Result<(), Failed> {
        let same = self.statement(include_str!("sql/same_transaction.sql")).bind(id);
        let rows = self.ask(same, connection).await?;
        if rows.first().map_or(Ok(false), |row| row.try_get::<bool, _>(0)).during(OPERATION)? {
            return Ok(());
        }
        Err(EndedTransaction::by(names).unrecorded().into())
    }

    /// The source of a [`StoreError::OutcomeUnknown`] if the append is recorded although its transaction failed, since a
    /// handler committed it before, or if that can't be found out. `last` is its last event.
    ///
    /// The transaction must be rolled back, or about to be: an append recorded by then was committed by a handler.
    pub(crate) async fn committed(&self, failed: Option<&StoreError>, last: (EventId, Position)) -> Option<BoxError> {
        let (EventId(id), position) = last;
        let select = self.statement(include_str!("sql/select_at.sql")).bind(position.as_i64()).bind(id);
        match self.database().read(OPERATION, select).await {
            Ok(rows) if rows.is_empty() => None,
            Ok(_) => Some(self.blamed(failed).recorded(position)),
            Err(error) => Some(error.into()),
        }
    }

    /// The projection that failed, or all of them if that is not known.
    pub(crate) fn blamed(&self, failed: Option<&StoreError>) -> EndedTransaction {
        match failed {
            Some(StoreError::Projection { projection, .. }) => EndedTransaction::by(projection.clone()),
            _ => EndedTransaction::by(self.inlines.iter().map(Inline::name).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// Fails if a handler left a savepoint open.
fn check_depth(connection: &PgConnection, depth: usize) -> Result<(), StoreError> {
    if Manager::get_transaction_depth(connection) == depth {
        return Ok(());
    }
    let source = "a handler of an inline projection left a savepoint open".into();
    Err(StoreError::Backend { operation: OPERATION, source })
}
