//! One of the two stores: carries out operations and tells the outcome in terms that both share.

use std::fmt::Write as _;

use futures_util::TryStreamExt;
use recount_core::{
    AppendCondition, AppendError, Appended, Conflict, ExpectedRevision, Namespace, Position, Query, ReadAll,
    ReadStream, RecordedEvent, Revision, StateEntry, StateError, Store, StoreError, StreamVersion, Violation,
};

use super::operation::{Operation, Place, Revised};

pub(super) struct Twin<'a> {
    store: &'a dyn Store,
    /// Of every event that was ever recorded, in order.
    positions: Vec<Position>,
    /// Of every write to the state that went through, in order.
    revisions: Vec<Revision>,
}

pub(super) struct Outcome {
    pub(super) kind: &'static str,
    pub(super) text: String,
    pub(super) appended: Option<Appended>,
}

impl<'a> Twin<'a> {
    pub(super) fn new(store: &'a dyn Store) -> Self {
        Self { store, positions: Vec::new(), revisions: Vec::new() }
    }

    /// How many events were ever recorded.
    pub(super) fn count(&self) -> usize {
        self.positions.len()
    }

    pub(super) async fn carry_out(&mut self, operation: &Operation) -> Outcome {
        let (kind, text) = match operation {
            Operation::Append { append, condition } => {
                let condition = condition
                    .as_ref()
                    .map(|(fail_if, after)| AppendCondition { fail_if: fail_if.clone(), after: self.position(*after) });
                let mut append = append.clone();
                append.condition = condition;
                let outcome = self.store.append(append).await;
                if outcome.is_ok() {
                    self.learn_positions().await;
                }
                let (kind, text) = self.appended(&outcome);
                return Outcome { kind, text, appended: outcome.ok() };
            }
            Operation::ReadStream { stream, from, to, direction, limit } => {
                let (from, to) = (StreamVersion::new(*from), StreamVersion::new(*to));
                let read = ReadStream { stream: stream.clone(), from, to, direction: *direction, limit: *limit };
                self.events("read stream", self.store.read_stream(read).try_collect().await)
            }
            Operation::ReadAll { query, after, to, direction, limit } => {
                let (after, to) = (self.position(*after), self.position(*to));
                let read = ReadAll { query: query.clone(), after, to, direction: *direction, limit: *limit };
                self.events("read all", self.store.read_all(read).try_collect().await)
            }
            Operation::FindAppend(key) => match self.store.find_append(key).await {
                Ok(found) => ("find append", format!("{:?}", found.map(|found| self.appended(&Ok(found.appended)).1))),
                Err(error) => failed(&error),
            },
            Operation::Head => match self.store.head().await {
                Ok(head) => ("head", self.place(head)),
                Err(error) => failed(&error),
            },
            Operation::Archive(stream) => done("archive", self.store.archive(stream).await),
            Operation::Erase(stream) => done("erase", self.store.erase(stream).await),
            Operation::Get(key) => match self.store.get(key).await {
                Ok(entry) => ("get", format!("{:?}", entry.map(|entry| self.entry(&entry)))),
                Err(error) => failed(&error),
            },
            Operation::Put { key, value, expected, time_to_live } => {
                let expected = self.expected(*expected);
                match self.store.put(key, value.clone().into(), expected, *time_to_live).await {
                    Ok(revision) if self.revisions.last().is_some_and(|last| *last >= revision) => {
                        ("put", format!("revision {revision:?} is not greater than all before"))
                    }
                    Ok(revision) => {
                        self.revisions.push(revision);
                        ("put", self.write(revision))
                    }
                    Err(error) => self.state_error(&error),
                }
            }
            Operation::Delete { key, expected } => match self.store.delete(key, self.expected(*expected)).await {
                Ok(()) => ("delete", "done".into()),
                Err(error) => self.state_error(&error),
            },
            Operation::List { prefix, after, limit } => {
                match self.store.list(Namespace::USER, prefix, after.as_ref(), *limit).await {
                    Ok(found) => {
                        let lines = found.iter().map(|(key, entry)| format!("{key:?}: {}", self.entry(entry)));
                        ("list", lines.collect::<Vec<_>>().join("\n"))
                    }
                    Err(error) => failed(&error),
                }
            }
        };
        Outcome { kind, text, appended: None }
    }

    async fn learn_positions(&mut self) {
        let after = self.positions.last().copied().unwrap_or_default();
        let read = ReadAll { after, ..ReadAll::new(Query::all()) };
        // A failed read shows in the comparison: positions stay unknown.
        let newer: Vec<RecordedEvent> = self.store.read_all(read).try_collect().await.unwrap_or_default();
        self.positions.extend(newer.iter().map(|event| event.position));
    }

    fn position(&self, place: Place) -> Position {
        match place.checked_sub(1) {
            None => Position::START,
            Some(index) => self.positions.get(index).copied().unwrap_or(Position::MAX),
        }
    }

    fn place(&self, position: Position) -> String {
        match self.positions.binary_search(&position) {
            Ok(index) => format!("#{}", index + 1),
            Err(_) if position == Position::START => "#0".into(),
            Err(_) => format!("position {position}, where no event is"),
        }
    }

    fn expected(&self, revised: Revised) -> ExpectedRevision {
        match revised {
            Revised::Any => ExpectedRevision::Any,
            Revised::Absent => ExpectedRevision::Absent,
            Revised::Exact(write) => {
                let known = write.checked_sub(1).and_then(|index| self.revisions.get(index));
                ExpectedRevision::Exact(known.copied().unwrap_or(Revision(i64::MAX.cast_unsigned())))
            }
        }
    }

    fn write(&self, revision: Revision) -> String {
        self.revisions.binary_search(&revision).map_or_else(
            |_| format!("revision {revision:?}, which no write got"),
            |index| format!("write {}", index + 1),
        )
    }

    fn entry(&self, entry: &StateEntry) -> String {
        format!("{:?} by {}", entry.value, self.write(entry.revision))
    }

    fn event(&self, event: &RecordedEvent) -> String {
        format!("{} {:?} {} {:?}", self.place(event.position), event.stream, event.version, event.data)
    }

    fn events(&self, kind: &'static str, read: Result<Vec<RecordedEvent>, StoreError>) -> (&'static str, String) {
        match read {
            Ok(events) => (kind, events.iter().map(|event| self.event(event)).collect::<Vec<_>>().join("\n")),
            Err(error) => failed(&error),
        }
    }

    fn appended(&self, outcome: &Result<Appended, AppendError>) -> (&'static str, String) {
        match outcome {
            Ok(appended) => {
                let Appended { position, streams, repeated } = appended;
                let kind = if *repeated { "repeated append" } else { "append" };
                (kind, format!("up to {}, repeated: {repeated}, {streams:?}", self.place(*position)))
            }
            Err(AppendError::Conflict(Conflict { violations })) => {
                let mut lines: Vec<_> = violations.iter().map(|violation| self.violation(violation)).collect();
                lines.sort_unstable();
                ("conflict", lines.join("\n"))
            }
            Err(AppendError::Invalid(error)) => ("invalid append", error.to_string()),
            Err(error @ AppendError::KeyReused { .. }) => ("key reused", error.to_string()),
            Err(AppendError::KeysKnown { keys }) => ("keys known", format!("{keys:?}")),
            Err(error @ AppendError::DuplicateEvent { .. }) => ("duplicate event", error.to_string()),
            Err(error) => ("failed append", error.to_string()),
        }
    }

    fn violation(&self, violation: &Violation) -> String {
        match violation {
            Violation::Condition { position } => format!("condition at {}", self.place(*position)),
            Violation::Version { newer, .. } => {
                newer.iter().fold(violation.to_string(), |mut text, event| {
                    // Writing to a string can't fail.
                    let _ = write!(text, "\n  newer {}", self.event(event));
                    text
                })
            }
            other => other.to_string(),
        }
    }

    fn state_error(&self, error: &StateError) -> (&'static str, String) {
        match error {
            StateError::Mismatch { key, actual, .. } => {
                ("mismatch", format!("{key:?} is {:?}", actual.map(|actual| self.write(actual))))
            }
            other => ("failed", other.to_string()),
        }
    }
}

fn done(kind: &'static str, outcome: Result<(), StoreError>) -> (&'static str, String) {
    outcome.map_or_else(|error| failed(&error), |()| (kind, "done".into()))
}

fn failed(error: &StoreError) -> (&'static str, String) {
    match error {
        StoreError::StreamNotFound { .. } => ("stream not found", error.to_string()),
        StoreError::StreamErased { .. } => ("stream erased", error.to_string()),
        _ => ("failed", error.to_string()),
    }
}
