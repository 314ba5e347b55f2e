//! Which failures of loading and dispatching pass by themselves, and how to find that out of any error.

use std::error::Error;

use super::{DispatchError, LoadError, Refusal};
use crate::store::transient::{KNOWN, Known, find, known, permanent};
use crate::{BoxError, CheckpointError, DecodeError, EncodeError, NameCollision, Transient};

permanent!(EncodeError, DecodeError, NameCollision, Refusal);

impl Transient for LoadError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

impl<E: Error + 'static> Transient for DispatchError<E> {
    fn is_transient(&self) -> bool {
        Self::is_transient(self)
    }
}

/// Whether an error that a handler returned is [transient](Transient): the first error of recount's, of an input or output
/// operation, or of a timeout in its chain of sources decides. An unknown error is not transient.
///
/// ```
/// # use recount_core::{BoxError, StoreError, is_transient};
/// let lost = StoreError::Unavailable { operation: "append", source: "connection reset".into() };
/// assert!(is_transient(&BoxError::from(lost)));
/// assert!(!is_transient(&BoxError::from("no such account")));
/// ```
#[must_use]
pub fn is_transient(error: &BoxError) -> bool {
    const OURS: &[Known] = &[
        known::<LoadError>,
        known::<CheckpointError>,
        known::<EncodeError>,
        known::<DecodeError>,
        known::<NameCollision>,
        known::<DispatchError<Refusal>>,
    ];
    let all: Vec<Known> = KNOWN.iter().chain(OURS).copied().collect();
    find(&**error, &all).unwrap_or(false)
}
