//! Calls of a store, and their faults.

use std::time::Duration;

#[cfg(doc)]
use recount_core::StoreError;
use recount_core::{Append, StreamId};

#[cfg(doc)]
use super::FaultyStore;
use super::Operation;

/// The fault of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call fails before it takes effect, with [`StoreError::Unavailable`].
    Before,
    /// The call takes effect, but its answer is lost: [`StoreError::OutcomeUnknown`] if it writes, otherwise
    /// [`StoreError::Unavailable`]. A read of events gives the first, if there is one, before it fails.
    After,
    /// The call takes effect late.
    Delay(Duration),
    /// The call takes effect at once, and is answered late.
    DelayAnswer(Duration),
    /// The call stops before it takes effect, until [`FaultyStore::release`]: a program that is paused, or dies there.
    PauseBefore,
    /// The call stops after it took effect, until [`FaultyStore::release`].
    PauseAfter,
}

/// A call of a store, for [`FaultyStore::fail_where`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// The operation.
    pub operation: Operation,
    /// The append, if it is one.
    pub append: Option<&'a Append>,
    /// The stream, if it reads one.
    pub stream: Option<&'a StreamId>,
    /// The idempotency key that is asked for, the first key of a state entry, or the prefix of the listed keys.
    pub key: Option<&'a str>,
}

impl<'a> Call<'a> {
    pub(super) const fn of(operation: Operation) -> Self {
        Self { operation, append: None, stream: None, key: None }
    }

    pub(super) const fn about(operation: Operation, key: &'a str) -> Self {
        Self { key: Some(key), ..Self::of(operation) }
    }

    /// Whether it appends an event of this type.
    #[must_use]
    pub fn appends(&self, event_type: &str) -> bool {
        let mut events = self.append.iter().flat_map(|append| &append.streams).flat_map(|stream| &stream.events);
        events.any(|event| event.event_type.as_str() == event_type)
    }

    /// Whether it reads a stream of this category.
    #[must_use]
    pub fn reads(&self, category: &str) -> bool {
        self.stream.is_some_and(|stream| stream.category() == category)
    }

    /// Whether it names a key that starts like this.
    #[must_use]
    pub fn is_about(&self, key: &str) -> bool {
        self.key.is_some_and(|own| own.starts_with(key))
    }
}
