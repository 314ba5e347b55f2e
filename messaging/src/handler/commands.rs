//! Commands as messages: the type of a message is `AGGREGATE.COMMAND`, its data the command as JSON.
//!
//! The idempotency key of the command is the message's, so a message that comes again has the first outcome. A refusal is an
//! outcome, and is kept under the key. A withdrawal is an outcome too: a command that comes later has no effect.

use recount_core::{AppendError, BoxError, DispatchError, KeyOutcome, Recount, Refusal, TransientError};

use super::Incoming;
use super::failure::PermanentError;
use crate::request::Answer;

/// Dispatches the command that a message carries.
pub(super) async fn dispatch(recount: &Recount, incoming: &Incoming<'_>) -> Result<Answer, BoxError> {
    let message = incoming.message;
    let Some((aggregate, command)) = message.message_type.split_once('.') else {
        return Err(PermanentError::new(format!("{:?} names no command", message.message_type)).into());
    };
    let key = incoming.key(0)?;
    let dispatch = recount.dispatch_json(aggregate, command, &message.data);
    match dispatch.metadata(incoming.metadata()).idempotency_key(key).keep_refusal().await {
        Ok(receipt) => Ok(if receipt.events.is_empty() { Answer::Nothing } else { Answer::Effect }),
        Err(DispatchError::Rejected(refusal)) => Ok(KeyOutcome::Refused(refusal).into()),
        Err(DispatchError::RefusedEarlier { refusal, .. }) => Ok(KeyOutcome::Refused(*refusal).into()),
        Err(error @ DispatchError::AlreadyExists { .. }) => Ok(refused("AlreadyExists", &error)),
        Err(DispatchError::Withdrawn { .. }) => Ok(Answer::Withdrawn),
        Err(error) if error.is_transient() => Err(TransientError::new(error).into()),
        // An archived or erased aggregate takes no more commands.
        Err(error @ DispatchError::Append(AppendError::Conflict(_))) => Ok(refused("Closed", &error)),
        Err(error) => Err(PermanentError::new(error).into()),
    }
}

/// Withdraws the command with the key of the message.
pub(super) async fn withdraw(recount: &Recount, incoming: &Incoming<'_>) -> Result<Answer, BoxError> {
    let outcome = recount.withdraw(&incoming.key(0)?, incoming.metadata()).await;
    Ok(outcome?.into())
}

fn refused(kind: &str, error: &DispatchError<Refusal>) -> Answer {
    Answer::Refused { kind: kind.to_owned(), message: error.to_string(), json: None }
}
