//! The fate of a published message.

use std::future::Future;

use super::{BrokerError, BrokerPosition};

/// The fate of one published message.
#[derive(Debug)]
pub enum Fate {
    /// The broker has stored it.
    Stored(Option<BrokerPosition>),
    /// The broker has had a message with this id; it keeps that one.
    Duplicate,
    /// The broker never takes this message as it is.
    Refused(Refusal),
    /// The connection was lost, or the time was up, between sending and confirmation: it may be stored. Send it again with
    /// the same id.
    Unknown(BrokerError),
    /// It was not sent: the broker can't be reached, or an earlier message of its key was not stored.
    NotSent(Option<BrokerError>),
}

impl Fate {
    /// Whether the broker has the message.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        matches!(self, Self::Stored(_) | Self::Duplicate)
    }

    /// The fates of a batch of this size that a task publishes, for adapters: it goes on if the caller is dropped. The fates
    /// of a task that panicked are unknown.
    pub async fn of_task(
        operation: &'static str,
        count: usize,
        publishing: impl Future<Output = Vec<Self>> + Send + 'static,
    ) -> Vec<Self> {
        tokio::spawn(publishing).await.unwrap_or_else(|error| {
            tracing::error!(%error, operation, "the task has ended");
            let failed = || BrokerError::Failed { operation, source: "its task has ended".into() };
            (0..count).map(|_| Self::Unknown(failed())).collect()
        })
    }
}

/// Why a broker never takes a message as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is larger than the broker allows.
    #[error(
        "message {id} has {size} bytes with its headers, the limit of the broker is {limit}: store large content elsewhere and refer to it"
    )]
    TooLarge {
        /// The message's id.
        id: String,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// It has too many headers, or they are too large.
    #[error("the headers of message {id} {reason}: keep less in them")]
    Headers {
        /// The message's id.
        id: String,
        /// The defect, such as `have 70000 bytes, the limit is 65536`.
        reason: String,
    },
    /// A part of it can't be written to this broker.
    #[error("message {id} can't be written: {reason}")]
    Invalid {
        /// The message's id.
        id: String,
        /// The defect, with the value.
        reason: String,
    },
    /// No queue takes the messages of its topic.
    #[error("message {id} has no receiver: no group is bound to topic {topic}")]
    Unroutable {
        /// The message's id.
        id: String,
        /// The topic.
        topic: String,
    },
    /// The broker has refused it for a reason of its own.
    #[error("the broker refused message {id}: {reason}")]
    Broker {
        /// The message's id.
        id: String,
        /// The broker's words.
        reason: String,
    },
}
