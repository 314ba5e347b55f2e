//! Values as tokens of serde's data model, to compare or hash them without `PartialEq` or `Hash`.
//!
//! Tokens distinguish more than JSON does: `Some(None)` is not `None`, a NaN is not null, and a struct is not a map.

mod build;
mod serializer;
#[cfg(test)]
mod tests;
mod tree;

use serde::Serialize;
use serde_json::Error;

use serializer::Tracer;
pub(crate) use tree::{Difference, Suspect, Tree};

// The first bytes of encoded tokens that other code compares.
const TEXT: u8 = 0;
const SIGNED: u8 = 8;
const UNSIGNED: u8 = 9;
const FLOAT: u8 = 10;
const BOOL: u8 = 12;
const NONE: u8 = 13;
const UNIT: u8 = 15;

/// A token of serde's data model. A variant's token is followed by those of its content, if it has any.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    Bool(bool),
    /// A signed integer and its width in bits.
    Signed(i128, u8),
    /// An unsigned integer and its width in bits.
    Unsigned(u128, u8),
    /// A floating-point number and its width in bits.
    Float(f64, u8),
    Char(char),
    Text(&'a str),
    Bytes(&'a [u8]),
    None,
    /// Followed by the value.
    Some,
    Unit,
    UnitStruct(&'static str),
    /// A struct around one value, which follows.
    Newtype(&'static str),
    UnitVariant(&'static str),
    /// A variant's name, followed by its content.
    Variant(&'static str),
    /// Followed by elements, then [`End`](Self::End).
    Seq,
    /// Followed by elements, then [`End`](Self::End).
    Tuple,
    /// Followed by keys and values in turn, then [`End`](Self::End).
    Map,
    /// Followed by fields, then [`End`](Self::End).
    Struct(&'static str),
    /// The name of a field, followed by its value.
    Field(&'static str),
    End,
}

/// A receiver of tokens.
pub(crate) trait TokenSink {
    /// Whether to omit a struct's fields that are `None`, so that an optional field can be added later.
    const OMITS_NONE: bool = false;

    /// Takes the next token.
    fn token(&mut self, token: Token<'_>);
}

/// Sends the value's tokens to the sink.
///
/// # Errors
/// The error of the value's own `Serialize`.
pub(crate) fn trace<T: Serialize + ?Sized>(value: &T, sink: &mut impl TokenSink) -> Result<(), Error> {
    value.serialize(Tracer { sink, field: None })
}

impl Token<'_> {
    /// The token as bytes: different sequences of tokens give different sequences of bytes.
    pub(crate) fn bytes(self, mut out: impl FnMut(&[u8])) {
        let mut sized = |kind: u8, bytes: &[u8]| {
            out(&[kind]);
            out(&(bytes.len() as u64).to_le_bytes());
            out(bytes);
        };
        match self {
            Self::Text(text) => sized(TEXT, text.as_bytes()),
            Self::Bytes(bytes) => sized(1, bytes),
            Self::UnitStruct(name) => sized(2, name.as_bytes()),
            Self::Newtype(name) => sized(3, name.as_bytes()),
            Self::UnitVariant(name) => sized(4, name.as_bytes()),
            Self::Variant(name) => sized(5, name.as_bytes()),
            Self::Struct(name) => sized(6, name.as_bytes()),
            Self::Field(name) => sized(7, name.as_bytes()),
            Self::Signed(value, bits) => {
                out(&[SIGNED, bits]);
                out(&value.to_le_bytes());
            }
            Self::Unsigned(value, bits) => {
                out(&[UNSIGNED, bits]);
                out(&value.to_le_bytes());
            }
            Self::Float(value, bits) => {
                out(&[FLOAT, bits]);
                out(&value.to_bits().to_le_bytes());
            }
            Self::Char(value) => {
                out(&[11]);
                out(&u32::from(value).to_le_bytes());
            }
            Self::Bool(value) => out(&[BOOL, u8::from(value)]),
            Self::None => out(&[NONE]),
            Self::Some => out(&[14]),
            Self::Unit => out(&[UNIT]),
            Self::Seq => out(&[16]),
            Self::Tuple => out(&[17]),
            Self::Map => out(&[18]),
            Self::End => out(&[19]),
        }
    }
}

/// The tokens as bytes, in memory.
impl TokenSink for Vec<u8> {
    fn token(&mut self, token: Token<'_>) {
        token.bytes(|bytes| self.extend_from_slice(bytes));
    }
}
