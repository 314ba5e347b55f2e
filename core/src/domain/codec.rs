//! JSON as recount stores it: everything written can be read again.

use std::cell::Cell;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::loss::{loss, unwritable};
use crate::{DecodeError, EncodeError};

type Reader<'a> = serde_json::Deserializer<serde_json::de::SliceRead<'a>>;

/// The deepest nesting of arrays and objects that is written: the limit up to which `serde_json` reads.
pub const MAX_DEPTH: usize = 127;

thread_local! {
    /// Where values are written first. The next one on this thread has the memory again, unless it is much.
    static PAPER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}
const MUCH: usize = 64 * 1024;

/// Encodes a value as JSON, and checks that the JSON decodes to an equal value.
///
/// # Errors
/// [`EncodeError::Payload`] if the value has no JSON form or nests deeper than [`MAX_DEPTH`]; [`EncodeError::Lossy`] if
/// the JSON can't be decoded, or decodes to another value.
pub fn to_json<T: Serialize + DeserializeOwned>(event_type: &'static str, value: &T) -> Result<Bytes, EncodeError> {
    let json = to_json_unchecked(event_type, value)?;
    let read = read_whole(&json, |json| T::deserialize(json));
    match loss(value, &json, read.as_ref()) {
        Some(loss) => Err(EncodeError::lossy(event_type, loss)),
        None => Ok(json),
    }
}

/// Encodes a value as JSON without decoding it again. The caller promises that it decodes to an equal value.
///
/// # Errors
/// [`EncodeError::Payload`] if the value has no JSON form or nests deeper than [`MAX_DEPTH`];
/// [`EncodeError::Lossy`] if a map has keys that JSON can't represent.
pub fn to_json_unchecked<T: Serialize + ?Sized>(event_type: &'static str, value: &T) -> Result<Bytes, EncodeError> {
    let refuse = |source| EncodeError::Payload { event_type, source };
    let mut json = PAPER.take();
    json.clear();
    serde_json::to_writer(&mut json, value).map_err(|error| match unwritable(value) {
        Some(loss) => EncodeError::lossy(event_type, loss),
        None => refuse(error.into()),
    })?;
    if depth(&json) > MAX_DEPTH {
        return Err(refuse(format!("it nests deeper than {MAX_DEPTH} levels").into()));
    }
    // No larger than it must be: memory stores and queues keep it.
    let copy = Bytes::copy_from_slice(&json);
    if json.capacity() <= MUCH {
        PAPER.set(json);
    }
    Ok(copy)
}

/// The value that the JSON stands for.
///
/// # Errors
/// [`DecodeError::Payload`] if the JSON does not have the shape of the type.
pub fn from_json<T: DeserializeOwned>(event_type: &str, schema_version: u32, json: &[u8]) -> Result<T, DecodeError> {
    from_json_with(event_type, schema_version, json, |json| T::deserialize(json))
}

/// The value that `read` makes of the JSON, which must hold nothing else.
pub(crate) fn from_json_with<'a, T>(
    event_type: &str,
    schema_version: u32,
    json: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> serde_json::Result<T>,
) -> Result<T, DecodeError> {
    read_whole(json, read).map_err(|source| DecodeError::Payload {
        event_type: event_type.to_owned(),
        schema_version,
        source: source.into(),
    })
}

/// Decodes JSON with `read`, and fails if anything follows the value.
pub(crate) fn read_whole<'a, T>(
    json: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> serde_json::Result<T>,
) -> serde_json::Result<T> {
    let mut reader = Reader::from_slice(json);
    read(&mut reader).and_then(|value| reader.end().map(|()| value))
}

/// How deep arrays and objects of well-formed JSON nest.
fn depth(json: &[u8]) -> usize {
    // Each level costs two bytes.
    if json.len() <= 2 * MAX_DEPTH {
        return 0;
    }
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth -= 1,
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn nested(levels: usize) -> Value {
        (1..levels).fold(Value::Array(vec![]), |inner, _| Value::Array(vec![inner]))
    }

    #[test]
    fn what_is_written_can_be_read() {
        let deepest = nested(MAX_DEPTH);
        let json = to_json("t", &deepest).unwrap();
        assert_eq!(from_json::<Value>("t", 1, &json).unwrap(), deepest);
        assert!(to_json("t", &nested(MAX_DEPTH + 1)).is_err());
    }

    #[test]
    fn brackets_in_text_are_no_nesting() {
        let text = "[{\"\\".repeat(1000);
        let json = to_json("t", &text).unwrap();
        assert_eq!(from_json::<String>("t", 1, &json).unwrap(), text);
    }

    #[test]
    fn numbers_come_back_exactly() {
        let numbers = (u64::MAX, i64::MIN, f64::MIN_POSITIVE, f64::MAX, -0.0_f64, 0.1_f64 + 0.2);
        let json = to_json("t", &numbers).unwrap();
        let back: (u64, i64, f64, f64, f64, f64) = from_json("t", 1, &json).unwrap();
        assert_eq!(back, numbers);
        assert!(back.4.is_sign_negative());
    }
}
