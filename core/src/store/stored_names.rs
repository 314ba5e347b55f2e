//! The registry of stored names: each event type and aggregate name belongs to one Rust type.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;

use super::name::RESERVED;

/// A type of the program, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RustType {
    id: TypeId,
    name: &'static str,
}

impl RustType {
    /// The type `T`.
    #[must_use]
    pub fn of<T: ?Sized + 'static>() -> Self {
        Self { id: TypeId::of::<T>(), name: std::any::type_name::<T>() }
    }
}

impl fmt::Display for RustType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
/// A type of the program claims a stored name that it can't have: another type has it, and each would read the other's
/// events, or the name begins with `recount.`, as recount's own do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.describe())]
pub struct NameCollision {
    /// The kind of name: an event type or an aggregate.
    pub kind: &'static str,
    /// The stored name.
    pub name: &'static str,
    /// The type that was used first. For a name that begins with `recount.` a type of recount's.
    pub first: RustType,
    /// The type that is refused.
    pub second: RustType,
}

impl NameCollision {
    fn describe(&self) -> String {
        let Self { kind, name, first, second } = self;
        if name.starts_with(RESERVED) {
            return format!(
                "{kind} `{name}` is declared by {second}, but names that begin with `{RESERVED}` are recount's own: rename it"
            );
        }
        format!("{kind} `{name}` is declared by {first} and by {second}: rename one, or use one type in both places")
    }
}

/// Stands for recount as the owner of reserved names.
struct Reserved;

/// The stored names that an application uses, each with its type.
#[derive(Clone, Debug, Default)]
pub struct StoredNames {
    events: HashMap<&'static str, RustType>,
    aggregates: HashMap<&'static str, RustType>,
}

impl StoredNames {
    /// Claims the name of an event type.
    pub(crate) fn add_event_type(&mut self, name: &'static str, owner: RustType) -> Result<(), NameCollision> {
        claim(&mut self.events, "event type", name, owner)
    }

    /// Claims the name of an aggregate.
    pub(crate) fn add_aggregate(&mut self, name: &'static str, owner: RustType) -> Result<(), NameCollision> {
        claim(&mut self.aggregates, "aggregate", name, owner)
    }
}

fn claim(
    owners: &mut HashMap<&'static str, RustType>,
    kind: &'static str,
    name: &'static str,
    rust_type: RustType,
) -> Result<(), NameCollision> {
    if name.starts_with(RESERVED) {
        return Err(NameCollision { kind, name, first: RustType::of::<Reserved>(), second: rust_type });
    }
    let first = *owners.entry(name).or_insert(rust_type);
    if first == rust_type { Ok(()) } else { Err(NameCollision { kind, name, first, second: rust_type }) }
}
