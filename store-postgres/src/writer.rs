//! The writer tasks: each takes the waiting appends, writes them in one call, and answers their callers.

use std::mem::take;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use recount_core::{AppendError, Appended, EventId, Position, StoreError};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::database::{Database, Line, pause};
use crate::error::{Cause, Class, During};
use crate::inline::Projections;
use crate::kinds::Kinds;
use crate::patience::Process;
use crate::push::Wake;
use crate::request::Work;
use crate::statement::Statement;
use crate::{batch, plain, resolve};

mod queue;

pub(crate) const OPERATION: &str = "appending";
/// How often a batch is tried again after other transactions were in its way, or after its connection broke off.
const ATTEMPTS: usize = 8;

/// How much may share a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) requests: usize,
    pub(crate) bytes: usize,
}

#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) database: Database,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) limits: Limits,
    pub(crate) wake: Wake,
    pub(crate) projections: Option<Arc<Projections>>,
    /// Set once requests from the queue are to be refused.
    pub(crate) closed: Arc<AtomicBool>,
}

impl Writer {
    /// Writes a batch, of which one attempt may have been made before.
    pub(crate) async fn commit(&self, line: &mut Option<Line>, mut batch: Vec<Work>, mut before: Option<Undone>) {
        let started = Instant::now();
        let mut attempt = 1;
        while !batch.is_empty() {
            let undone = match before.take() {
                None => self.attempt(line, &mut batch).await,
                before => before,
            };
            let Some(Undone { cause, process, newest }) = undone else { return };
            let class = cause.class();
            tracing::debug!(error = %cause, ?class, attempt, "a batch was undone");
            if matches!(class, Class::Ended | Class::Lost) {
                hang_up(line);
            }
            // Servers that restart, or end sessions one after another, are waited for.
            let patient = attempt < ATTEMPTS || started.elapsed() < self.database.patience();
            let again = attempt < ATTEMPTS;
            attempt += 1;
            tokio::time::sleep(pause(attempt)).await;
            match class {
                Class::Contention | Class::Ended if patient => {}
                Class::Lost => {
                    batch = match Box::pin(resolve::resolve(&self.database, process, newest, batch)).await {
                        Ok(undone) => undone,
                        Err(unknown) => return fail(unknown, &cause, Cause::commit_error),
                    };
                    if !patient {
                        return fail(batch, &cause, Cause::store_error);
                    }
                }
                Class::Contention | Class::Ended | Class::Busy | Class::Behind | Class::Corrupt | Class::Closed => {
                    return fail(batch, &cause, Cause::store_error);
                }
                Class::Unique | Class::Exhausted | Class::Full | Class::Unfamiliar | Class::Other
                    if batch.len() > 1 =>
                {
                    return Box::pin(self.one_by_one(line, batch, cause.store_error(OPERATION))).await;
                }
                Class::Unique => match Box::pin(self.duplicate(&batch)).await {
                    Ok(Some(id)) => return answer(batch, AppendError::DuplicateEvent { id }),
                    // Erased since, or written past this store.
                    Ok(None) if again => {}
                    Ok(None) => return fail(batch, &cause, Cause::store_error),
                    Err(error) => return answer(batch, error.into()),
                },
                Class::Unfamiliar => return self.explain(batch, &cause).await,
                Class::Exhausted | Class::Full | Class::Other => return fail(batch, &cause, Cause::store_error),
            }
        }
    }

    /// Writes it, and leaves nothing of it but if it was undone.
    async fn attempt(&self, line: &mut Option<Line>, batch: &mut Vec<Work>) -> Option<Undone> {
        let process = match self.connect(line).await {
            Ok(process) => process,
            Err(cause) => {
                Box::pin(self.explain(take(batch), &cause)).await;
                return None;
            }
        };
        let newest = self.database.incarnation.newest();
        let answer = match self.kinds.learn(&self.database, batch.iter().map(|work| &work.append)).await {
            Ok(()) => self.write(line, batch).await,
            Err(error) => Err(Failed::Answer(error)),
        };
        match answer {
            Ok(outcomes) => {
                let appended = outcomes.iter().flatten().filter(|appended| !appended.repeated);
                if let Some(newest) = appended.map(|appended| appended.position).max() {
                    self.wake.appended(Some(newest));
                }
                take(batch).into_iter().zip(outcomes).for_each(|(work, outcome)| work.answer(outcome));
                None
            }
            Err(Failed::Answer(error)) => {
                Box::pin(self.one_by_one(line, take(batch), error)).await;
                None
            }
            Err(Failed::Call(cause)) => Some(Undone { cause, process, newest }),
        }
    }

    /// One of them is to blame: each on its own then, so that it alone fails.
    async fn one_by_one(&self, line: &mut Option<Line>, mut batch: Vec<Work>, error: StoreError) {
        if batch.len() > 1 {
            for work in batch {
                self.commit(line, vec![work], None).await;
            }
        } else if let Some(work) = batch.pop() {
            work.fail(error);
        }
    }

    /// Fails the batch, with [`StoreError::Replaced`](recount_core::StoreError::Replaced) if another store has replaced
    /// this one.
    async fn explain(&self, batch: Vec<Work>, cause: &Cause) {
        for work in batch {
            work.fail(self.database.failure(cause, OPERATION).await);
        }
    }

    async fn connect(&self, line: &mut Option<Line>) -> Result<Process, Cause> {
        if let Some(line) = line {
            return Ok(line.process);
        }
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            match self.database.line(attempt > 1).await {
                Ok(new) => return Ok(line.insert(new).process),
                Err(cause) => {
                    let patient = attempt < ATTEMPTS || started.elapsed() < self.database.patience();
                    if !patient || !matches!(cause.class(), Class::Ended | Class::Lost) {
                        return Err(cause);
                    }
                }
            }
            attempt += 1;
            tokio::time::sleep(pause(attempt)).await;
        }
    }

    async fn write(
        &self,
        line: &mut Option<Line>,
        batch: &[Work],
    ) -> Result<Vec<Result<Appended, AppendError>>, Failed> {
        match &self.projections {
            None => self.call(line, batch).await,
            // Boxed: projections are rare, and inlining their future would grow every call.
            Some(projections) => Box::pin(self.project(projections, line, batch)).await,
        }
    }

    pub(crate) async fn call(
        &self,
        line: &mut Option<Line>,
        batch: &[Work],
    ) -> Result<Vec<Result<Appended, AppendError>>, Failed> {
        let Some(line) = line else { return Err(Failed::Answer(StoreError::Closed)) };
        let appends: Vec<_> = batch.iter().map(|work| &work.append).collect();
        if let Some(statement) = plain::statement(&self.database.schema, &appends, &self.kinds) {
            let rows = self.ask(line, statement).await?;
            if let Some(outcomes) = plain::outcomes(&appends, &rows).map_err(Failed::Answer)? {
                return Ok(outcomes);
            }
        }
        let statement = batch::statement(&self.database.schema, &appends, &self.kinds).map_err(Failed::Answer)?;
        let rows = self.ask(line, statement).await?;
        batch::outcomes(&appends, &rows).map_err(Failed::Answer)
    }

    async fn ask(&self, line: &mut Line, statement: Statement) -> Result<Vec<PgRow>, Failed> {
        let running = statement.run(&mut line.connection);
        let answer = self.database.patiently(line.process, pin!(running)).await;
        answer.map_err(|error| Failed::Call(error.into()))
    }

    /// An event of the batch that is already recorded.
    async fn duplicate(&self, batch: &[Work]) -> Result<Option<EventId>, StoreError> {
        let parts = batch.iter().flat_map(|work| &work.append.streams);
        let ids: Vec<Uuid> = parts.flat_map(|part| &part.events).map(|event| event.id.0).collect();
        let select = Statement::new(&self.database.schema, include_str!("sql/select_recorded_id.sql")).bind(ids);
        let rows = self.database.read(OPERATION, select).await?;
        rows.first().map(|row| row.try_get(0).map(EventId)).transpose().during(OPERATION)
    }
}

/// A failed attempt: its cause and its server process.
pub(crate) struct Undone {
    pub(crate) cause: Cause,
    pub(crate) process: Process,
    /// The newest position of this store's before it.
    pub(crate) newest: Position,
}

/// Why a call was not made.
pub(crate) enum Failed {
    /// The database failed.
    Call(Cause),
    /// That is the outcome.
    Answer(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Answer(error)
    }
}

/// The connection doesn't go back to the pool.
pub(crate) fn hang_up(line: &mut Option<Line>) {
    if let Some(line) = line.take() {
        drop(line.connection.detach());
    }
}

fn fail(batch: Vec<Work>, cause: &Cause, error: impl Fn(&Cause, &'static str) -> StoreError) {
    batch.into_iter().for_each(|work| work.fail(error(cause, OPERATION)));
}

fn answer(mut batch: Vec<Work>, error: AppendError) {
    if let Some(work) = batch.pop() {
        work.answer(Err(error));
    }
}
