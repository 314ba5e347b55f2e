//! One batch of work: one transaction, a handful of statements, one flush to disk.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use recount_core::{AppendError, EndedTransaction, EventAt, EventId, Position, StoreError};
use sqlx::sqlite::SqliteRow;
use sqlx::{Executor, Row, SqliteConnection};

use crate::error::{Cause, During};
use crate::identity;
use crate::inline::Projections;
use crate::ledger::Ledger;
use crate::lookup::Names;
use crate::plan::{Known, Plan};
use crate::request::{Answer, Work};
use crate::rows::{RowWriter, ScriptError, Template, Texts};
use crate::transaction::{self, Transaction};
use crate::write_lock::WriteGuard;

mod inserts;

pub(crate) const OPERATION: &str = "writing";

const LOOKUP_EVENTS: Template = Template { sql: include_str!("sql/lookup_events.sql"), columns: 1 };

/// Why a batch was undone.
pub(crate) struct Failed {
    pub(crate) error: StoreError,
    /// Whether one piece of work is to blame, so that the others can go through without it.
    pub(crate) blame: Blame,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    Database,
    /// The path leads to another file, or to no file.
    Replaced,
    DuplicateEvent,
    Projection,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        let blame = match error {
            StoreError::Projection { .. } => Blame::Projection,
            StoreError::Replaced { .. } => Blame::Replaced,
            _ => Blame::Database,
        };
        Self { error, blame }
    }
}

impl From<ScriptError> for Failed {
    fn from(failed: ScriptError) -> Self {
        let cause = failed.error;
        let blame = if cause.is_unique_violation() { Blame::DuplicateEvent } else { Blame::Database };
        Self { error: cause.store_error(OPERATION), blame }
    }
}

/// The state of batches beside the connection.
pub(crate) struct Batcher {
    pub(crate) ledger: Ledger,
    pub(crate) projections: Projections,
    texts: Texts,
    /// The last event of the batch that inline projections take in.
    last: Option<(EventId, Position)>,
}

impl Batcher {
    pub(crate) fn new(ledger: Ledger, projections: Projections) -> Self {
        Self { ledger, projections, texts: Texts::default(), last: None }
    }

    /// Does the work in one transaction; answers in the same order. Nothing of it is written if this fails.
    pub(crate) async fn run(&mut self, guard: &mut WriteGuard, work: &[Work]) -> Result<Vec<Answer>, Failed> {
        let outcome = match self.try_run(guard, work).await {
            Err(failed) if failed.blame == Blame::DuplicateEvent && work.len() == 1 => {
                self.undo(guard, failed.blame).await;
                return match self.duplicate(guard, work).await? {
                    Some(id) => Ok(vec![Answer::Append(Err(AppendError::DuplicateEvent { id }))]),
                    None => Err(failed),
                };
            }
            outcome => outcome,
        };
        if let Err(failed) = &outcome {
            self.undo(guard, failed.blame).await;
        }
        match outcome {
            Err(Failed { error: StoreError::Projection { projection, source }, blame }) => {
                self.committed_by(&projection, guard).await?;
                Err(Failed { error: StoreError::Projection { projection, source }, blame })
            }
            outcome => outcome,
        }
    }

    /// Fails if the batch is recorded all the same, since a handler of this projection committed it before it failed.
    async fn committed_by(&mut self, projection: &str, guard: &mut WriteGuard) -> Result<(), Failed> {
        let Some((id, position)) = self.last else { return Ok(()) };
        if identity::event_at(guard.connect().await?, position).await? != EventAt::Event(id) {
            return Ok(());
        }
        let source = EndedTransaction::by(projection).recorded(position);
        let error = StoreError::OutcomeUnknown { operation: OPERATION, source };
        Err(Failed { error, blame: Blame::Database })
    }

    async fn try_run(&mut self, guard: &mut WriteGuard, work: &[Work]) -> Result<Vec<Answer>, Failed> {
        self.last = None;
        guard.connect().await?;
        let turn = (guard.generation(), guard.patience());
        let connection = guard.connect().await?;
        let known = self.begin(connection, turn, work).await?;
        if !self.projections.is_empty() {
            self.projections.catch_up(connection, self.ledger.counters.position, &self.ledger.kinds).await?;
        }
        let mut plan = Plan::new(known, &self.ledger);
        let mut answers = Vec::with_capacity(work.len());
        for work in work {
            answers.push(match work {
                Work::Append(append, _) => Answer::Append(plan.append(append, &self.ledger, connection).await?),
                Work::State(changes, _) => Answer::State(plan.state(changes)),
            });
        }
        self.last = plan.events.last().map(|row| (row.data.id, row.position));
        self.write(connection, &plan).await?;
        // A commit to a deleted or moved file would be lost, so it is not acknowledged.
        guard.place().check(OPERATION)?;
        let Plan { known, counters, kinds, .. } = plan;
        self.ledger.counters = counters;
        self.ledger.kinds.publish(kinds);
        known.heads.into_iter().for_each(|(stream, head)| self.ledger.heads.insert(stream, head));
        Ok(answers)
    }

    /// Begins the transaction and looks up the names that the work mentions, in one call if the
    /// ledger is still valid.
    async fn begin(
        &mut self,
        connection: &mut SqliteConnection,
        (generation, patience): (u64, Duration),
        work: &[Work],
    ) -> Result<Known, Failed> {
        let names = Names::of(work);
        let mut known = Known::default();
        let unknown = names.streams.iter().copied().filter(|stream| match self.ledger.heads.get(*stream) {
            Some(head) => {
                known.heads.insert((*stream).clone(), *head);
                false
            }
            None => true,
        });
        let unknown: Vec<_> = unknown.collect();
        let tracked = !self.projections.is_empty();
        if tracked {
            // Handlers may begin transactions of their own, as savepoints: the driver has to know of this one.
            Transaction::begin_for_handlers(&mut *connection, patience, OPERATION).await?.detach();
        }
        let started = Instant::now();
        let rows = loop {
            let mut writer = RowWriter::new(&mut self.texts);
            if !tracked {
                writer.open.statement("BEGIN IMMEDIATE");
            }
            writer.open.statement("PRAGMA data_version");
            names.look_up(&mut writer, &unknown);
            match run_all(writer, connection).await {
                // Only the first statement waits for other processes.
                Err(failed) if failed.is_busy() && started.elapsed() < patience => {}
                outcome => break outcome?,
            }
        };
        let mut rows = rows.into_iter();
        let version = rows.next().ok_or(sqlx::Error::RowNotFound).and_then(|row| row.try_get(0));
        let seen = (generation, version.during(OPERATION)?);
        if self.ledger.holds(seen) {
            names.found(&mut known, &unknown, rows)?;
            return Ok(known);
        }
        self.ledger.refresh(connection, seen).await?;
        let mut writer = RowWriter::new(&mut self.texts);
        names.look_up(&mut writer, &names.streams);
        let rows = run_all(writer, connection).await?.into_iter();
        known = Known::default();
        names.found(&mut known, &names.streams, rows)?;
        Ok(known)
    }

    /// Writes the plan and commits.
    async fn write(&mut self, connection: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), Failed> {
        let mut writer = RowWriter::new(&mut self.texts);
        inserts::insert(&mut writer, plan)?;
        let inline = !self.projections.is_empty();
        let mut scripts = writer.finish();
        if !inline {
            // One call less, however large the last script is.
            let mut last = scripts.pop().unwrap_or_default();
            last.statement("COMMIT");
            scripts.push(last);
        }
        let count = scripts.len();
        for (index, script) in scripts.into_iter().enumerate() {
            match script.run(connection).await {
                Err(failed) if failed.last && !inline && index + 1 == count => return Err(uncommitted(&failed.error)),
                outcome => outcome?,
            };
        }
        if inline {
            self.projections.take(connection, plan).await?;
            if transaction::depth(connection) != 1 {
                let source = "a handler of an inline projection left a savepoint open".into();
                return Err(StoreError::Backend { operation: OPERATION, source }.into());
            }
            transaction::commit(connection).await.map_err(|error| uncommitted(&error.into()))?;
        }
        Ok(())
    }

    /// Leaves no transaction behind.
    pub(crate) async fn undo(&mut self, guard: &mut WriteGuard, blame: Blame) {
        self.ledger.forget();
        if blame == Blame::Replaced {
            // No transaction is open, and the connection may be the last reference to a deleted file.
            return;
        }
        let clean = match guard.get() {
            // After other failures the state of SQLite is unknown; after a full disk it has rolled back already.
            Some(connection) if blame != Blame::Database => {
                if self.projections.is_empty() {
                    connection.execute("ROLLBACK").await.is_ok()
                } else {
                    transaction::rollback(connection).await.is_ok() && transaction::depth(connection) == 0
                }
            }
            _ => false,
        };
        if !clean {
            guard.give_up().await;
        }
    }

    /// The first event of the work with an id that is recorded already.
    async fn duplicate(&mut self, guard: &mut WriteGuard, work: &[Work]) -> Result<Option<EventId>, Failed> {
        let appends = work.iter().filter_map(|work| match work {
            Work::Append(append, _) => Some(append),
            Work::State(..) => None,
        });
        let events = appends.flat_map(|append| &append.streams).flat_map(|stream| &stream.events);
        let ids: Vec<_> = events.map(|event| event.id).collect();
        let mut writer = RowWriter::new(&mut self.texts);
        writer.rows(LOOKUP_EVENTS, &ids, |script, id| {
            script.bind(&id.0.as_bytes()[..]);
        });
        let rows = run_all(writer, guard.connect().await?).await?;
        let recorded: HashSet<Vec<u8>> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
        Ok(ids.into_iter().find(|id| recorded.contains(&id.0.as_bytes()[..])))
    }
}

fn uncommitted(cause: &Cause) -> Failed {
    Failed { error: cause.commit_error(OPERATION), blame: Blame::Database }
}

pub(crate) async fn run_all(
    writer: RowWriter<'_>,
    connection: &mut SqliteConnection,
) -> Result<Vec<SqliteRow>, ScriptError> {
    let mut rows = Vec::new();
    for script in writer.finish() {
        rows.extend(script.run(connection).await?);
    }
    Ok(rows)
}
