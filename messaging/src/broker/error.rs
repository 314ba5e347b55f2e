//! Errors of brokers.

use std::time::Duration;

use recount_core::{BoxError, TransientError};

/// How a call of a broker can fail. No text holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The broker can't be reached, or the connection was lost.
    #[error("the broker can't be reached for {operation}")]
    Unavailable {
        /// The call.
        operation: &'static str,
        /// Why.
        source: BoxError,
    },
    /// The broker has not answered in time. The call may have had its effect.
    #[error("the broker has not answered {operation} within {limit:?}")]
    TimedOut {
        /// The call.
        operation: &'static str,
        /// The time.
        limit: Duration,
    },
    /// The broker refuses the credentials or the right.
    #[error("the broker does not allow {operation}")]
    NotAllowed {
        /// The call.
        operation: &'static str,
        /// Its answer.
        source: BoxError,
    },
    /// An object exists at the broker with other settings.
    #[error("{object} exists at the broker with {actual}, but {expected} is needed: {cure}")]
    Mismatch {
        /// The object, in the broker's words.
        object: String,
        /// The needed setting.
        expected: String,
        /// The setting that it has.
        actual: String,
        /// The cure.
        cure: String,
    },
    /// The object does not exist at the broker.
    #[error("{object} does not exist at the broker: call `ensure` first")]
    Missing {
        /// The object, in the broker's words.
        object: String,
    },
    /// This broker can't do this.
    #[error("{system} can't {ability}")]
    Unsupported {
        /// The kind of broker.
        system: &'static str,
        /// The missing ability.
        ability: &'static str,
    },
    /// The address or an option is none.
    #[error("{value:?} is no {kind}: {cure}")]
    Invalid {
        /// The kind of value that is expected.
        kind: &'static str,
        /// The value, without secrets.
        value: String,
        /// The text to write instead.
        cure: String,
    },
    /// The broker answers with an error.
    #[error("the broker has failed {operation}")]
    Failed {
        /// The call.
        operation: &'static str,
        /// Its answer.
        source: BoxError,
    },
    /// The connection was closed by this program.
    #[error("the connection to the broker is closed")]
    Closed,
}

impl BrokerError {
    /// Whether time heals it.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::TimedOut { .. })
    }

    /// The error for a consumer, which retries transient errors without limit.
    #[must_use]
    pub fn into_boxed(self) -> BoxError {
        if self.is_transient() { TransientError::new(self).into() } else { self.into() }
    }
}
