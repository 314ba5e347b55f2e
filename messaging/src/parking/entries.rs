//! Requests to the state store about the entries of queues.

use bytes::Bytes;
use recount_core::{BoxError, ExpectedRevision, Namespace, StateEntry, StatePut, Store, StoreError};

use super::head::Head;
use super::names::{self, QueueKey};
use crate::entries::put;

/// How many entries are read at once.
const PAGE: usize = 1000;

/// All entries of queues with names that start like this, each with the rest of its name.
pub(super) async fn list(store: &dyn Store, prefix: &str) -> Result<Vec<(String, StateEntry)>, StoreError> {
    crate::entries::list(store, Namespace::PARKED, prefix, PAGE).await
}

/// The change of a head: the head as expected, then the count of changes that tells other programs.
pub(super) fn head_puts(
    consumer: &str,
    key: &QueueKey,
    head: &Head,
    expected: ExpectedRevision,
) -> Result<[StatePut; 2], BoxError> {
    let head = StatePut { expected, ..put(key.head(consumer)?, head.encode()?) };
    Ok([head, put(names::changes(consumer)?, Bytes::new())])
}
