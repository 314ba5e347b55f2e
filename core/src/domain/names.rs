//! Claiming the stored names of events and aggregates for their Rust types.

use std::any::TypeId;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError, RwLock};

use foldhash::fast::RandomState;

use crate::{Aggregate, Event, EventVariant, NameCollision, RustType, StoredNames};

impl StoredNames {
    /// Claims the names of an aggregate and its events. Repeating it has no effect.
    ///
    /// # Errors
    /// [`NameCollision`] if another type has one of the names; names before it stay claimed.
    pub fn claim_aggregate<A: Aggregate>(&mut self) -> Result<(), NameCollision> {
        self.claim_variants(&A::Event::variants())?;
        self.add_aggregate(A::NAME, RustType::of::<A>())
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
                self.add_event_type(name, rust_type)?;
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
