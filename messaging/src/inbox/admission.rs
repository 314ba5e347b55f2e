//! The admission of a message to its handler: its turn at the layers, the circuit, and the readiness of the layers.

use recount_core::BoxError;

use crate::Circuit;
use crate::circuit::Permit;
use crate::middleware::{Layered, Turn};

/// The right to call the handler once.
pub(super) struct Admission<'s> {
    pub(super) permit: Permit,
    /// The turn at the layers, if there are any.
    pub(super) turn: Option<Turn<'s>>,
    /// Why the layers are not ready: the failure of the attempt.
    pub(super) unready: Option<BoxError>,
}

impl<'s> Admission<'s> {
    /// Waits for the turn, and then for the circuit: no message has a permit of the circuit while it waits for others.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub(super) async fn enter(circuit: &Circuit, layered: Option<&'s Layered>) -> Self {
        let turn = match layered {
            Some(layered) => Some(layered.turn().await),
            None => None,
        };
        Self { permit: circuit.enter().await, turn, unready: None }
    }

    /// Waits until the layers are ready.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub(super) async fn ready(mut self) -> Self {
        if let Some(turn) = &mut self.turn
            && let Err(error) = turn.ready().await
        {
            (self.turn, self.unready) = (None, Some(error));
        }
        self
    }

    /// Gives up the right.
    pub(super) fn abandon(self) {
        if let Some(turn) = self.turn {
            turn.abandon();
        }
    }
}
