//! Errors of the SDK and the servers, as those of the contract.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use recount_messaging::BrokerError;

/// A cause that several errors share: those of the entries of one request.
#[derive(Clone, Debug)]
struct Shared(Arc<dyn Error + Send + Sync>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Shared {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// The server's refusal of a request, or of an entry of a batch.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message} ({code})")]
pub(crate) struct Answer {
    /// The last part of the code: the protocols of SQS write some with a name space.
    pub(crate) code: String,
    message: String,
    /// The status of HTTP, or that of an entry's fault.
    status: u16,
}

const MISSING: &[&str] = &[
    "QueueDoesNotExist",
    "NonExistentQueue",
    "NotFound",
    "NotFoundException",
    "ResourceNotFound",
    "ResourceNotFoundException",
];
/// A queue of this name exists with other settings.
const EXISTS: &[&str] = &["QueueNameExists", "QueueAlreadyExists"];
const THROTTLED: &[&str] = &[
    "RequestThrottled",
    "Throttled",
    "Throttling",
    "ThrottlingException",
    "KmsThrottled",
    "KMSThrottling",
    "OverLimit",
];
/// A queue of this name was deleted less than a minute ago.
const PASSING: &[&str] = &["QueueDeletedRecently", "PurgeQueueInProgress", "ConcurrentAccess"];
const NOT_ALLOWED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "KmsAccessDenied",
    "KMSAccessDenied",
    "MissingAuthenticationToken",
    "NotAuthorized",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];
/// The receipt handle is not valid any more, by its age or by a later delivery.
const STALE: &[&str] = &["ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"];
/// The message itself is at fault.
const REFUSED: &[&str] = &[
    "InvalidMessageContents",
    "InvalidParameter",
    "InvalidParameterValue",
    "InvalidParameterValueException",
    "ParameterValueInvalid",
    "InvalidAttributeValue",
];

impl Answer {
    /// The answer about an entry of a batch, which says whether the sender is at fault.
    pub(crate) fn of_entry(code: &str, message: Option<&str>, senders_fault: bool) -> Self {
        let status = if senders_fault { 400 } else { 500 };
        Self { code: last_part(code), message: message.unwrap_or("it gives no reason").to_owned(), status }
    }

    fn is_one_of(&self, codes: &[&str]) -> bool {
        codes.contains(&&*self.code)
    }

    pub(crate) fn is_missing(&self) -> bool {
        self.is_one_of(MISSING)
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.is_one_of(STALE)
    }

    /// Whether the server never takes the message.
    pub(crate) fn is_refusal(&self) -> bool {
        self.status < 500 && self.is_one_of(REFUSED)
    }

    /// Whether the request may have had an effect.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.status >= 500 && !self.is_one_of(THROTTLED)
    }
}

fn last_part(code: &str) -> String {
    code.rsplit(['.', '#', ':']).next().unwrap_or_default().to_owned()
}

/// Why a request has no good answer.
#[derive(Clone, Debug)]
pub(crate) enum CallError {
    /// The connection was closed by this program.
    Closed,
    /// It was not sent.
    NotSent(Failure),
    /// It may have had an effect.
    Unknown(Failure),
    /// No answer came in time.
    TimedOut(Duration),
    /// The server refuses it.
    Answer(Answer),
}

/// Why a request was not sent, or lost its answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    source: Shared,
    /// Whether a later try may succeed.
    passes: bool,
}

impl CallError {
    /// Reads the error of the SDK.
    pub(crate) fn read<E>(error: SdkError<E, HttpResponse>, limit: Duration) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        if let SdkError::ServiceError(answered) = &error {
            let meta = answered.err().meta();
            let message = meta.message().unwrap_or("it gives no reason").to_owned();
            let code = last_part(meta.code().unwrap_or("no code"));
            return Self::Answer(Answer { code, message, status: answered.raw().status().as_u16() });
        }
        let (timed_out, not_sent, passes) = match &error {
            SdkError::TimeoutError(_) => (true, false, true),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => (true, false, true),
            SdkError::DispatchFailure(failure) if failure.is_user() => (false, true, false),
            SdkError::DispatchFailure(_) => (false, is_refused(&error), true),
            SdkError::ConstructionFailure(_) => (false, true, false),
            _ => (false, false, true),
        };
        if timed_out {
            return Self::TimedOut(limit);
        }
        let source: Box<dyn Error + Send + Sync> = match error.into_source() {
            Ok(source) => source,
            Err(error) => Box::new(error),
        };
        let failure = Failure { source: Shared(Arc::from(source)), passes };
        if not_sent { Self::NotSent(failure) } else { Self::Unknown(failure) }
    }

    /// The server's answer, if it is one about something that does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Answer(answer) if answer.is_missing())
    }

    /// Whether the server has a queue of this name, with other settings.
    pub(crate) fn exists(&self) -> bool {
        matches!(self, Self::Answer(answer) if answer.is_one_of(EXISTS))
    }

    /// Whether the request may have had an effect.
    pub(crate) fn is_uncertain(&self) -> bool {
        match self {
            Self::Closed | Self::NotSent(_) => false,
            Self::Unknown(_) | Self::TimedOut(_) => true,
            Self::Answer(answer) => answer.is_uncertain(),
        }
    }

    /// The error for the caller, about an object that it needs.
    pub(crate) fn about(&self, operation: &'static str, object: &str) -> BrokerError {
        match self {
            Self::Closed => BrokerError::Closed,
            Self::TimedOut(limit) => BrokerError::TimedOut { operation, limit: *limit },
            Self::NotSent(failure) | Self::Unknown(failure) => {
                let source = failure.source.clone().into();
                if failure.passes {
                    BrokerError::Unavailable { operation, source }
                } else {
                    BrokerError::Failed { operation, source }
                }
            }
            Self::Answer(answer) => {
                let source = answer.clone().into();
                if answer.is_missing() {
                    BrokerError::Missing { object: object.to_owned() }
                } else if answer.is_one_of(NOT_ALLOWED) || answer.status == 403 && !answer.is_one_of(THROTTLED) {
                    BrokerError::NotAllowed { operation, source }
                } else if answer.status >= 500 || answer.is_one_of(THROTTLED) || answer.is_one_of(PASSING) {
                    BrokerError::Unavailable { operation, source }
                } else {
                    BrokerError::Failed { operation, source }
                }
            }
        }
    }
}

/// Whether the server took no connection, so that nothing was sent.
fn is_refused(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}
