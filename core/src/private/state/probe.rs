//! A deserializer that notes what it is asked for, and answers with values that most types take.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::explore::{Explorer, NUMBERS, TEXTS};
use super::join;
use crate::text::hash;

/// How deep values are answered.
const DEPTH: usize = 48;

/// The type does not take what it was given.
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
    explorer: &'e mut Explorer,
    /// The hash of the way to this place.
    place: u64,
    /// The structs and enums around it: one within itself is not entered again.
    around: Vec<u64>,
    /// Whether it is within a type that is within itself: then what can be left out is.
    shallow: bool,
}

impl<'e> Probe<'e> {
    pub(super) fn new(explorer: &'e mut Explorer) -> Self {
        Self { explorer, place: 0, around: Vec::new(), shallow: false }
    }

    fn note(&mut self, what: &str) -> Result<(), Refused> {
        self.explorer.note(self.place, hash(what))
    }

    /// Notes a type by its name and parts; the number stands for it.
    fn note_type(&mut self, kind: &str, name: &str, parts: &[&str]) -> Result<u64, Refused> {
        let all = parts.iter().fold(join(hash(kind), hash(name)), |all, part| join(all, hash(part)));
        self.explorer.note(self.place, all).map(|()| all)
    }

    /// The place of a part.
    fn part(&mut self, step: u64) -> Probe<'_> {
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
        // By its name and not its place: the variants of one that is within itself are seen outside.
        let within_itself = self.around.iter().filter(|around| **around == named).count() - 1;
        let chosen = self.explorer.variant(named, variants.len(), within_itself);
        let variant = variants.get(chosen).ok_or(Refused)?;
        visitor.visit_enum(Variant { probe: self, variant })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }
}

/// The elements of a list or tuple, or the keys and values of a map.
struct Parts<'e> {
    probe: Probe<'e>,
    left: usize,
    step: u64,
}

impl<'de> SeqAccess<'de> for Parts<'_> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refused> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.step += 1;
        seed.deserialize(self.probe.part(self.step)).map(Some)
    }
}

impl<'de> MapAccess<'de> for Parts<'_> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        seed.deserialize(self.probe.part(5))
    }
}

/// The fields of a struct.
struct Fields<'e> {
    probe: Probe<'e>,
    fields: &'static [&'static str],
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        while let Some((field, rest)) = self.fields.split_first() {
            if self.probe.explorer.gives_field(join(self.probe.place, hash(field))) {
                break;
            }
            self.fields = rest;
        }
        let Some(field) = self.fields.first() else { return Ok(None) };
        let key: StrDeserializer<'_, Refused> = (*field).into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        let (field, rest) = self.fields.split_first().ok_or(Refused)?;
        self.fields = rest;
        self.probe.explorer.takes_field();
        seed.deserialize(self.probe.part(hash(field)))
    }
}

/// A variant of an enum.
struct Variant<'e> {
    probe: Probe<'e>,
    variant: &'static str,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(mut self, seed: V) -> Result<(V::Value, Self), Refused> {
        let name: StrDeserializer<'_, Refused> = self.variant.into_deserializer();
        self.probe.place = join(self.probe.place, hash(self.variant));
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Refused;

    fn unit_variant(mut self) -> Result<(), Refused> {
        self.probe.note("unit variant")
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<T::Value, Refused> {
        self.probe.note("newtype variant")?;
        seed.deserialize(self.probe.part(6))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.probe.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        mut self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.probe.note_type("struct variant", self.variant, fields)?;
        visitor.visit_map(Fields { probe: self.probe, fields })
    }
}
