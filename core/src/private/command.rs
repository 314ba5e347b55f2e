//! The work of a derived `Command` and `Aggregate`.

use serde::ser::Error as _;
use serde_json::Error as JsonError;

use super::payload::{Content, Payload, Whole, read};
use crate::domain::loss::{loss, unequal};
use crate::domain::shape::Fidelity;
use crate::{Aggregate, Apply, Command, HandleWith};

/// The command as JSON, which tells it from every other command.
///
/// # Errors
/// If a field has no JSON form, or would not come back equal.
pub fn command_to_json<C: Payload>(command: &C, fidelity: Fidelity) -> Result<Vec<u8>, JsonError> {
    let json = serde_json::to_vec(&Content(command))?;
    if fidelity.vouches(&json) {
        return Ok(json);
    }
    let lost = match command_from_json::<C>(&json) {
        Ok(read) => loss(&Content(command), &json, Ok(&Content(&read))),
        Err(error) => loss::<_, ()>(&Content(command), &json, Err(&error)),
    };
    lost.map_or(Ok(json), |loss| Err(JsonError::custom(loss)))
}

/// Reads a command.
///
/// # Errors
/// Says which field is wrong, and where.
pub fn command_from_json<C: Payload>(json: &[u8]) -> Result<C, JsonError> {
    let mut json = serde_json::Deserializer::from_slice(json);
    let command = read(0, &mut json)?;
    json.end()?;
    Ok(command)
}

/// Encodes the state as JSON that decodes to an equal state.
///
/// # Errors
/// If a field has no JSON form, or would not decode to an equal value.
pub fn state_to_json<A: Payload>(state: &A, fidelity: Fidelity) -> Result<Vec<u8>, JsonError> {
    let json = serde_json::to_vec(&Whole(state))?;
    if fidelity.vouches(&json) {
        return Ok(json);
    }
    let read = state_from_json::<A>(&json);
    let lost = match &read {
        Ok(read) => loss(&Whole(state), &json, Ok(&Whole(read))),
        Err(error) => loss::<_, ()>(&Whole(state), &json, Err(error)),
    };
    let lost = lost.or_else(|| state.differing(read.as_ref().ok()?).map(unequal));
    lost.map_or(Ok(json), |loss| Err(JsonError::custom(loss)))
}

/// Reads a state.
///
/// # Errors
/// If it is not of the state's shape.
pub fn state_from_json<A: Payload>(json: &[u8]) -> Result<A, JsonError> {
    let mut json = serde_json::Deserializer::from_slice(json);
    let state = A::deserialize(&mut json)?;
    json.end()?;
    Ok(state)
}

/// Compiles if `A` is an aggregate.
pub const fn assert_aggregate<A: Aggregate>() {}

/// Compiles if the aggregate says how its state follows from its events.
pub const fn assert_apply<A: Apply>() {}

/// Compiles if the aggregate has a handler for the command.
pub const fn assert_handler<A: HandleWith<C>, C: Command<Aggregate = A>>() {}
