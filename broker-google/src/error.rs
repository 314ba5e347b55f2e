//! Errors of the client library and the service, as those of the contract.

use google_cloud_gax::client_builder::Error as BuildError;
use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::Error;
use google_cloud_pubsub::error::PublishError;
use recount_messaging::{BrokerError, Fate, Refusal};

/// The code of the service's answer, if it has answered.
pub(crate) fn code(error: &Error) -> Option<Code> {
    error.status().map(|status| status.code)
}

/// Whether the service says that the object does not exist.
pub(crate) fn is_missing(error: &Error) -> bool {
    code(error) == Some(Code::NotFound)
}

/// Whether the service says that the object exists.
pub(crate) fn exists(error: &Error) -> bool {
    code(error) == Some(Code::AlreadyExists)
}

/// Whether the service refuses the request itself. It answers then, and takes the credentials.
pub(crate) fn is_answer(error: &Error) -> bool {
    let refused = [Code::NotFound, Code::InvalidArgument, Code::FailedPrecondition, Code::PermissionDenied];
    code(error).is_some_and(|code| refused.contains(&code))
}

/// The error of a call.
pub(crate) fn about(operation: &'static str, error: Error) -> BrokerError {
    let make = kind(&error);
    make(operation, error.into())
}

/// The error of a call that several messages share.
pub(crate) fn about_shared(operation: &'static str, error: &Error) -> BrokerError {
    let make = kind(error);
    make(operation, text(error).into())
}

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The error of the contract for one of the client library.
fn kind(error: &Error) -> fn(&'static str, Source) -> BrokerError {
    let is_refused = error.is_authentication() && !error.is_transient_and_before_rpc();
    match code(error) {
        Some(Code::PermissionDenied | Code::Unauthenticated) => {
            |operation, source| BrokerError::NotAllowed { operation, source }
        }
        None if is_refused => |operation, source| BrokerError::NotAllowed { operation, source },
        None => |operation, source| BrokerError::Unavailable { operation, source },
        Some(code) if heals(code) => |operation, source| BrokerError::Unavailable { operation, source },
        Some(_) => |operation, source| BrokerError::Failed { operation, source },
    }
}

/// Whether time heals an error with this code.
fn heals(code: Code) -> bool {
    use Code::{Aborted, Cancelled, DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown};
    matches!(code, Aborted | Cancelled | DeadlineExceeded | Internal | ResourceExhausted | Unavailable | Unknown)
}

/// The error of making a client.
pub(crate) fn building(error: BuildError) -> BrokerError {
    let operation = "connecting";
    if error.is_default_credentials() {
        return BrokerError::NotAllowed { operation, source: error.into() };
    }
    BrokerError::Failed { operation, source: error.into() }
}

/// The fate of a message that failed to be published.
pub(crate) fn fate(operation: &'static str, id: &str, object: impl FnOnce() -> String, error: &PublishError) -> Fate {
    let PublishError::Rpc(error) = error else {
        // The client sends nothing behind a failed message of an ordering key.
        return match error {
            PublishError::OrderingKeyPaused => Fate::NotSent(None),
            _ => Fate::Unknown(BrokerError::Closed),
        };
    };
    let source = || text(error).into();
    match code(error) {
        Some(Code::InvalidArgument) => Fate::Refused(Refusal::Broker { id: id.to_owned(), reason: text(error) }),
        Some(Code::NotFound) => Fate::NotSent(Some(BrokerError::Missing { object: object() })),
        Some(Code::PermissionDenied | Code::Unauthenticated) => {
            Fate::NotSent(Some(BrokerError::NotAllowed { operation, source: source() }))
        }
        // The service has a quota, and stores nothing beyond it.
        Some(Code::ResourceExhausted) => Fate::NotSent(Some(BrokerError::Unavailable { operation, source: source() })),
        Some(code) if !heals(code) => Fate::NotSent(Some(BrokerError::Failed { operation, source: source() })),
        _ if error.is_authentication() => Fate::NotSent(Some(BrokerError::NotAllowed { operation, source: source() })),
        _ => Fate::Unknown(BrokerError::Unavailable { operation, source: source() }),
    }
}

/// Whether the service has refused the request for its content.
pub(crate) fn is_refusal(error: &PublishError) -> bool {
    matches!(error, PublishError::Rpc(error) if code(error) == Some(Code::InvalidArgument))
}

/// The error in words: messages of one request share it, so it can't be moved.
fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
