//! Every error says whether the same call can succeed later, also within another error.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::convert::Infallible;
use std::io;
use std::path::Path;

use recount_core::{
    AppendError, BoxError, CheckpointError, Conflict, DecodeError, DispatchError, EncodeError, EndedTransaction,
    EventId, ExpectedRevision, IdempotencyKey, InvalidAppend, InvalidRequestId, InvalidState, LeaseError, LoadError,
    NameCollision, NameError, OrderError, Position, RebuildError, Refusal, StateError, StateKey, StoreError, StreamId,
    StreamVersion, TimerError, Transient, TransientError, Unfinished, UnknownState, Violation, is_transient,
};

/// A domain's error, which recount doesn't know.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

#[derive(Debug, thiserror::Error)]
enum HandlerError {
    #[error("a step failed")]
    Step(#[source] BoxError),
    #[error(transparent)]
    Dispatch(#[from] DispatchError<Refused>),
}

#[test]
fn every_error_has_an_answer() {
    fn has<T: Transient + std::error::Error>() {}
    has::<AppendError>();
    has::<CheckpointError>();
    has::<Conflict>();
    has::<DecodeError>();
    has::<DispatchError<Infallible>>();
    has::<EncodeError>();
    has::<EndedTransaction>();
    has::<InvalidAppend>();
    has::<InvalidRequestId>();
    has::<InvalidState>();
    has::<LeaseError>();
    has::<LoadError>();
    has::<NameCollision>();
    has::<NameError>();
    has::<OrderError>();
    has::<RebuildError>();
    has::<Refusal>();
    has::<StateError>();
    has::<StoreError>();
    has::<TimerError>();
    has::<TransientError>();
    has::<Unfinished>();
    has::<UnknownState>();
}

/// An error type that is added to the crate must be added above.
#[test]
fn no_error_is_forgotten() {
    let mut sources = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    let mut public: Vec<String> = sources.iter().flat_map(|source| public_errors(source)).collect();
    // `Refusal` implements `Error` by hand.
    public.push("Refusal".to_owned());
    public.sort();
    let listed = include_str!("transient.rs").lines().filter_map(|line| line.strip_prefix("    has::<"));
    let name = |line: &str| line.split(['<', '>']).next().unwrap_or_default().to_owned();
    let mut listed: Vec<String> = listed.map(name).collect();
    listed.sort();
    assert_eq!(public, listed);
}

/// The contents of all files of a directory, also of those within.
fn collect(directory: &Path, contents: &mut Vec<String>) {
    for entry in directory.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, contents);
        } else {
            contents.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

/// The names of the public types that derive `Error`.
fn public_errors(source: &str) -> Vec<String> {
    let item = |rest: &str| {
        let item = rest.lines().find(|line| line.contains("enum ") || line.contains("struct "))?;
        let item = item.strip_prefix("pub enum ").or_else(|| item.strip_prefix("pub struct "))?;
        item.split(|letter: char| !letter.is_alphanumeric()).next().map(str::to_owned)
    };
    source.split("thiserror::Error)]").skip(1).filter_map(item).collect()
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { operation: "append", source: "gone".into() }
}

fn closed() -> StoreError {
    StoreError::Closed
}

fn conflict() -> Conflict {
    Conflict { violations: vec![Violation::Condition { position: Position::new(3) }] }
}

fn mismatch() -> StateError {
    StateError::Mismatch { key: StateKey::new("k").unwrap(), expected: ExpectedRevision::Absent, actual: None }
}

fn dispatch(error: StoreError) -> DispatchError<Refused> {
    DispatchError::Append(AppendError::Store(error))
}

#[test]
fn a_failure_of_the_store_decides_wherever_it_is() {
    let stream = || StreamId::new("a", "1").unwrap();
    let unknown = || StoreError::OutcomeUnknown { operation: "append", source: "gone".into() };
    let full = || StoreError::StorageFull { operation: "append", source: "full".into() };
    let backend = || StoreError::Backend { operation: "append", source: "odd".into() };
    let contended = || DispatchError::<Refused>::Contended { attempts: 3, source: conflict() };
    let held = || LeaseError::Held { lease: "l".into(), holder: "n".into() };
    let archived = || Conflict { violations: vec![Violation::Archived { stream: stream() }] };
    let moved =
        || CheckpointError::Moved { projection: "p".into(), expected: Position::START, actual: Position::new(1) };
    let reused = || AppendError::KeyReused { key: IdempotencyKey::new("k").unwrap() };
    let cases: Vec<(BoxError, bool)> = vec![
        (unavailable().into(), true),
        (unknown().into(), true),
        (full().into(), true),
        (backend().into(), false),
        (closed().into(), false),
        (StoreError::StreamErased { stream: stream() }.into(), false),
        (AppendError::Store(unavailable()).into(), true),
        (AppendError::Store(closed()).into(), false),
        (AppendError::Conflict(conflict()).into(), false),
        (AppendError::DuplicateEvent { id: EventId::new() }.into(), false),
        (reused().into(), false),
        (conflict().into(), true),
        (archived().into(), false),
        (StateError::Store(unavailable()).into(), true),
        (mismatch().into(), false),
        (LoadError::Store(unavailable()).into(), true),
        (LoadError::NotFound { stream: stream() }.into(), false),
        (
            LoadError::Decode {
                stream: stream(),
                version: StreamVersion::new(1),
                source: DecodeError::unknown_type("x"),
            }
            .into(),
            false,
        ),
        (CheckpointError::Store(unavailable()).into(), true),
        (moved().into(), false),
        (held().into(), true),
        (LeaseError::Store(closed()).into(), false),
        (dispatch(unavailable()).into(), true),
        (dispatch(closed()).into(), false),
        (DispatchError::<Refused>::Load(LoadError::Store(unavailable())).into(), true),
        (DispatchError::<Refused>::Load(LoadError::NotFound { stream: stream() }).into(), false),
        (contended().into(), true),
        (DispatchError::Rejected(Refused).into(), false),
        (io::Error::from(io::ErrorKind::ConnectionReset).into(), true),
        (io::Error::from(io::ErrorKind::NotFound).into(), false),
        ("anything".into(), false),
    ];
    for (error, transient) in cases {
        let text = format!("{error:?}");
        assert_eq!(is_transient(&*error), transient, "{text}");
        let within = HandlerError::Step(HandlerError::Step(error).into());
        assert_eq!(is_transient(&*BoxError::from(within)), transient, "within another: {text}");
    }
    let passed_on = |error| BoxError::from(HandlerError::from(dispatch(error)));
    assert!(is_transient(&*passed_on(unavailable())) && !is_transient(&*passed_on(closed())));
}

#[tokio::test]
async fn a_timeout_is_transient() {
    let late = tokio::time::timeout(std::time::Duration::ZERO, std::future::pending::<()>()).await.unwrap_err();
    assert!(is_transient(&late));
}
