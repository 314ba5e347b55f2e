//! Whether failures of loading and dispatching are transient.

use std::error::Error;

use super::{DispatchError, LoadError, Refusal};
use crate::store::transient::{Known, known, permanent};
use crate::{DecodeError, EncodeError, NameCollision, Transient};

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

/// The known errors of this room.
pub(crate) const KNOWN: &[Known] = &[
    known::<LoadError>,
    known::<EncodeError>,
    known::<DecodeError>,
    known::<NameCollision>,
    known::<DispatchError<Refusal>>,
];
