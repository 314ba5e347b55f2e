//! Finds out the outcome of a batch after its connection broke off. The outcome is never guessed.

use std::collections::HashMap;
use std::time::Duration;

use recount_core::{Appended, Position, StoreError, StreamAppended, StreamVersion};
use sqlx::Row;
use uuid::Uuid;

use crate::database::Database;
use crate::error::During;
use crate::patience::Process;
use crate::request::Work;
use crate::statement::Statement;
use crate::writer::OPERATION;

/// Between two looks at whether the lost process has ended.
const REST: Duration = Duration::from_millis(20);

/// Answers the appends that were written, and returns the others, which can be tried again. If the outcome can't be
/// found out, it returns the whole batch as the error.
///
/// Until the server process behind the lost connection has ended it may still commit, so it is ended. After that the events are
/// there or will never be, and an event's id is recorded once only. A server that can't be asked now, such as one that restarts,
/// is asked again.
pub(crate) async fn resolve(
    database: &Database,
    process: Process,
    newest: Position,
    batch: Vec<Work>,
) -> Result<Vec<Work>, Vec<Work>> {
    let finding = async {
        loop {
            match find(database, process, newest, &batch).await {
                Err(error) if error.is_transient() => tokio::time::sleep(REST).await,
                found => return found,
            }
        }
    };
    let found = match tokio::time::timeout(database.patience(), finding).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::warn!(%error, "an outcome can't be found out");
            return Err(batch);
        }
        Err(_) => return Err(batch),
    };
    let mut undone = Vec::new();
    for work in batch {
        match appended(&work, &found) {
            Some(appended) => work.answer(Ok(appended)),
            None => undone.push(work),
        }
    }
    Ok(undone)
}

/// Position, version and stream of events, by their ids.
type Found = HashMap<Uuid, (Position, StreamVersion, String)>;

/// The recorded events of all parts.
async fn find(database: &Database, process: Process, newest: Position, batch: &[Work]) -> Result<Found, StoreError> {
    end(database, process).await?;
    let parts = batch.iter().flat_map(|work| &work.append.streams);
    let ids: Vec<Uuid> = parts.flat_map(|part| &part.events).map(|event| event.id.0).collect();
    let select = Statement::new(&database.schema, include_str!("sql/select_recorded.sql"));
    // An event that was recorded before this batch began belongs to another append.
    let rows = database.read(OPERATION, select.bind(ids).bind(newest.as_i64())).await?;
    let place = |row: &sqlx::postgres::PgRow| {
        let (position, version): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        let (position, version) =
            (Position::new(position.cast_unsigned()), StreamVersion::new(version.cast_unsigned()));
        Ok((row.try_get(0)?, (position, version, row.try_get(3)?)))
    };
    rows.iter().map(place).collect::<Result<_, sqlx::Error>>().during(OPERATION)
}

/// Ends a process, and waits until it has ended.
pub(crate) async fn end(database: &Database, process: Process) -> Result<(), StoreError> {
    loop {
        let end = Statement::new(&database.schema, include_str!("sql/end_process.sql"));
        if database.read(OPERATION, end.bind(process.id).bind(process.started)).await?.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(REST).await;
    }
}

/// The outcome of the append, if all of its events were recorded as it wrote them. If another append recorded some of
/// them, this one failed.
fn appended(work: &Work, found: &Found) -> Option<Appended> {
    let mut last = None;
    let mut streams = Vec::with_capacity(work.append.streams.len());
    for part in &work.append.streams {
        let mut before: Option<StreamVersion> = None;
        for event in &part.events {
            let (position, version, stream) = found.get(&event.id.0)?;
            if stream != part.stream.as_str() || before.is_some_and(|before| before.next() != *version) {
                return None;
            }
            (last, before) = (Some(*position), Some(*version));
        }
        streams.push(StreamAppended { stream: part.stream.clone(), version: before?, count: part.events.len() as u64 });
    }
    Some(Appended { position: last?, streams, repeated: false })
}
