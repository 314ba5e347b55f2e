//! The chain of an error says each thing once: a text never contains the text of its source.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::error::Error;
use std::iter::successors;

use recount_core::{
    AppendError, BoxError, CheckpointError, Conflict, DispatchError, LeaseError, LoadError, NameError, Position,
    RebuildError, StateError, StoreError, StreamId, StreamVersion, Violation,
};

#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

fn texts(error: &(dyn Error + 'static)) -> Vec<String> {
    successors(Some(error), |&error| error.source()).map(ToString::to_string).collect()
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { operation: "append", source: "connection reset".into() }
}

fn conflict() -> Conflict {
    Conflict { violations: vec![Violation::Condition { position: Position::new(3) }] }
}

fn dispatch(error: impl Into<DispatchError<Refused>>) -> BoxError {
    error.into().into()
}

#[test]
fn no_text_contains_that_of_its_source() {
    let stream = StreamId::new("account", "ada").unwrap();
    let source = recount_core::DecodeError::unknown_type("account.shut");
    let errors: Vec<BoxError> = vec![
        dispatch(LoadError::from(unavailable())),
        dispatch(LoadError::from(NameError::Empty { kind: "stream id" })),
        dispatch(LoadError::NotFound { stream: stream.clone() }),
        dispatch(LoadError::Decode { stream, version: StreamVersion::new(2), source }),
        dispatch(AppendError::from(unavailable())),
        dispatch(AppendError::from(conflict())),
        dispatch(DispatchError::Contended { attempts: 3, source: conflict() }),
        LeaseError::from(unavailable()).into(),
        StateError::from(unavailable()).into(),
        RebuildError::from(CheckpointError::from(unavailable())).into(),
    ];
    for error in errors {
        let texts = texts(&*error);
        for pair in texts.windows(2) {
            assert!(!pair[0].contains(&pair[1]), "{texts:#?}");
        }
    }
}

#[test]
fn a_failed_dispatch_tells_the_step_and_then_the_cause() {
    let texts = texts(&*dispatch(AppendError::from(unavailable())));
    assert_eq!(texts, ["the append failed", "append: the store is unavailable", "connection reset"]);
}
