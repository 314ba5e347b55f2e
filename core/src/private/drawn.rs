//! Payloads that are drawn by chance: what an event reads, it must write so that it reads the same again.

use recount_schema::draws;
use serde_json::Value;

use crate::error::chain;
use crate::{EncodeError, Event, EventVariant};

/// How many that an event reads are enough.
const ENOUGH: usize = 256;
/// How many are tried at most: what a type takes may be narrower than its JSON Schema says.
const TRIES: usize = 4096;

/// An event that does not keep what it reads.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{name}` reads\n\n    {payload}\n\nand writes\n\n    {written}\n\nof it, but {what}: see what its types write, and its attributes of serde"
)]
pub(super) struct Lossy {
    name: String,
    payload: String,
    written: String,
    what: String,
}

/// Different payloads of an event that it reads; none that it would not write, unless it is retired.
pub(super) fn drawn<E: Event>(variant: &EventVariant, name: &str, schema: &Value) -> Result<Vec<String>, Lossy> {
    let version = variant.schema_version;
    let mut read = Vec::new();
    for payload in draws(schema, &format!("{name} {version}")).take(TRIES) {
        let payload = payload.to_string();
        if read.contains(&payload) {
            continue;
        }
        let Ok(event) = E::decode(name, version, payload.as_bytes()) else { continue };
        let written = match event.encode() {
            Ok(written) => written.payload,
            Err(EncodeError::Retired { .. }) => {
                read.push(payload);
                continue;
            }
            // Such as an empty text where a tag is made of it: it is never stored.
            Err(_) => continue,
        };
        let again = match E::decode(variant.event_type, version, &written) {
            Ok(event) => {
                event.encode().map(|again| again.payload).map_err(|error| format!("does not write it again: {error}"))
            }
            Err(error) => Err(format!("can't read that: {}", chain(&error))),
        };
        let what = match again {
            Ok(again) if same(&written, &again) => {
                read.push(payload);
                if read.len() == ENOUGH {
                    break;
                }
                continue;
            }
            Ok(again) => format!("makes {} of that", String::from_utf8_lossy(&again)),
            Err(what) => what,
        };
        let written = String::from_utf8_lossy(&written).into_owned();
        return Err(Lossy { name: name.to_owned(), payload, written, what });
    }
    Ok(read)
}

/// Whether two payloads say the same. A hash set writes its values in any order.
fn same(a: &[u8], b: &[u8]) -> bool {
    let sorted = |payload| serde_json::from_slice(payload).map(sorted).ok();
    a == b || sorted(a) == sorted(b)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => object.into_iter().map(|(key, value)| (key, sorted(value))).collect(),
        Value::Array(values) => {
            let mut values: Vec<_> = values.into_iter().map(sorted).collect();
            values.sort_by_key(Value::to_string);
            values.into()
        }
        other => other,
    }
}
