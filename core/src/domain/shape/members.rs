//! Whether the objects of a form always have all their members, decided at compile time.

use super::{Field, Form, Tagging};
use crate::domain::text::any_same;

/// The leaves that are never objects. A leaf with another name may be anything.
const SCALARS: &[&str] = &[
    "bool",
    "char",
    "string",
    "null",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "f32",
    "f64",
    "positive u8",
    "positive u16",
    "positive u32",
    "positive u64",
    "ip",
    "ipv4",
    "ipv6",
    "uuid",
    "date",
    "time",
    "date-time",
    "timestamp",
    "decimal",
];

impl Form {
    /// Whether JSON of this form can't be decoded once any member of an object is removed. False if that is unknown.
    #[must_use]
    pub const fn requires_all_members(&self) -> bool {
        match self {
            Self::Opaque | Self::Choice(Tagging::Untagged, _) => false,
            Self::Unit => true,
            Self::Leaf(name) => any_same(SCALARS, name),
            Self::Option(form) | Self::List(form) | Self::Map(_, form) => form.requires_all_members(),
            Self::Tuple(forms) => {
                let mut i = 0;
                while i < forms.len() {
                    if !forms[i].requires_all_members() {
                        return false;
                    }
                    i += 1;
                }
                true
            }
            Self::Object(fields) => {
                let mut i = 0;
                while i < fields.len() {
                    if !fields[i].is_certain() {
                        return false;
                    }
                    i += 1;
                }
                true
            }
            Self::Choice(_, choices) => {
                let mut i = 0;
                while i < choices.len() {
                    if !choices[i].form.requires_all_members() {
                        return false;
                    }
                    i += 1;
                }
                true
            }
        }
    }
}

impl Field {
    /// Whether an object without the member can't be decoded. serde decodes a missing `Option` as `None`, also behind
    /// a type alias.
    const fn is_certain(&self) -> bool {
        self.required && !self.flat && !self.form.writes_null() && self.form.requires_all_members()
    }
}
