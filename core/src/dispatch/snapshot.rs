//! Snapshots: an aggregate's state kept in the state store, a shortcut that is never trusted more than the events.
//!
//! Stored under `snapshot/<category>/<id>` as the snapshot's version (u32), the stream version (u64) and the state's
//! shape (u64), all little-endian, and the encoded state.

use bytes::{Buf, BufMut, BytesMut};

use super::warm::Warm;
use crate::telemetry::AggregateMetrics;
use crate::{Apply, ExpectedRevision, NameError, Namespace, StateError, StateKey, Store, StreamId, StreamVersion};

const HEADER: usize = 4 + 8 + 8;

fn key(stream: &StreamId) -> Result<StateKey, NameError> {
    Namespace::SNAPSHOT.key(stream)
}

/// The kept state, if the aggregate keeps any and it can be used. Otherwise the stream is replayed.
pub(super) async fn find<A: Apply>(store: &dyn Store, stream: &StreamId) -> Option<Warm<A>> {
    let snapshot = A::SNAPSHOT?;
    let entry = match store.get(&key(stream).ok()?).await {
        Ok(entry) => entry?,
        Err(error) => {
            tracing::warn!(%stream, %error, "snapshot can't be read, replaying the stream");
            return None;
        }
    };
    let mut value = entry.value;
    if value.len() < HEADER || value.get_u32_le() != snapshot.version {
        return None;
    }
    let version = StreamVersion::new(value.get_u64_le());
    if value.get_u64_le() != (snapshot.shape)() {
        tracing::debug!(%stream, "snapshot is of another shape, replaying the stream");
        return None;
    }
    match (snapshot.decode)(&value) {
        Ok(state) => Some(Warm { state, version, snapshot: version }),
        Err(error) => {
            tracing::warn!(%stream, %error, "snapshot can't be decoded, replaying the stream");
            None
        }
    }
}

/// Keeps the state if enough happened since the last time. A failure costs a longer replay, nothing else.
pub(super) async fn keep<A: Apply>(
    store: &dyn Store,
    stream: &StreamId,
    warm: &mut Warm<A>,
    metrics: &AggregateMetrics,
) {
    let Some(snapshot) = A::SNAPSHOT else { return };
    if warm.version.get() - warm.snapshot.get() < snapshot.every {
        return;
    }
    let Ok(key) = key(stream) else { return };
    let state = match (snapshot.encode)(&warm.state) {
        Ok(state) => state,
        Err(error) => {
            tracing::warn!(%stream, %error, "state can't be kept as a snapshot");
            // Don't retry for each command: an older snapshot plus the events after it is enough.
            warm.snapshot = warm.version;
            metrics.snapshot_failures.add(1);
            return;
        }
    };
    let mut value = BytesMut::with_capacity(HEADER + state.len());
    value.put_u32_le(snapshot.version);
    value.put_u64_le(warm.version.get());
    value.put_u64_le((snapshot.shape)());
    value.put_slice(&state);
    match store.put(&key, value.freeze(), ExpectedRevision::Any, None).await {
        Ok(_) => {
            warm.snapshot = warm.version;
            metrics.snapshot_writes.add(1);
        }
        Err(error) => {
            metrics.snapshot_failures.add(1);
            if let StateError::Invalid(_) = error {
                // As above: it would be refused for each command.
                warm.snapshot = warm.version;
            }
            tracing::warn!(%stream, %error, "snapshot can't be kept");
        }
    }
}

/// Removes the kept state.
pub(super) async fn forget(store: &dyn Store, stream: &StreamId) -> Result<(), crate::StateError> {
    match key(stream) {
        Ok(key) => store.delete(&key, ExpectedRevision::Any).await,
        Err(_) => Ok(()),
    }
}
