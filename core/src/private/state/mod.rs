//! The shape of an aggregate's state: a number that tells a snapshot of this state from one of an earlier state.
//!
//! It is made of what the derive sees (names, types and attributes of the fields), of the forms of the field types, and
//! of what the field types ask of a deserializer. So a field that is added to a type within the state counts, too,
//! without a derive of ours on that type.

mod explore;
mod probe;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::DeserializeOwned;

use crate::Event;
use crate::text::hash;
use explore::Explorer;
use probe::Refused;

/// What is known of a state.
#[derive(Clone, Copy, Debug)]
pub struct StateShape {
    /// Stands for the names, types and attributes.
    pub declared: u64,
    /// The hashes of the fields' forms.
    pub forms: &'static [u64],
    /// The shapes of the fields' types, as a deserializer sees them.
    pub probes: &'static [fn() -> u64],
}

impl StateShape {
    /// One number for all of it. Versions of events count too, since an upcaster may say other things of old events than the
    /// state was made of.
    #[must_use]
    pub fn number<E: Event>(&self) -> u64 {
        let mut number = self.declared;
        self.forms.iter().for_each(|form| number = join(number, *form));
        self.probes.iter().for_each(|probe| number = join(number, probe()));
        let mut upcast: Vec<_> = E::variants().into_iter().filter(|variant| variant.schema_version > 1).collect();
        upcast.sort_unstable_by_key(|variant| variant.event_type);
        for variant in upcast {
            number = join(join(number, hash(variant.event_type)), variant.schema_version.into());
            variant.upcasters.iter().for_each(|function| number = join(number, hash(function)));
        }
        number
    }
}

/// Finds the shape of a type that can be deserialized, as associated constants of the type itself come first.
#[derive(Debug)]
pub struct Deserialized<T>(PhantomData<T>);

impl<T: DeserializeOwned> Deserialized<T> {
    /// The shape of `T`.
    pub const SHAPE: fn() -> u64 = probe_shape::<T>;
}

/// The shape of every other type.
pub trait NotDeserialized {
    /// That nothing is known.
    const SHAPE: fn() -> u64 = || 0;
}

impl<T> NotDeserialized for Deserialized<T> {}

/// The shape of a type, as a deserializer sees it.
#[must_use]
fn probe_shape<T: DeserializeOwned>() -> u64 {
    // What a type does with values that it does not expect must not end the caller.
    Explorer::default().explore(|probe| {
        let run = AssertUnwindSafe(|| T::deserialize(probe).map(drop));
        catch_unwind(run).unwrap_or(Err(Refused))
    })
}

/// Both numbers, in their order. (FNV-1a)
fn join(a: u64, b: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in a.to_le_bytes().into_iter().chain(b.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
