//! Leases: one holder at a time among processes, over the state store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{
    ExpectedRevision, InvalidState, NameError, Namespace, Revision, StateError, StateKey, StateStore, StoreError,
};

/// A right that one process holds until it releases it or lets it expire by the store's clock.
///
/// A process can be paused for longer than its lease and wake up believing that it still holds it. Its requests to the
/// protected resource must therefore carry its [`token`](Self::token): tokens increase from holder to holder, so the
/// resource can refuse a token smaller than one it has seen.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use recount_core::{Lease, LeaseError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), LeaseError> {
/// let store = Arc::new(recount_store_memory::MemoryStore::new());
/// let mut lease = Lease::acquire(store, "nightly report", "node 1", Duration::from_secs(30)).await?;
/// lease.renew().await?; // from time to time, while the work goes on
/// lease.release().await
/// # }
/// ```
#[derive(Debug)]
pub struct Lease<S: StateStore + ?Sized> {
    store: Arc<S>,
    key: StateKey,
    holder: Bytes,
    time_to_live: Duration,
    token: Revision,
    renewed: Revision,
}

/// How holding a lease can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// Another process holds it, or took it over after it expired.
    #[error("lease {lease} is held by {holder}")]
    Held {
        /// The lease's name.
        lease: String,
        /// The name of the holder, as far as it is known.
        holder: String,
    },
    /// Its name is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name of the holder is too long.
    #[error(transparent)]
    Holder(#[from] InvalidState),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: StateStore + ?Sized> Lease<S> {
    /// Takes the lease if it is free. `holder` names the new holder, for other processes to read.
    ///
    /// # Errors
    /// [`LeaseError::Held`] if it isn't free.
    pub async fn acquire(store: Arc<S>, name: &str, holder: &str, time_to_live: Duration) -> Result<Self, LeaseError> {
        let key = Namespace::LEASE.key(name)?;
        let holder = Bytes::copy_from_slice(holder.as_bytes());
        match store.put(&key, holder.clone(), ExpectedRevision::Absent, Some(time_to_live)).await {
            Ok(token) => Ok(Self { store, key, holder, time_to_live, token, renewed: token }),
            Err(error) => Err(refused(&*store, &key, error).await),
        }
    }

    /// Increases from holder to holder.
    #[must_use]
    pub fn token(&self) -> Revision {
        self.token
    }

    /// Holds it for another full time from now.
    ///
    /// # Errors
    /// [`LeaseError::Held`] if it expired meanwhile: stop the work that it protects.
    pub async fn renew(&mut self) -> Result<(), LeaseError> {
        let expected = ExpectedRevision::Exact(self.renewed);
        match self.store.put(&self.key, self.holder.clone(), expected, Some(self.time_to_live)).await {
            Ok(revision) => {
                self.renewed = revision;
                Ok(())
            }
            Err(error) => Err(refused(&*self.store, &self.key, error).await),
        }
    }

    /// Lets the next one have it at once.
    ///
    /// # Errors
    /// [`LeaseError::Held`] if it expired meanwhile; another process may hold it then.
    pub async fn release(self) -> Result<(), LeaseError> {
        match self.store.delete(&self.key, ExpectedRevision::Exact(self.renewed)).await {
            Ok(()) => Ok(()),
            Err(error) => Err(refused(&*self.store, &self.key, error).await),
        }
    }
}

async fn refused<S: StateStore + ?Sized>(store: &S, key: &StateKey, error: StateError) -> LeaseError {
    match error {
        StateError::Store(error) => error.into(),
        StateError::Invalid(error) => error.into(),
        StateError::Mismatch { .. } => {
            let holder = match store.get(key).await {
                Ok(Some(entry)) => String::from_utf8_lossy(&entry.value).into_owned(),
                _ => "nobody any more".to_owned(),
            };
            LeaseError::Held { lease: key.name().to_owned(), holder }
        }
    }
}
