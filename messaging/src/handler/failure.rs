//! The classes of a handler's failures.

use std::error::Error;

use recount_core::{BoxError, DecodeError, is_transient};

use crate::{AskError, BrokerError, RequestError};

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
    } else if is_transient(error) || causes(error).any(heals) {
        Failure::Transient
    } else {
        Failure::Retryable
    }
}

/// Whether it is an error of this crate that time heals.
fn heals(error: &(dyn Error + 'static)) -> bool {
    let broker = error.downcast_ref().is_some_and(BrokerError::is_transient);
    let asked = error.downcast_ref().is_some_and(AskError::is_transient);
    let requested = error.downcast_ref().is_some_and(|error| !matches!(error, RequestError::Impossible { .. }));
    broker || asked || requested
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn outages_of_the_broker_and_of_other_services_are_transient() {
        let limit = Duration::from_secs(1);
        let timed_out = || BrokerError::TimedOut { operation: "publishing", limit };
        let question = || "stock.count".to_owned();
        let key = || "1".to_owned();
        for (error, class) in [
            (BoxError::from(timed_out()), Failure::Transient),
            (BrokerError::Missing { object: "topic".to_owned() }.into(), Failure::Retryable),
            (AskError::NoResponders { question: question() }.into(), Failure::Transient),
            (AskError::NoReply { question: question() }.into(), Failure::Retryable),
            (RequestError::TimedOut { key: key(), limit }.into(), Failure::Transient),
            (RequestError::Broker { key: key(), source: timed_out() }.into(), Failure::Transient),
            (RequestError::Impossible { key: key(), reason: String::new() }.into(), Failure::Retryable),
            (PermanentError::new(timed_out()).into(), Failure::Permanent),
        ] {
            assert_eq!(classify(&*error), class, "{error:?}");
        }
    }
}
