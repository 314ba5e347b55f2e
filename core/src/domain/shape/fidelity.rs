//! Whether JSON preserves every value of a type, decided at compile time.

use super::Form;
use crate::domain::text::same;

/// Whether every value of a type decodes from its JSON as an equal value.
///
/// If that is unknown, an event is decoded and compared before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fidelity {
    /// Every value decodes to an equal value.
    Exact,
    /// Every value decodes to an equal value if its JSON has no `null`. A NaN, for example, is encoded as `null`.
    ExactWithoutNull,
    /// Some values may not decode to an equal value.
    Unknown,
}

impl Fidelity {
    /// The fidelity of values that have parts of both kinds.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::ExactWithoutNull, _) | (_, Self::ExactWithoutNull) => Self::ExactWithoutNull,
            _ => Self::Exact,
        }
    }

    /// The fidelity of values that have parts of all kinds.
    #[must_use]
    pub const fn all(parts: &[Self]) -> Self {
        let (mut all, mut i) = (Self::Exact, 0);
        while i < parts.len() {
            all = all.and(parts[i]);
            i += 1;
        }
        all
    }

    /// The fidelity of an `Option` of values of this fidelity and form.
    #[must_use]
    pub const fn optional(self, form: &Form) -> Self {
        if form.writes_null() { self.and(Self::ExactWithoutNull) } else { self }
    }

    /// Whether a value with this JSON is certain to decode to an equal value.
    pub(crate) fn vouches(self, json: &[u8]) -> bool {
        match self {
            Self::Exact => true,
            Self::ExactWithoutNull => !contains_null(json),
            Self::Unknown => false,
        }
    }
}

/// Whether the JSON holds `null`, or a text with these letters.
fn contains_null(json: &[u8]) -> bool {
    json.windows(4).any(|letters| letters == b"null")
}

impl Form {
    /// Whether a value of this form can be encoded as `null`, which an `Option` around it decodes as `None`.
    #[must_use]
    pub const fn writes_null(&self) -> bool {
        match self {
            Self::Option(_) => true,
            Self::Leaf(name) => same(name, "null"),
            Self::Choice(super::Tagging::Untagged, choices) => {
                let mut i = 0;
                while i < choices.len() {
                    if matches!(choices[i].form, Self::Unit) || choices[i].form.writes_null() {
                        return true;
                    }
                    i += 1;
                }
                false
            }
            _ => false,
        }
    }

    /// Whether an `Option` is directly around another one or around `()`: `Some(None)` would decode as `None`.
    #[must_use]
    pub const fn confuses_none(&self) -> bool {
        match self {
            Self::Option(form) => form.writes_null() || form.confuses_none(),
            Self::List(form) => form.confuses_none(),
            Self::Map(key, value) => key.confuses_none() || value.confuses_none(),
            Self::Tuple(forms) => {
                let mut i = 0;
                while i < forms.len() {
                    if forms[i].confuses_none() {
                        return true;
                    }
                    i += 1;
                }
                false
            }
            _ => false,
        }
    }

    /// Whether the form has a map with keys that have no text form, so that only an empty map can be encoded.
    #[must_use]
    pub const fn has_unwritable_keys(&self) -> bool {
        match self {
            Self::Map(key, value) => key.is_no_key() || value.has_unwritable_keys(),
            Self::Option(form) | Self::List(form) => form.has_unwritable_keys(),
            Self::Tuple(forms) => {
                let mut i = 0;
                while i < forms.len() {
                    if forms[i].has_unwritable_keys() {
                        return true;
                    }
                    i += 1;
                }
                false
            }
            _ => false,
        }
    }

    const fn is_no_key(&self) -> bool {
        match self {
            Self::Leaf(name) => same(name, "null"),
            Self::List(_) | Self::Tuple(_) | Self::Map(..) | Self::Object(_) => true,
            _ => false,
        }
    }

    /// Whether a value of this form can't be decoded within flattened fields, where serde buffers it: in the buffer map
    /// keys are text, and numbers have 64 bits.
    #[must_use]
    pub const fn is_unreadable_in_flatten(&self) -> bool {
        match self {
            Self::Leaf(name) => same(name, "u128") || same(name, "i128"),
            Self::Option(form) | Self::List(form) => form.is_unreadable_in_flatten(),
            Self::Map(key, value) => key.is_number_or_bool() || value.is_unreadable_in_flatten(),
            Self::Tuple(forms) => {
                let mut i = 0;
                while i < forms.len() {
                    if forms[i].is_unreadable_in_flatten() {
                        return true;
                    }
                    i += 1;
                }
                false
            }
            Self::Object(fields) => {
                let mut i = 0;
                while i < fields.len() {
                    if fields[i].form.is_unreadable_in_flatten() {
                        return true;
                    }
                    i += 1;
                }
                false
            }
            _ => false,
        }
    }

    const fn is_number_or_bool(&self) -> bool {
        let Self::Leaf(name) = self else { return false };
        let name = name.as_bytes();
        matches!(name, [b'u' | b'i', b'1' | b'3' | b'6' | b'8', ..] | b"f32" | b"f64" | b"bool")
            || matches!(name, [b'p', b'o', b's', b'i', b't', b'i', b'v', b'e', b' ', ..])
    }

    /// Whether a flattened value of this form writes one of these keys, which its neighbouring fields write too.
    #[must_use]
    pub const fn writes_any(&self, keys: &[&str]) -> bool {
        match self {
            Self::Object(fields) => {
                let mut i = 0;
                while i < fields.len() {
                    let clashes = if fields[i].flat {
                        fields[i].form.writes_any(keys)
                    } else {
                        crate::domain::text::any_same(keys, fields[i].name)
                    };
                    if clashes {
                        return true;
                    }
                    i += 1;
                }
                false
            }
            Self::Option(form) => form.writes_any(keys),
            _ => false,
        }
    }
}
