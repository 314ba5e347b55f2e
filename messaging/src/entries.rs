//! Entries of the state store: listing them, and writing them without conditions.

use bytes::Bytes;
use recount_core::{
    ExpectedRevision, MAX_STATE_BATCH_BYTES, Namespace, StateEntry, StateKey, StatePut, StateStore, StoreError,
};

/// The greatest message in the store, with its headers. It fits into one write, with smaller entries beside it.
pub(crate) const MAX_STORED_MESSAGE: usize = MAX_STATE_BATCH_BYTES - 512 * 1024;

/// All entries of a namespace with names that start like this, each with the rest of its name. They are read so many at once.
pub(crate) async fn list(
    store: &dyn StateStore,
    namespace: Namespace,
    prefix: &str,
    page_size: usize,
) -> Result<Vec<(String, StateEntry)>, StoreError> {
    let (mut all, mut after): (Vec<_>, Option<StateKey>) = (Vec::new(), None);
    loop {
        let page = store.list(namespace, prefix, after.as_ref(), page_size).await?;
        let is_last = page.len() < page_size;
        after = page.last().map(|(key, _)| key.clone());
        all.extend(page.into_iter().map(|(key, entry)| (key.name()[prefix.len()..].to_owned(), entry)));
        if is_last {
            return Ok(all);
        }
    }
}

/// An entry without conditions, for ever.
pub(crate) fn put(key: StateKey, value: Bytes) -> StatePut {
    StatePut { key, value, expected: ExpectedRevision::Any, time_to_live: None }
}
