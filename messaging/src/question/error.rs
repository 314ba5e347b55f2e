//! How a question can fail.

use std::time::Duration;

use recount_core::{BoxError, TransientError};

use crate::BrokerError;

/// How a question can fail. A question has no effect, so it can be asked again after any error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// No running service takes the questions of the topic.
    #[error("no service answers {question}: start one that responds to the topic, and ask again")]
    NoResponders {
        /// The type and topic of the question, and its key.
        question: String,
    },
    /// The replies were not complete in time.
    #[error("{question} was not answered within {limit:?}, {replies} replies came: ask again, or allow more time")]
    TimedOut {
        /// The type and topic of the question, and its key.
        question: String,
        /// The time.
        limit: Duration,
        /// How many replies came.
        replies: u64,
    },
    /// The responder has failed.
    #[error("the responder has failed {question}: {reason}; {}", if *.transient { "ask again later" } else { "asking again will fail alike: change the question or its handler" })]
    Failed {
        /// The type and topic of the question, and its key.
        question: String,
        /// The responder's words.
        reason: String,
        /// Whether time heals it.
        transient: bool,
    },
    /// The responder has ended without the reply that was asked for.
    #[error("{question} was answered without a reply: let its handler send one, or use `ask_many`")]
    NoReply {
        /// The type and topic of the question, and its key.
        question: String,
    },
    /// The broker never takes the question as it is: it is too large, or has a value that can't be written.
    #[error("{question} can't be sent: {reason}")]
    Refused {
        /// The type and topic of the question, and its key.
        question: String,
        /// The reason and the cure.
        reason: String,
    },
    /// A reply can't be read.
    #[error("a reply to {question} can't be read: {reason}; compare the versions of the two services")]
    Malformed {
        /// The type and topic of the question, and its key.
        question: String,
        /// The defect.
        reason: String,
    },
    /// Replies came faster than they were taken. Asking again ends alike, unless the asker takes them faster or asks for fewer.
    #[error(
        "replies to {question} came faster than they were taken, and some were dropped: take each reply as soon as it comes, or ask for fewer"
    )]
    Overflow {
        /// The type and topic of the question, and its key.
        question: String,
    },
    /// The service of the asker does not run or was shut down, or its inbox was not opened in time.
    #[error(
        "{question} has no reply, since its service has no inbox for replies: start the service, and look at its health"
    )]
    NotRunning {
        /// The type and topic of the question, and its key.
        question: String,
    },
    /// The broker has not taken the question: it can't be reached, or refuses, or the topic was never declared.
    #[error("{question} was not sent: {}", cure(.source))]
    Broker {
        /// The type and topic of the question, and its key.
        question: String,
        /// Why.
        source: BrokerError,
    },
}

/// The cure of a question that the broker has not taken.
fn cure(error: &BrokerError) -> &'static str {
    match error {
        BrokerError::Missing { .. } => "start the service that responds to the topic, which declares it, and ask again",
        error if error.is_transient() => "ask again when the broker can be reached",
        _ => "asking again will fail alike until its cause is removed",
    }
}

impl AskError {
    /// Whether time heals it.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoResponders { .. } | Self::TimedOut { .. } | Self::NotRunning { .. } => true,
            Self::Failed { transient, .. } => *transient,
            Self::Broker { source, .. } => source.is_transient(),
            Self::NoReply { .. } | Self::Overflow { .. } | Self::Refused { .. } | Self::Malformed { .. } => false,
        }
    }

    /// The error for a consumer, which retries transient errors without limit.
    #[must_use]
    pub fn into_boxed(self) -> BoxError {
        if self.is_transient() { TransientError::new(self).into() } else { self.into() }
    }
}
