//! Which failures pass by themselves.

use std::error::Error;
use std::io;

use crate::{AppendError, Conflict, InvalidAppend, InvalidState, LeaseError, NameError, StateError, StoreError};

/// Tells retry policies whether an error is transient. Every error of recount's API implements it.
pub trait Transient {
    /// Whether the same call can succeed later, unchanged. Repeat a *write* with an unknown outcome only with its
    /// idempotency key.
    fn is_transient(&self) -> bool;
}

impl Transient for StoreError {
    fn is_transient(&self) -> bool {
        Self::is_transient(self)
    }
}

impl Transient for AppendError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

impl Transient for Conflict {
    /// Whether to read again and decide anew can help.
    fn is_transient(&self) -> bool {
        self.can_retry()
    }
}

impl Transient for StateError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

impl Transient for LeaseError {
    /// A lease that is held is released or expires.
    fn is_transient(&self) -> bool {
        match self {
            Self::Held { .. } => true,
            Self::Store(error) => error.is_transient(),
            Self::Name(_) | Self::Holder(_) => false,
        }
    }
}

macro_rules! permanent {
    ($($error:ty),*) => {
        $(impl $crate::Transient for $error {
            fn is_transient(&self) -> bool {
                false
            }
        })*
    };
}
pub(crate) use permanent;

permanent!(NameError, InvalidAppend, InvalidState);

/// The answer for an error, if it is of a known type.
pub(crate) type Known = fn(&(dyn Error + 'static)) -> Option<bool>;

/// The answer for an error of this type.
pub(crate) fn known<E: Error + Transient + 'static>(error: &(dyn Error + 'static)) -> Option<bool> {
    error.downcast_ref::<E>().map(Transient::is_transient)
}

/// The known errors of this room, and of the standard library and tokio.
pub(crate) const KNOWN: &[Known] = &[
    known::<StoreError>,
    known::<AppendError>,
    known::<Conflict>,
    known::<StateError>,
    known::<LeaseError>,
    known::<NameError>,
    known::<InvalidAppend>,
    known::<InvalidState>,
    |error| error.downcast_ref::<io::Error>().map(is_lost),
    |error| error.is::<tokio::time::error::Elapsed>().then_some(true),
];

/// Whether a connection was lost or could not be made.
fn is_lost(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(
        error.kind(),
        ConnectionRefused
            | ConnectionReset
            | ConnectionAborted
            | NotConnected
            | BrokenPipe
            | TimedOut
            | Interrupted
            | WouldBlock
            | UnexpectedEof
            | HostUnreachable
            | NetworkUnreachable
            | NetworkDown
    )
}
