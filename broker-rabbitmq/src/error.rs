//! The meaning of the driver's errors.

use std::future::Future;
use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use recount_messaging::BrokerError;

/// The meaning of a driver's error in this call.
pub(crate) fn meaning(operation: &'static str, error: lapin::Error) -> BrokerError {
    let ErrorKind::ProtocolError(answer) = error.kind() else {
        return match error.kind() {
            ErrorKind::ParsingError(_) | ErrorKind::SerialisationError(_) | ErrorKind::ChannelsLimitReached => {
                BrokerError::Failed { operation, source: error.into() }
            }
            ErrorKind::AuthProviderError(_) => BrokerError::NotAllowed { operation, source: error.into() },
            _ => BrokerError::Unavailable { operation, source: error.into() },
        };
    };
    match answer.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => {
            BrokerError::NotAllowed { operation, source: error.into() }
        }
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => {
            BrokerError::Missing { object: object(answer.get_message().as_str()) }
        }
        // The server shuts down, or an operator has closed the connection.
        AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED) => {
            BrokerError::Unavailable { operation, source: error.into() }
        }
        _ => BrokerError::Failed { operation, source: error.into() },
    }
}

/// The object of an answer like `NOT_FOUND - no queue 'a' in vhost '/'`.
fn object(text: &str) -> String {
    let found = text.split_once(" - no ").and_then(|(_, rest)| rest.split_once(" in vhost"));
    found.map_or(text, |(object, _)| object).replace('\'', "")
}

/// Whether the server's answer has this code.
pub(crate) fn is_soft(error: &lapin::Error, code: &AMQPSoftError) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(answer) if matches!(answer.kind(), AMQPErrorKind::Soft(soft) if soft == code))
}

/// The driver's call, within this time.
pub(crate) async fn bounded<T>(
    operation: &'static str,
    limit: Duration,
    call: impl Future<Output = lapin::Result<T>>,
) -> Result<T, BrokerError> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result.map_err(|error| meaning(operation, error)),
        Err(_) => Err(BrokerError::TimedOut { operation, limit }),
    }
}

/// The error of a connection that ended between two calls.
pub(crate) fn lost(operation: &'static str) -> BrokerError {
    BrokerError::Unavailable { operation, source: "the connection was lost".into() }
}
