//! Requests to the state store about the entries of queues.

use bytes::Bytes;
use recount_core::{BoxError, ExpectedRevision, Namespace, StateEntry, StateKey, StatePut, Store, StoreError};

use super::head::Head;
use super::names::{self, QueueKey};

/// How many entries are read at once.
const PAGE: usize = 1000;

/// All entries with names that start like this, each with the rest of its name.
pub(super) async fn list(store: &dyn Store, prefix: &str) -> Result<Vec<(String, StateEntry)>, StoreError> {
    let (mut all, mut after): (Vec<_>, Option<StateKey>) = (Vec::new(), None);
    loop {
        let page = store.list(Namespace::PARKED, prefix, after.as_ref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|(key, _)| key.clone());
        all.extend(page.into_iter().map(|(key, entry)| (key.name()[prefix.len()..].to_owned(), entry)));
        if is_last {
            return Ok(all);
        }
    }
}

/// An entry without conditions, for ever.
pub(super) fn put(key: StateKey, value: Bytes) -> StatePut {
    StatePut { key, value, expected: ExpectedRevision::Any, time_to_live: None }
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
