//! Whether failures of processes are transient.

use super::{InvalidRequestId, OrderError, TimerError, UnknownState};
use crate::store::transient::permanent;
use crate::{Transient, is_transient};

permanent!(InvalidRequestId, TimerError, UnknownState);

impl Transient for OrderError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Failed(error) if is_transient(&**error))
    }
}
