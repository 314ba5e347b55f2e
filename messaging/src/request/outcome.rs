//! The wire form of replies.

use recount_core::{KeyOutcome, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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

/// The type of messages that tell the outcome of a command: `recount.reply`.
#[must_use]
pub fn reply_type() -> &'static str {
    REPLY
}

/// The JSON Schema of the data of [replies](reply_type), for programs in other languages.
///
/// ```
/// let schema = recount_messaging::reply_schema();
/// assert_eq!(schema["required"], serde_json::json!(["outcome"]));
/// ```
#[must_use]
pub fn reply_schema() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "description": "What became of a command.",
        "type": "object",
        "required": ["outcome"],
        "properties": { "outcome": { "type": "string" } },
        "oneOf": [
            { "properties": { "outcome": { "const": "effect", "description": "It took effect: events were recorded." } } },
            { "properties": { "outcome": { "const": "nothing", "description": "It was carried out without an event." } } },
            { "properties": { "outcome": { "const": "withdrawn", "description": "It was withdrawn before it took effect." } } },
            {
                "properties": {
                    "outcome": { "const": "refused", "description": "The aggregate refused it." },
                    "kind": text("The kind of refusal."),
                    "message": text("The refusal for people."),
                    "json": { "description": "The refusal as data, if it serialises." },
                },
                "required": ["kind", "message"],
            },
            {
                "properties": {
                    "outcome": { "const": "failed", "description": "It can't be carried out." },
                    "error": text("Why."),
                },
                "required": ["error"],
            },
        ],
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_of_replies_accepts_each_reply_and_nothing_else() {
        let schema = jsonschema::validator_for(&reply_schema()).unwrap();
        let (kind, message) = ("closed".to_owned(), "the account is closed".to_owned());
        let replies = [
            Answer::Effect,
            Answer::Nothing,
            Answer::Withdrawn,
            Answer::Refused { kind: kind.clone(), message: message.clone(), json: None },
            Answer::Refused { kind, message: message.clone(), json: Some(json!({ "since": 3 })) },
            Answer::Failed { error: message },
        ];
        for reply in replies {
            let reply = serde_json::to_value(reply).unwrap();
            schema.validate(&reply).unwrap_or_else(|error| panic!("{reply}: {error}"));
        }
        for other in [json!({}), json!({ "outcome": "lost" }), json!({ "outcome": "refused" }), json!("effect")] {
            assert!(schema.validate(&other).is_err(), "{other}");
        }
    }
}
