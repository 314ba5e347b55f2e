//! The serializer that turns a value into tokens.

use serde::ser;
use serde::{Serialize, Serializer};
use serde_json::Error;

use super::{Token, TokenSink};

/// Serializes a value as tokens, and sends them to a sink.
pub(super) struct Tracer<'s, S> {
    pub(super) sink: &'s mut S,
    /// The field of the next value. Its token is sent once the value is known to be a part of the output.
    pub(super) field: Option<&'static str>,
}

impl<S: TokenSink> Tracer<'_, S> {
    fn token(self, token: Token<'_>) {
        if let Some(field) = self.field {
            self.sink.token(Token::Field(field));
        }
        self.sink.token(token);
    }
}

impl<'s, S: TokenSink> Tracer<'s, S> {
    fn open(mut self, token: Token<'_>) -> Self {
        if let Some(field) = self.field.take() {
            self.sink.token(Token::Field(field));
        }
        self.sink.token(token);
        self
    }
}

macro_rules! leaves {
    ($($method:ident($value:ident: $type:ty) => $token:expr;)*) => {$(
        fn $method(self, $value: $type) -> Result<(), Error> {
            self.token($token);
            Ok(())
        }
    )*};
}

impl<'s, S: TokenSink> Serializer for Tracer<'s, S> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    leaves! {
        serialize_bool(value: bool) => Token::Bool(value);
        serialize_i8(value: i8) => Token::Signed(value.into(), 8);
        serialize_i16(value: i16) => Token::Signed(value.into(), 16);
        serialize_i32(value: i32) => Token::Signed(value.into(), 32);
        serialize_i64(value: i64) => Token::Signed(value.into(), 64);
        serialize_i128(value: i128) => Token::Signed(value, 128);
        serialize_u8(value: u8) => Token::Unsigned(value.into(), 8);
        serialize_u16(value: u16) => Token::Unsigned(value.into(), 16);
        serialize_u32(value: u32) => Token::Unsigned(value.into(), 32);
        serialize_u64(value: u64) => Token::Unsigned(value.into(), 64);
        serialize_u128(value: u128) => Token::Unsigned(value, 128);
        serialize_f32(value: f32) => Token::Float(value.into(), 32);
        serialize_f64(value: f64) => Token::Float(value, 64);
        serialize_char(value: char) => Token::Char(value);
        serialize_str(value: &str) => Token::Text(value);
        serialize_bytes(value: &[u8]) => Token::Bytes(value);
        serialize_unit_struct(name: &'static str) => Token::UnitStruct(name);
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.token(Token::Unit);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Error> {
        if !(S::OMITS_NONE && self.field.is_some()) {
            self.token(Token::None);
        }
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self.open(Token::Some))
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.token(Token::UnitVariant(variant));
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self.open(Token::Newtype(name)))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self.open(Token::Variant(variant)))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Error> {
        Ok(self.open(Token::Seq))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Error> {
        Ok(self.open(Token::Tuple))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self.open(Token::Tuple))
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self.open(Token::Variant(variant)).open(Token::Tuple))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Error> {
        Ok(self.open(Token::Map))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self.open(Token::Struct(name)))
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self.open(Token::Variant(variant)).open(Token::Struct(variant)))
    }
}

impl<S: TokenSink> Tracer<'_, S> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Tracer { sink: &mut *self.sink, field: None })
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(Tracer { sink: &mut *self.sink, field: Some(key) })
    }

    fn finish(self) {
        self.sink.token(Token::End);
    }
}

macro_rules! compounds {
    ($($compound:ident::$method:ident($($key:ident)?),)*) => {$(
        impl<S: TokenSink> ser::$compound for Tracer<'_, S> {
            type Ok = ();
            type Error = Error;
            fn $method<T: Serialize + ?Sized>(&mut self, $($key: &'static str,)? value: &T) -> Result<(), Error> {
                compounds!(@ self value $($key)?)
            }
            fn end(self) -> Result<(), Error> {
                self.finish();
                Ok(())
            }
        }
    )*};
    (@ $self:ident $value:ident) => { $self.element($value) };
    (@ $self:ident $value:ident $key:ident) => { $self.field($key, $value) };
}

compounds! {
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(key),
    SerializeStructVariant::serialize_field(key),
}

impl<S: TokenSink> ser::SerializeMap for Tracer<'_, S> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.element(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}
