//! The answer of the call that appends a batch.

use std::collections::HashMap;

use recount_core::{
    Append, AppendError, Appended, Conflict, IdempotencyKey, NamedAppend, Position, StoreError, StreamAppended,
    StreamVersion, Violation,
};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::number;
use crate::error::{During, damaged};
use crate::lifecycle::{ARCHIVED, ERASED};
use crate::outcome;

const OPERATION: &str = "appending";

/// The columns of the call's answer.
struct Answer {
    accepted: Vec<bool>,
    condition: Vec<Option<i64>>,
    heads: Vec<i64>,
    positions: Vec<i64>,
    /// By append: its known keys with their outcomes.
    known: HashMap<i32, Vec<(String, NamedAppend)>>,
}

impl Answer {
    fn read(row: &PgRow) -> Result<Self, StoreError> {
        let known: Vec<i32> = row.try_get(5).during(OPERATION)?;
        let mut answer = Self {
            accepted: row.try_get(0).during(OPERATION)?,
            condition: row.try_get(1).during(OPERATION)?,
            heads: row.try_get(2).during(OPERATION)?,
            positions: row.try_get(3).during(OPERATION)?,
            known: HashMap::new(),
        };
        if !known.is_empty() {
            let names: Vec<String> = row.try_get(4).during(OPERATION)?;
            let digests: Vec<Uuid> = row.try_get(6).during(OPERATION)?;
            let positions: Vec<i64> = row.try_get(7).during(OPERATION)?;
            let streams: Vec<String> = row.try_get(8).during(OPERATION)?;
            let outcomes = digests.into_iter().zip(positions).zip(streams);
            for ((append, name), ((digest, position), streams)) in known.into_iter().zip(names).zip(outcomes) {
                let outcome = outcome::decode(digest, position, &streams)?;
                answer.known.entry(append).or_default().push((name, outcome));
            }
        }
        Ok(answer)
    }
}

/// The outcome of an append with known keys: the first outcome if its own key is known, else an error with the known
/// keys of its slices.
fn known(append: &Append, known: &[(String, NamedAppend)]) -> Result<Appended, AppendError> {
    if let Some(named) = &append.idempotency
        && let Some((_, first)) = known.iter().find(|(name, _)| name == named.key.as_str())
    {
        return first.clone().repeat(named);
    }
    let is_known = |key: &&IdempotencyKey| known.iter().any(|(name, _)| name == key.as_str());
    let keys: Vec<_> = append.slices.iter().map(|slice| &slice.idempotency.key).filter(is_known).cloned().collect();
    if keys.is_empty() {
        return Err(damaged("an append without a key is known by one").into());
    }
    Err(AppendError::KeysKnown { keys })
}

/// How each of the appends ended.
pub(crate) fn outcomes(appends: &[&Append], rows: &[PgRow]) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
    let row = rows.first().ok_or_else(|| damaged("an append answers nothing"))?;
    let answer = Answer::read(row)?;
    let incomplete = || damaged("an append answers too little");
    let (mut part, mut written) = (0, 0);
    let mut outcomes = Vec::with_capacity(appends.len());
    for (index, append) in appends.iter().enumerate() {
        let first = part;
        part += append.streams.len();
        let heads = answer.heads.get(first..part).ok_or_else(incomplete)?;
        let condition = answer.condition.get(index).copied().ok_or_else(incomplete)?;
        if let Some(keys) = answer.known.get(&number(index)) {
            outcomes.push(known(append, keys));
        } else if *answer.accepted.get(index).ok_or_else(incomplete)? {
            written += append.event_count();
            let position = match written.checked_sub(1) {
                Some(last) if append.event_count() > 0 => answer.positions.get(last).copied().ok_or_else(incomplete)?,
                _ => 0,
            };
            outcomes.push(Ok(appended(append, position, heads)));
        } else {
            outcomes.push(Err(conflict(append, heads, condition).into()));
        }
    }
    Ok(outcomes)
}

/// The result of an append, from the position of its last event, if any, and the versions of its streams before it.
pub(crate) fn appended(append: &Append, position: i64, heads: &[i64]) -> Appended {
    let streams = append.streams.iter().zip(heads).map(|(part, head)| {
        let count = part.events.len() as u64;
        let version = StreamVersion::new(head.cast_unsigned() + count);
        StreamAppended { stream: part.stream.clone(), version, count }
    });
    Appended { position: Position::new(position.cast_unsigned()), streams: streams.collect(), repeated: false }
}

/// The reason for refusing an append: its streams end in the versions `heads`, and its condition found the position
/// `condition`.
pub(crate) fn conflict(append: &Append, heads: &[i64], condition: Option<i64>) -> Conflict {
    let mut violations: Vec<Violation> = append
        .streams
        .iter()
        .zip(heads)
        .filter_map(|(part, head)| {
            let stream = part.stream.clone();
            match *head {
                ARCHIVED => return Some(Violation::Archived { stream }),
                ERASED => return Some(Violation::Erased { stream }),
                _ => {}
            }
            let (expected, actual) = (part.expected, StreamVersion::new(head.cast_unsigned()));
            // The caller's task reads the newer events: the writer has better things to do.
            (!expected.accepts(actual)).then(|| Violation::Version { stream, expected, actual, newer: Vec::new() })
        })
        .collect();
    violations
        .extend(condition.map(|position| Violation::Condition { position: Position::new(position.cast_unsigned()) }));
    Conflict { violations }
}
