//! Errors of the client library, as those of the contract.

use std::future::Future;
use std::time::Duration;

use pulsar::Error;
use pulsar::error::{ConnectionError, ConsumerError, ProducerError, ServiceDiscoveryError};
use pulsar::proto::ServerError;
use recount_messaging::BrokerError;

/// The meaning of the library's error in this call. Its texts hold no token.
pub(crate) fn meaning(operation: &'static str, error: Error) -> BrokerError {
    let kind = match &error {
        Error::Connection(error) => of_connection(error),
        Error::Consumer(ConsumerError::Connection(error)) => of_connection(error),
        Error::Producer(ProducerError::Connection(error)) => of_connection(error),
        Error::ServiceDiscovery(ServiceDiscoveryError::Connection(error)) => of_connection(error),
        Error::ServiceDiscovery(ServiceDiscoveryError::Query(Some(answer), _)) => of_answer(*answer),
        Error::Authentication(_) => Kind::NotAllowed,
        Error::Consumer(ConsumerError::Closed) | Error::Producer(_) | Error::ServiceDiscovery(_) => Kind::Unavailable,
        _ => Kind::Failed,
    };
    let source = error.to_string().into();
    match kind {
        Kind::Unavailable => BrokerError::Unavailable { operation, source },
        Kind::NotAllowed => BrokerError::NotAllowed { operation, source },
        Kind::Failed => BrokerError::Failed { operation, source },
    }
}

enum Kind {
    Unavailable,
    NotAllowed,
    Failed,
}

fn of_connection(error: &ConnectionError) -> Kind {
    match error {
        ConnectionError::PulsarError(Some(answer), _) => of_answer(*answer),
        ConnectionError::Authentication(_) => Kind::NotAllowed,
        ConnectionError::Tls(_) | ConnectionError::DnsName(_) => Kind::Failed,
        _ => Kind::Unavailable,
    }
}

fn of_answer(answer: ServerError) -> Kind {
    match answer {
        ServerError::AuthenticationError | ServerError::AuthorizationError => Kind::NotAllowed,
        ServerError::MetadataError
        | ServerError::PersistenceError
        | ServerError::ServiceNotReady
        | ServerError::TooManyRequests
        | ServerError::ConsumerBusy
        | ServerError::ProducerBusy
        | ServerError::ConsumerAssignError
        // The metadata of a topic are not loaded yet, or are being written.
        | ServerError::UnknownError => Kind::Unavailable,
        _ => Kind::Failed,
    }
}

/// A call of the library, within this time.
///
/// It runs as a task: unoptimised, the library's calls take a megabyte of stack, and the caller may have used the rest. A caller
/// that goes away does not stop it half-way, for which the library is not made.
pub(crate) async fn bounded<T: Send + 'static>(
    operation: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, BrokerError> {
    match tokio::time::timeout(limit, tokio::spawn(call)).await {
        Ok(Ok(result)) => result.map_err(|error| meaning(operation, error)),
        Ok(Err(panic)) => Err(BrokerError::Failed { operation, source: panic.into() }),
        Err(_) => Err(BrokerError::TimedOut { operation, limit }),
    }
}

/// The error of a connection that ended between two calls.
pub(crate) fn lost(operation: &'static str) -> BrokerError {
    BrokerError::Unavailable { operation, source: "the connection was lost".into() }
}

/// The error of a lane in which the server leaves messages out until its consumer is opened anew.
pub(crate) fn missing(operation: &'static str) -> BrokerError {
    BrokerError::Unavailable { operation, source: "the server leaves messages out, the consumer is opened anew".into() }
}
