//! The registry of stored names: each event type and aggregate name belongs to one Rust type.

use std::any::TypeId;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError, RwLock};

use foldhash::fast::RandomState;

use crate::store::RESERVED;
use crate::{Aggregate, Event, EventVariant, RustType};

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
    /// Claims the names of an aggregate and its events. Repeating it has no effect.
    ///
    /// # Errors
    /// [`NameCollision`] if another type has one of the names; names before it stay claimed.
    pub fn claim_aggregate<A: Aggregate>(&mut self) -> Result<(), NameCollision> {
        self.claim_variants(&A::Event::variants())?;
        claim(&mut self.aggregates, "aggregate", A::NAME, RustType::of::<A>())
    }

    /// Claims the names and aliases of an event type. Repeating it has no effect.
    ///
    /// # Errors
    /// [`NameCollision`] if another type has one of the names; names before it stay claimed.
    pub fn claim_events<E: Event>(&mut self) -> Result<(), NameCollision> {
        self.claim_variants(&E::variants())
    }

    fn claim_variants(&mut self, variants: &[EventVariant]) -> Result<(), NameCollision> {
        for variant in variants {
            let rust_type = (variant.rust_type)();
            for name in std::iter::once(variant.event_type).chain(variant.aliases.iter().copied()) {
                claim(&mut self.events, "event type", name, rust_type)?;
            }
        }
        Ok(())
    }
}

/// The names that a running application has used so far: each type is checked once.
#[derive(Default)]
pub(crate) struct CheckedNames {
    checked: RwLock<HashSet<TypeId, RandomState>>,
    names: Mutex<StoredNames>,
}

impl CheckedNames {
    /// Starts with these names claimed and no type checked.
    pub(crate) fn beside(names: StoredNames) -> Self {
        Self { names: Mutex::new(names), ..Self::default() }
    }

    pub(crate) fn claim_aggregate<A: Aggregate>(&self) -> Result<(), NameCollision> {
        self.once::<A>(StoredNames::claim_aggregate::<A>)
    }

    pub(crate) fn claim_events<E: Event>(&self) -> Result<(), NameCollision> {
        self.once::<E>(StoredNames::claim_events::<E>)
    }

    fn once<T: 'static>(
        &self,
        claim: impl FnOnce(&mut StoredNames) -> Result<(), NameCollision>,
    ) -> Result<(), NameCollision> {
        let id = TypeId::of::<T>();
        if self.checked.read().unwrap_or_else(PoisonError::into_inner).contains(&id) {
            return Ok(());
        }
        claim(&mut self.names.lock().unwrap_or_else(PoisonError::into_inner))?;
        self.checked.write().unwrap_or_else(PoisonError::into_inner).insert(id);
        Ok(())
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
