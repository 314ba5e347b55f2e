//! Failures of a consumer: what time heals, what is an item's fault, and what ends the consumer.

use std::any::Any;
use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

use super::filter::FilterChanged;
use crate::{
    AppendError, BoxError, CheckpointError, LeaseError, LoadError, NameCollision, NameError, StateError, StoreError,
};

/// An error that time heals, such as a service that can't be reached. A handler or sink returns it to be called again
/// without limit, since no item is to blame. The errors of stores say so themselves.
///
/// ```
/// # use recount_core::{BoxError, Transient};
/// async fn call() -> Result<(), BoxError> {
///     let answer = std::fs::read("/net/share").map_err(Transient::new)?;
///     # drop(answer);
///     Ok(())
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Transient(BoxError);

impl Transient {
    /// Marks the error as one that time heals.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

/// What a failure means to a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Time heals it.
    Transient,
    /// Another runner has moved the checkpoint.
    Elsewhere,
    /// An item, the handler or the set-up is to blame.
    Bad,
    /// Trying again is useless.
    Final,
    /// The store lacks events that were handled.
    Lost,
}

/// Classifies an error by the first of its causes that is known.
pub(crate) fn classify(error: &(dyn Error + 'static)) -> Class {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.filter_map(known).next().unwrap_or(Class::Bad)
}

/// Whether time heals the error: one of its causes is a store's that says so, or [`Transient`].
#[must_use]
pub fn is_transient(error: &(dyn Error + 'static)) -> bool {
    classify(error) == Class::Transient
}

fn known(error: &(dyn Error + 'static)) -> Option<Class> {
    if error.is::<Transient>() || error.is::<TookTooLong>() {
        return Some(Class::Transient);
    }
    if error.is::<GaveUp>() || error.is::<FilterChanged>() || error.is::<NameCollision>() || error.is::<NameError>() {
        return Some(Class::Final);
    }
    if error.is::<MovedElsewhere>() {
        return Some(Class::Elsewhere);
    }
    if let Some(CheckpointError::Moved { .. }) = error.downcast_ref() {
        return Some(Class::Elsewhere);
    }
    // Transparent variants hide the error inside from `source`.
    let store = error
        .downcast_ref::<StoreError>()
        .or_else(|| match error.downcast_ref::<AppendError>()? {
            AppendError::Store(error) => Some(error),
            _ => None,
        })
        .or_else(|| match error.downcast_ref::<LoadError>()? {
            LoadError::Store(error) => Some(error),
            _ => None,
        })
        .or_else(|| match error.downcast_ref::<StateError>()? {
            StateError::Store(error) => Some(error),
            StateError::Mismatch { .. } => None,
        })
        .or_else(|| match error.downcast_ref::<LeaseError>()? {
            LeaseError::Store(error) => Some(error),
            _ => None,
        })
        .or_else(|| match error.downcast_ref::<CheckpointError>()? {
            CheckpointError::Store(error) => Some(error),
            CheckpointError::Moved { .. } => None,
        })?;
    if store.is_transient() {
        Some(Class::Transient)
    } else if store.is_lost_history() {
        Some(Class::Lost)
    } else if matches!(store, StoreError::Closed) {
        Some(Class::Final)
    } else {
        None
    }
}

/// The item's retry budget is used up.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct GaveUp(pub(crate) BoxError);

/// The stored mark is not where this consumer left it.
#[derive(Debug, thiserror::Error)]
#[error("the checkpoint of {consumer} was moved by another runner of that name: it runs elsewhere too")]
pub(crate) struct MovedElsewhere {
    pub(crate) consumer: String,
}

/// A handler exceeds its limit.
#[derive(Debug, thiserror::Error)]
#[error("it has not returned within {0:?}")]
pub(crate) struct TookTooLong(pub(crate) Duration);

/// A panic, as an error.
#[derive(Debug, thiserror::Error)]
#[error("it panicked: {0}")]
struct Panicked(String);

/// Turns a panic into an error.
pub(crate) async fn guarded<T>(work: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => Err(Panicked(message(&*panic)).into()),
    }
}

/// Turns a panic into an error, and ends the work after this time.
pub(crate) async fn bounded<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, BoxError> {
    tokio::time::timeout(limit, guarded(work)).await.unwrap_or_else(|_| Err(TookTooLong(limit).into()))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
