//! Payloads that are drawn at random: an event must read each, write it, and read an equal event again.

use recount_schema::draws;
use serde_json::Value;

use super::event::event_loss;
use super::payload::Payload;
use crate::store::error_chain;
use crate::{EncodeError, Event, EventVariant};

/// How many that an event reads are enough.
const ENOUGH: usize = 256;
/// How many are tried at most: a type may accept fewer values than its JSON Schema.
const TRIES: usize = 4096;

/// The error for an event that does not preserve a payload that it reads.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` reads\n\n    {payload}\n\nand writes\n\n    {written}\n\nof it, but {what}")]
pub(super) struct Lossy {
    name: String,
    payload: String,
    written: String,
    what: String,
}

/// Different payloads of an event that it reads; none that it would not write, unless it is retired.
pub(super) fn drawn<E: Event + Payload>(
    variant: &EventVariant,
    name: &str,
    schema: &Value,
) -> Result<Vec<String>, Lossy> {
    let version = variant.schema_version;
    let mut read = Vec::new();
    for payload in draws(schema, &format!("{name} {version}")).take(TRIES) {
        let payload = payload.to_string();
        if read.contains(&payload) {
            continue;
        }
        let Ok(event) = E::decode(name, version, payload.as_bytes()) else { continue };
        let lossy = |written: &[u8], what| {
            let written = String::from_utf8_lossy(written).into_owned();
            Lossy { name: name.to_owned(), payload: payload.clone(), written, what }
        };
        match event.encode() {
            Ok(written) => {
                let written = written.payload;
                if let Some(what) = lost(variant, &event, &written) {
                    return Err(lossy(&written, what));
                }
            }
            Err(EncodeError::Retired { .. }) => {}
            Err(EncodeError::Lossy { field, reason, .. }) => {
                return Err(lossy(b"nothing", format!("`{field}` {reason}")));
            }
            // The event is never stored, for example since a tag can't be made of an empty text.
            Err(_) => continue,
        }
        read.push(payload);
        if read.len() == ENOUGH {
            break;
        }
    }
    Ok(read)
}

/// Encodes and decodes an event, and returns the loss, if any.
fn lost<E: Event + Payload>(variant: &EventVariant, event: &E, written: &[u8]) -> Option<String> {
    match E::decode(variant.event_type, variant.schema_version, written) {
        Ok(again) => event_loss(event, written, Ok(&again)).map(|loss| loss.to_string()),
        Err(error) => Some(format!("can't read that: {}", error_chain(&error))),
    }
}
