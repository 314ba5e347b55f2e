//! The shape of an aggregate's state: a number that tells a snapshot of this state from one of an earlier state.
//!
//! It is computed from the names, types and attributes of the fields, from the forms of the field types, and from the
//! requests that the field types make to a deserializer. So a field that is added to a type within the state changes
//! the shape, even if that type has no derive of this crate.

mod access;
mod explore;
mod probe;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::DeserializeOwned;

use crate::Event;
use crate::domain::text::hash;
use explore::Explorer;
use probe::Refused;

/// The parts from which the shape of a state is computed.
#[derive(Clone, Copy, Debug)]
pub struct StateShape {
    /// The hash of the fields' names, types and attributes.
    pub declared: u64,
    /// The hashes of the fields' forms.
    pub forms: &'static [u64],
    /// The shapes of the fields' types, as a deserializer sees them.
    pub probes: &'static [fn() -> u64],
}

impl StateShape {
    /// The shape as one number. It includes the schema versions of events and their upcasters: a new upcaster may turn
    /// an old event into another one than the state was built from.
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

/// Selects the shape of a type at compile time: this type's own constant takes precedence over the trait's.
#[derive(Debug)]
pub struct Deserialized<T>(PhantomData<T>);

impl<T: DeserializeOwned> Deserialized<T> {
    /// The shape of `T`.
    pub const SHAPE: fn() -> u64 = probe_shape::<T>;
}

/// The shape of every other type.
pub trait NotDeserialized {
    /// The shape is unknown.
    const SHAPE: fn() -> u64 = || 0;
}

impl<T> NotDeserialized for Deserialized<T> {}

/// The shape of a type, as a deserializer sees it.
#[must_use]
fn probe_shape<T: DeserializeOwned>() -> u64 {
    // A type may panic on unexpected values. Such a panic must not reach the caller.
    Explorer::default().explore(|probe| {
        let run = AssertUnwindSafe(|| T::deserialize(probe).map(drop));
        catch_unwind(run).unwrap_or(Err(Refused))
    })
}

/// The FNV-1a hash of both numbers, in their order.
fn join(a: u64, b: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in a.to_le_bytes().into_iter().chain(b.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
