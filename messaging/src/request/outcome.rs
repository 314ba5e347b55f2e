//! The wire form of replies.

use recount_core::{KeyOutcome, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The type of replies.
pub(crate) const REPLY: &str = "recount.reply";
/// The type of requests to withdraw another one.
pub(crate) const WITHDRAW: &str = "recount.withdraw";

/// The data of a reply.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum Answer {
    Effect,
    Nothing,
    Refused {
        kind: String,
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        json: Option<Value>,
    },
    Withdrawn,
    /// The request can't be carried out.
    Failed {
        error: String,
    },
}

impl From<KeyOutcome> for Answer {
    fn from(outcome: KeyOutcome) -> Self {
        match outcome {
            KeyOutcome::Effect => Self::Effect,
            KeyOutcome::Nothing => Self::Nothing,
            KeyOutcome::Refused(Refusal { kind, message, json, .. }) => Self::Refused { kind, message, json },
            KeyOutcome::Withdrawn => Self::Withdrawn,
        }
    }
}

impl Answer {
    /// The outcome, or why the request can't be carried out.
    pub(crate) fn into_outcome(self) -> Result<KeyOutcome, String> {
        Ok(match self {
            Self::Effect => KeyOutcome::Effect,
            Self::Nothing => KeyOutcome::Nothing,
            Self::Refused { kind, message, json } => KeyOutcome::Refused(Refusal::received(kind, message, json)),
            Self::Withdrawn => KeyOutcome::Withdrawn,
            Self::Failed { error } => return Err(error),
        })
    }
}
