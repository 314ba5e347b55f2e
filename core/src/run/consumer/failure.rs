//! Failures of a consumer: which are transient, which are an item's fault, and which end the consumer.

use std::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::filter::FilterChanged;
use crate::domain::panic_text;
use crate::store::transient::Known;
use crate::{
    AppendError, BoxError, CheckpointError, LoadError, NameCollision, NameError, RebuildError, StoreError, Transient,
    dispatch, store,
};

/// An error that time heals, such as a service that can't be reached. A handler or sink returns it to be called again
/// without limit, since no item is to blame. The errors of stores say so themselves.
///
/// ```
/// # use recount_core::{BoxError, TransientError};
/// async fn call() -> Result<(), BoxError> {
///     let answer = std::fs::read("/net/share").map_err(TransientError::new)?;
///     # drop(answer);
///     Ok(())
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TransientError(BoxError);

impl TransientError {
    /// Marks the error as one that time heals.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

/// The class of a consumer's failure.
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

impl Class {
    /// The name, as the label of failures.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Elsewhere => "elsewhere",
            Self::Bad => "event",
            Self::Final => "final",
            Self::Lost => "lost_history",
        }
    }
}

/// Classifies an error by the first of its causes that is known. An error that panics when it is asked for its cause is
/// unknown.
pub(crate) fn classify(error: &(dyn Error + 'static)) -> Class {
    unwound(|| causes(error).find_map(known)).ok().flatten().unwrap_or(Class::Bad)
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The text of an error and its causes. The errors of an application may panic when they are shown.
pub(crate) fn describe(error: &(dyn Error + 'static)) -> Arc<str> {
    let shown = unwound(|| store::error_chain(error).into());
    shown.unwrap_or_else(|panic| format!("an error that can't be shown: {panic}").into())
}

/// Whether an error that a handler returned is [transient](Transient): the first error of recount's, of an input or output
/// operation, or of a timeout in its chain of sources decides. An unknown error is not transient.
///
/// ```
/// # use recount_core::{BoxError, StoreError, is_transient};
/// let lost = StoreError::Unavailable { operation: "append", source: "connection reset".into() };
/// assert!(is_transient(&lost));
/// assert!(!is_transient(&*BoxError::from("no such account")));
/// ```
#[must_use]
pub fn is_transient(error: &(dyn Error + 'static)) -> bool {
    classify(error) == Class::Transient
}

impl Transient for TransientError {
    fn is_transient(&self) -> bool {
        true
    }
}

fn known(error: &(dyn Error + 'static)) -> Option<Class> {
    if error.is::<TransientError>() || error.is::<TookTooLong>() {
        return Some(Class::Transient);
    }
    if error.is::<GaveUp>() || error.is::<FilterChanged>() || error.is::<NameCollision>() || error.is::<NameError>() {
        return Some(Class::Final);
    }
    if error.is::<MovedElsewhere>() || matches!(error.downcast_ref(), Some(CheckpointError::Moved { .. })) {
        return Some(Class::Elsewhere);
    }
    match store_error(error) {
        Some(store) if store.is_lost_history() => return Some(Class::Lost),
        Some(StoreError::Closed) => return Some(Class::Final),
        _ => {}
    }
    let mut answers = [store::transient::KNOWN, dispatch::transient::KNOWN, KNOWN].into_iter().flatten();
    let transient = answers.find_map(|known| known(error))?;
    Some(if transient { Class::Transient } else { Class::Bad })
}

const KNOWN: &[Known] = &[store::transient::known::<CheckpointError>, store::transient::known::<RebuildError>];

/// The error of a store. Transparent variants hide it from `source`.
fn store_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e StoreError> {
    error
        .downcast_ref::<StoreError>()
        .or_else(|| match error.downcast_ref::<AppendError>()? {
            AppendError::Store(error) => Some(error),
            _ => None,
        })
        .or_else(|| match error.downcast_ref::<LoadError>()? {
            LoadError::Store(error) => Some(error),
            _ => None,
        })
        .or_else(|| match error.downcast_ref::<CheckpointError>()? {
            CheckpointError::Store(error) => Some(error),
            CheckpointError::Moved { .. } => None,
        })
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

/// The mark can't be stored.
#[derive(Debug, thiserror::Error)]
#[error("the checkpoint of {consumer} can't be stored")]
pub(crate) struct MarkNotStored {
    consumer: String,
    source: BoxError,
}

impl MarkNotStored {
    pub(crate) fn new(consumer: String, source: BoxError) -> Self {
        Self { consumer, source }
    }
}

/// A call of the application's code exceeds its limit.
#[derive(Debug, thiserror::Error)]
#[error("{call} has not returned within {limit:?}")]
struct TookTooLong {
    call: &'static str,
    limit: Duration,
}

/// Whether a call has exceeded its limit.
pub(crate) fn took_too_long(error: &(dyn Error + 'static)) -> bool {
    unwound(|| causes(error).any(|cause| cause.is::<TookTooLong>())).unwrap_or_default()
}

/// A panic, as an error.
#[derive(Debug, thiserror::Error)]
#[error("it panicked: {0}")]
struct Panicked(String);

/// Turns a panic into an error.
pub(crate) async fn guarded<T>(work: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => Err(Panicked(panic_text(panic)).into()),
    }
}

/// Turns a panic of the application's code into an error.
pub(crate) fn unwound<T>(code: impl FnOnce() -> T) -> Result<T, BoxError> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| Panicked(panic_text(panic)).into())
}

/// Drops an error of the application's code, which may panic even then.
pub(crate) fn discard(error: BoxError) {
    if let Err(panic) = unwound(|| drop(error)) {
        tracing::error!(%panic, "an error panicked when it was dropped");
    }
}

/// Turns a panic into an error, and ends the handler after this time.
pub(crate) async fn bounded<T>(
    limit: Duration,
    handler: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, BoxError> {
    bounded_call("it", limit, handler).await
}

/// Turns a panic into an error, and ends the call after this time.
pub(crate) async fn bounded_call<T>(
    call: &'static str,
    limit: Duration,
    work: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, BoxError> {
    let outcome = tokio::time::timeout(limit, guarded(work)).await;
    outcome.unwrap_or_else(|_| Err(TookTooLong { call, limit }.into()))
}
