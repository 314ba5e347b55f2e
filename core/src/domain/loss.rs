//! Finds values that JSON does not preserve, by comparing the value before encoding and after decoding.

use serde::Serialize;
use serde_json::Error;

use crate::domain::trace::{Difference, Suspect, Tree, trace};

/// The reason why a value does not survive encoding, and the field that is to blame.
#[derive(Debug, thiserror::Error)]
#[error("`{field}` {reason}")]
pub(crate) struct Loss {
    /// The path of the field, such as `items[2].price`.
    pub(crate) field: String,
    /// The problem and its cure.
    pub(crate) reason: String,
}

/// The stored value's name in messages where no field is to blame.
const WHOLE: &str = "(the value)";

/// Compares a value with `read`, the result of decoding its `json`. `None` if they have the same tokens.
pub(crate) fn loss<T: Serialize + ?Sized, R: Serialize>(
    value: &T,
    json: &[u8],
    read: Result<&R, &Error>,
) -> Option<Loss> {
    match read {
        Ok(read) => {
            let (mut written, mut back) = (Vec::new(), Vec::new());
            let traced = trace(value, &mut written).and_then(|()| trace(read, &mut back));
            if traced.is_ok() && written == back { None } else { difference(value, read) }
        }
        Err(error) => Some(unreadable(value, json, error)),
    }
}

/// The loss of a value that has no JSON because of a map's keys; `None` if no map is to blame.
pub(crate) fn unwritable<T: Serialize + ?Sized>(value: &T) -> Option<Loss> {
    let field = named(Tree::of(value).ok()?.unwritable_keys()?);
    let reason =
        "is a map with a key that has no form in JSON, where keys are text: let the keys be text, numbers or an enum \
                  without content, or store a list of pairs"
            .to_owned();
    Some(Loss { field, reason })
}

/// The loss of two values that have the same tokens, and differ by `PartialEq`.
pub(crate) fn unequal(field: &str) -> Loss {
    let reason = "would come back as another value, although both are written the same: if it is an `untagged` enum, \
                  give its variants forms that differ; a skipped field must hold its default"
        .to_owned();
    Loss { field: field.to_owned(), reason }
}

fn difference<T: Serialize + ?Sized, R: Serialize>(value: &T, read: &R) -> Option<Loss> {
    let (value, read) = match (Tree::of(value), Tree::of(read)) {
        (Ok(value), Ok(read)) => (value, read),
        (Err(error), _) | (_, Err(error)) => {
            return Some(Loss { field: WHOLE.to_owned(), reason: format!("can't be compared: {error}") });
        }
    };
    let Difference { path, first, second } = value.difference(&read)?;
    let reason = match value.suspect(&path) {
        Some((_, Suspect::NotFinite(number))) => not_finite(&number),
        _ if second == "None" && first.starts_with("Some") => format!(
            "is `{first}`, which would come back as `None`, as both are stored as null: use an enum that tells them apart, \
             or `#[serde(with = \"…\")]`"
        ),
        _ => format!(
            "is {first}, which would come back as {second}: check the `Serialize` of its type and its serde attributes"
        ),
    };
    Some(Loss { field: named(path), reason })
}

fn unreadable<T: Serialize + ?Sized>(value: &T, json: &[u8], error: &Error) -> Loss {
    let path = path_at(json, error.column());
    if error.to_string().starts_with("duplicate field") {
        let reason = "is written twice, once of them by a flattened field: rename one with `#[serde(rename = \"…\")]`"
            .to_owned();
        return Loss { field: named(path), reason };
    }
    match Tree::of(value).ok().and_then(|tree| tree.suspect(&path)) {
        Some((field, suspect)) => {
            let reason = match suspect {
                Suspect::NotFinite(number) => not_finite(&number),
                Suspect::Wide => "is a 128-bit integer, which can't be read within flattened fields and enums with \
                                  `tag` or `untagged`: store 64 bits, or text with `#[serde(with = \"…\")]`"
                    .to_owned(),
                Suspect::Keys => format!(
                    "is a map whose keys are no text, which can't be read within flattened fields and enums with `tag` or \
                     `untagged` ({error}): let its keys be text, or the enum have no tag of its own"
                ),
            };
            Loss { field: named(field), reason }
        }
        None => Loss {
            field: named(path),
            reason: format!("can't be read back ({error}): check the `Serialize` of its type and its serde attributes"),
        },
    }
}

fn not_finite(number: &str) -> String {
    format!("is {number}, which JSON does not have: store a finite number, or an `Option` with `None`")
}

fn named(path: String) -> String {
    if path.is_empty() { WHOLE.to_owned() } else { path }
}

/// The path of the field at byte `end` of the JSON, which is a single line.
fn path_at(json: &[u8], end: usize) -> String {
    enum Level {
        Object(Option<String>),
        Array(usize),
    }
    let (mut levels, mut at) = (Vec::new(), 0);
    let end = end.min(json.len());
    while at < end {
        match json[at] {
            b'{' => levels.push(Level::Object(None)),
            b'[' => levels.push(Level::Array(0)),
            b'}' | b']' => drop(levels.pop()),
            b',' => match levels.last_mut() {
                Some(Level::Object(key)) => *key = None,
                Some(Level::Array(index)) => *index += 1,
                None => {}
            },
            b'"' => {
                let text = text_end(json, at);
                if let Some(Level::Object(key @ None)) = levels.last_mut() {
                    *key = serde_json::from_slice(&json[at..text]).ok();
                }
                at = text;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    let mut path = String::new();
    for level in &levels {
        match level {
            Level::Object(Some(key)) if path.is_empty() => path.push_str(key),
            Level::Object(Some(key)) => {
                path.push('.');
                path.push_str(key);
            }
            Level::Object(None) => {}
            Level::Array(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

/// The index behind the string that starts at a quotation mark.
fn text_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_json_has_a_path() {
        let json = br#"{"a":{"b\"":[1,{"c":null}]},"d":2}"#;
        let at = |text: &str| {
            let found = String::from_utf8_lossy(json).find(text).unwrap();
            path_at(json, found + text.len())
        };
        assert_eq!(at("null"), "a.b\"[1].c");
        assert_eq!(at("[1"), "a.b\"[0]");
        assert_eq!(at("null}"), "a.b\"[1]");
        assert_eq!(at("null}]}"), "a");
        assert_eq!(at(r#""d""#), "d");
        assert_eq!(path_at(json, 999), "");
    }
}
