//! Errors of the client library and the server, as those of the contract.

use async_nats::{ConnectError, ConnectErrorKind};
use recount_messaging::BrokerError;
use serde::Deserialize;

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// It was not sent.
    NotSent(BrokerError),
    /// No subscriber was there, so it had no effect.
    NoResponders,
    /// It may have had an effect.
    Unknown(BrokerError),
}

/// The server's refusal of a request of the JetStream API, or of a message.
#[derive(Clone, Debug, thiserror::Error, Deserialize)]
#[error("{description} (code {code})")]
pub(crate) struct Answer {
    /// The code of the error, which is one of thousands.
    #[serde(rename = "err_code", default)]
    pub(crate) code: u64,
    #[serde(default = "no_reason")]
    pub(crate) description: String,
}

fn no_reason() -> String {
    "it gives no reason".to_owned()
}

impl Answer {
    pub(crate) const STREAM_NOT_FOUND: u64 = 10059;
    pub(crate) const CONSUMER_NOT_FOUND: u64 = 10014;
    /// A stream of this name has another configuration.
    pub(crate) const STREAM_EXISTS: u64 = 10058;
    /// A consumer of this name has another configuration.
    pub(crate) const CONSUMER_EXISTS: &[u64] = &[10105, 10148];
    pub(crate) const MESSAGE_TOO_LARGE: u64 = 10054;
    pub(crate) const HEADERS_TOO_LARGE: u64 = 10097;

    /// The error in an answer, if it is one.
    pub(crate) fn read(answer: &serde_json::Value) -> Option<Self> {
        let unread = || Self { code: 0, description: no_reason() };
        answer.get("error").map(|error| Self::deserialize(error).unwrap_or_else(|_| unread()))
    }

    pub(crate) fn is_missing(&self) -> bool {
        [Self::STREAM_NOT_FOUND, Self::CONSUMER_NOT_FOUND].contains(&self.code)
    }
}

/// Why a request of the JetStream API has failed.
#[derive(Debug)]
pub(crate) enum ApiError {
    Call(BrokerError),
    Answer(Answer),
}

impl ApiError {
    /// The error for the caller, about an object that it needs.
    pub(crate) fn about(self, operation: &'static str, object: impl FnOnce() -> String) -> BrokerError {
        match self {
            Self::Call(error) => error,
            Self::Answer(answer) if answer.is_missing() => BrokerError::Missing { object: object() },
            Self::Answer(answer) => BrokerError::Failed { operation, source: answer.into() },
        }
    }
}

/// The error of connecting. The client library knows no secrets from the address, so its texts have none.
pub(crate) fn connecting(error: ConnectError) -> BrokerError {
    let operation = "connecting";
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            BrokerError::NotAllowed { operation, source: error.into() }
        }
        ConnectErrorKind::ServerParse | ConnectErrorKind::Tls => {
            BrokerError::Failed { operation, source: error.into() }
        }
        _ => BrokerError::Unavailable { operation, source: error.into() },
    }
}

pub(crate) fn unavailable(operation: &'static str, reason: &'static str) -> BrokerError {
    BrokerError::Unavailable { operation, source: reason.into() }
}
