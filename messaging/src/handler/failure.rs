//! The classes of a handler's failures.

use std::error::Error;

use recount_core::{BoxError, DecodeError, is_transient};

/// An error that no further attempt heals: the message becomes a dead letter at once.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PermanentError(BoxError);

impl PermanentError {
    /// Marks the error as permanent.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Time heals it.
    Transient,
    /// Another attempt may help.
    Retryable,
    /// No attempt helps.
    Permanent,
}

pub(crate) fn classify(error: &(dyn Error + 'static)) -> Failure {
    if causes(error).any(|cause| cause.is::<PermanentError>() || cause.is::<DecodeError>()) {
        Failure::Permanent
    } else if is_transient(error) {
        Failure::Transient
    } else {
        Failure::Retryable
    }
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
