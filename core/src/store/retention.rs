//! Forgetting idempotency keys in bounded batches.

use std::time::Duration;

use crate::{EventStore, StoreError};

/// How many keys are forgotten at once, so that appends never wait long.
pub(crate) const KEYS_AT_ONCE: usize = 1000;

/// Forgets all keys that were recorded at least this long ago, batch after batch. Returns their number.
pub(crate) async fn sweep_keys(store: &(impl EventStore + ?Sized), older_than: Duration) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    loop {
        let batch = store.forget_keys(older_than, KEYS_AT_ONCE).await?;
        forgotten += batch;
        if batch < KEYS_AT_ONCE as u64 {
            return Ok(forgotten);
        }
    }
}
