//! Commands as messages: the type of a message is `AGGREGATE.COMMAND`, its data the command as JSON.
//!
//! The idempotency key of the command is the message's, so a message that comes again has the first outcome. A refusal is an
//! outcome, and is kept under the key.

use recount_core::{DispatchError, Recount, TransientError};

use super::failure::PermanentError;
use super::{Handling, Incoming};

/// Dispatches the command that a message carries.
pub(super) fn handle<'a>(recount: &'a Recount, incoming: &'a Incoming<'a>) -> Handling<'a> {
    Box::pin(async move {
        let message = incoming.message;
        let Some((aggregate, command)) = message.message_type.split_once('.') else {
            return Err(PermanentError::new(format!("{:?} names no command", message.message_type)).into());
        };
        let dispatch = recount.dispatch_json(aggregate, command, &message.data);
        let outcome = dispatch.metadata(incoming.metadata()).idempotency_key(incoming.key(0)?).keep_refusal().await;
        match outcome {
            Ok(_) | Err(DispatchError::Rejected(_) | DispatchError::RefusedEarlier { .. }) => Ok(()),
            Err(error) if error.is_transient() => Err(TransientError::new(error).into()),
            Err(error @ (DispatchError::Malformed { .. } | DispatchError::UnknownCommand { .. })) => {
                Err(PermanentError::new(error).into())
            }
            Err(error) => Err(error.into()),
        }
    })
}
