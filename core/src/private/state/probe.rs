//! A deserializer that records the requests of a type, and answers with samples that most types accept.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};

use super::access::{Fields, Parts, Variant};
use super::explore::{Explorer, NUMBERS, TEXTS};
use super::join;
use crate::domain::text::hash;

/// The maximum nesting of values.
const DEPTH: usize = 48;

/// The type does not accept a value of the probe.
#[derive(Debug)]
pub(super) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

impl Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// A place in a value.
pub(super) struct Probe<'e> {
    pub(super) explorer: &'e mut Explorer,
    /// The hash of the path to this place.
    pub(super) place: u64,
    /// The structs and enums around this place, to recognize recursive types.
    around: Vec<u64>,
    /// Whether this place is inside a recursive type's second level: options and lists are empty there.
    shallow: bool,
}

impl<'e> Probe<'e> {
    pub(super) fn new(explorer: &'e mut Explorer) -> Self {
        Self { explorer, place: 0, around: Vec::new(), shallow: false }
    }

    pub(super) fn note(&mut self, what: &str) -> Result<(), Refused> {
        self.explorer.note(self.place, hash(what))
    }

    /// Records a type by its name and parts. Returns the type's hash.
    pub(super) fn note_type(&mut self, kind: &str, name: &str, parts: &[&str]) -> Result<u64, Refused> {
        let all = parts.iter().fold(join(hash(kind), hash(name)), |all, part| join(all, hash(part)));
        self.explorer.note(self.place, all).map(|()| all)
    }

    /// The probe of a part of this value.
    pub(super) fn part(&mut self, step: u64) -> Probe<'_> {
        Probe {
            place: join(self.place, step),
            around: self.around.clone(),
            shallow: self.shallow,
            explorer: &mut *self.explorer,
        }
    }

    /// Enters a type.
    fn enter(&mut self, named: u64) -> Result<(), Refused> {
        self.shallow |= self.around.contains(&named);
        self.around.push(named);
        if self.around.len() > DEPTH { Err(Refused) } else { Ok(()) }
    }

    fn number(&mut self) -> u8 {
        NUMBERS[self.explorer.value(self.place, NUMBERS.len())]
    }

    fn text(&mut self) -> &'static str {
        TEXTS[self.explorer.value(self.place, TEXTS.len())]
    }
}

macro_rules! numbers {
    ($($method:ident: $visit:ident,)*) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
            self.note(stringify!($method))?;
            visitor.$visit(self.number().into())
        }
    )*};
}

macro_rules! texts {
    ($($method:ident,)*) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
            self.note(stringify!($method))?;
            visitor.visit_str(self.text())
        }
    )*};
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Refused;

    numbers! {
        deserialize_i8: visit_i64, deserialize_i16: visit_i64, deserialize_i32: visit_i64, deserialize_i64: visit_i64,
        deserialize_i128: visit_i64, deserialize_u8: visit_u64, deserialize_u16: visit_u64, deserialize_u32: visit_u64,
        deserialize_u64: visit_u64, deserialize_u128: visit_u64, deserialize_f32: visit_f64, deserialize_f64: visit_f64,
    }

    texts! { deserialize_str, deserialize_string, deserialize_identifier, }

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("any")?;
        visitor.visit_str(self.text())
    }

    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("bool")?;
        visitor.visit_bool(false)
    }

    fn deserialize_char<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("char")?;
        visitor.visit_char('a')
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("bytes")?;
        visitor.visit_bytes(&[])
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("option")?;
        if self.shallow { visitor.visit_none() } else { visitor.visit_some(self.part(1)) }
    }

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("unit")?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(mut self, name: &'static str, visitor: V) -> Result<V::Value, Refused> {
        self.note_type("unit struct", name, &[])?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let named = self.note_type("newtype", name, &[])?;
        self.enter(named)?;
        visitor.visit_newtype_struct(self.part(2))
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("seq")?;
        let left = usize::from(!self.shallow);
        visitor.visit_seq(Parts { probe: self, left, step: 3 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(mut self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.note_type("tuple", &len.to_string(), &[])?;
        visitor.visit_seq(Parts { probe: self, left: len, step: 1000 })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let named = self.note_type("tuple struct", name, &[&len.to_string()])?;
        self.enter(named)?;
        visitor.visit_seq(Parts { probe: self, left: len, step: 1000 })
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("map")?;
        let left = usize::from(!self.shallow);
        visitor.visit_map(Parts { probe: self, left, step: 4 })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let named = self.note_type("struct", name, fields)?;
        self.enter(named)?;
        visitor.visit_map(Fields { probe: self, fields })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let named = self.note_type("enum", name, variants)?;
        self.enter(named)?;
        // Variants are counted by type, not by place: the outer level of a recursive enum shows all variants.
        let within_itself = self.around.iter().filter(|around| **around == named).count() - 1;
        let chosen = self.explorer.variant(named, variants.len(), within_itself);
        let variant = variants.get(chosen).ok_or(Refused)?;
        visitor.visit_enum(Variant { probe: self, variant })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }
}
