//! The parts of a list, map, struct or enum that the [`Probe`](super::probe::Probe) hands to a type.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::join;
use super::probe::{Probe, Refused};
use crate::domain::text::hash;

/// The elements of a list or tuple, or the keys and values of a map.
pub(super) struct Parts<'e> {
    pub(super) probe: Probe<'e>,
    pub(super) left: usize,
    pub(super) step: u64,
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
pub(super) struct Fields<'e> {
    pub(super) probe: Probe<'e>,
    pub(super) fields: &'static [&'static str],
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
        self.probe.explorer.enters_field(join(self.probe.place, hash(field)));
        let value = seed.deserialize(self.probe.part(hash(field)))?;
        self.probe.explorer.leaves_field();
        Ok(value)
    }
}

/// A variant of an enum.
pub(super) struct Variant<'e> {
    pub(super) probe: Probe<'e>,
    pub(super) variant: &'static str,
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
