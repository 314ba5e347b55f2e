//! The ownership of the entries: of the brokers that open a store, one writes.
//!
//! A lease by the store's clock says when another broker may take over. It does not stop a process that was paused for
//! longer: so each write also replaces the entry of the owner, and fails if another broker has replaced it.

use std::time::Duration;

use bytes::Bytes;
use recount_core::{BoxError, EventId, ExpectedRevision, Revision, StateEntry, StateError, StatePut, StateStore};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::names;
use crate::BrokerError;
use crate::entries::put;
use crate::in_process::server::unavailable;

/// How long a broker that died keeps its claim.
const TIME_TO_LIVE: Duration = Duration::from_secs(10);
/// How often a claim is renewed.
pub(super) const RENEWAL: Duration = Duration::from_secs(3);
/// How often a claim of another broker is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// The claim of this broker.
#[derive(Debug)]
pub(super) struct Owner {
    holder: String,
    /// Of the last write.
    turn: u64,
    revision: Revision,
    renewed: Instant,
}

/// The entry of the owner. As JSON.
#[derive(Serialize, Deserialize)]
struct OwnerEntry {
    holder: String,
    turn: u64,
}

/// How a write can fail.
pub(super) enum WriteError {
    /// Another broker has taken over.
    Lost(String),
    /// The store failed, and the outcome is unknown. The same write may be tried again.
    Store(BoxError),
}

impl<E: Into<BoxError>> From<E> for WriteError {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

impl Owner {
    /// Takes the claim. If another broker has it and does not renew it, waits until it expires.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`] if a running broker has the claim, or the store can't be asked.
    pub(super) async fn acquire(store: &dyn StateStore) -> Result<Self, BrokerError> {
        let holder = format!("process {}, {}", std::process::id(), EventId::new());
        let deadline = Instant::now() + TIME_TO_LIVE + RENEWAL;
        let mut seen = None;
        loop {
            let failed = |error: BoxError| BrokerError::Unavailable { operation: "open", source: error };
            let Some(lease) = held(store).await.map_err(failed)? else {
                if let Some(owner) = Self::take(store, &holder).await.map_err(failed)? {
                    return Ok(owner);
                }
                continue;
            };
            if seen.is_some_and(|seen| seen != lease.revision) || Instant::now() > deadline {
                let holder = String::from_utf8_lossy(&lease.value).into_owned();
                return Err(unavailable(
                    "open",
                    format!(
                        "the in-process broker in this store is open in {holder}: end that program, or give this one a \
                         store of its own. After a crash it is free within {} s",
                        TIME_TO_LIVE.as_secs()
                    ),
                ));
            }
            seen = Some(lease.revision);
            sleep(LOOK).await;
        }
    }

    /// Takes the free claim. `None` if another broker was faster.
    async fn take(store: &dyn StateStore, holder: &str) -> Result<Option<Self>, BoxError> {
        let before = store.get(&names::owner()?).await?;
        let expected = before.map_or(ExpectedRevision::Absent, |entry| ExpectedRevision::Exact(entry.revision));
        let mut owner = Self { holder: holder.to_owned(), turn: 0, revision: Revision(0), renewed: Instant::now() };
        let fence = StatePut { expected, ..owner.entry()? };
        let lease = StatePut { expected: ExpectedRevision::Absent, ..owner.lease()? };
        match store.put_many(vec![fence, lease]).await {
            Ok(revisions) => {
                owner.revision = revisions.first().copied().unwrap_or(owner.revision);
                Ok(Some(owner))
            }
            Err(StateError::Mismatch { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn entry(&self) -> Result<StatePut, BoxError> {
        let entry = OwnerEntry { holder: self.holder.clone(), turn: self.turn };
        Ok(put(names::owner()?, serde_json::to_vec(&entry)?.into()))
    }

    fn lease(&self) -> Result<StatePut, BoxError> {
        let entry = put(names::lease()?, Bytes::copy_from_slice(self.holder.as_bytes()));
        Ok(StatePut { time_to_live: Some(TIME_TO_LIVE), ..entry })
    }

    /// A new write begins. Further attempts at it are recognised by their turn.
    pub(super) fn next_turn(&mut self) {
        self.turn += 1;
    }

    /// Writes these entries, all or none, unless another broker has taken over. They have room for two more.
    pub(super) async fn write(&mut self, store: &dyn StateStore, mut puts: Vec<StatePut>) -> Result<(), WriteError> {
        let began = Instant::now();
        let renews = began >= self.renewed + RENEWAL / 2;
        puts.insert(0, StatePut { expected: ExpectedRevision::Exact(self.revision), ..self.entry()? });
        if renews {
            puts.push(self.lease()?);
        }
        match store.put_many(puts).await {
            Ok(revisions) => {
                self.revision = revisions.first().copied().unwrap_or(self.revision);
                self.renewed = if renews { began } else { self.renewed };
                Ok(())
            }
            Err(StateError::Mismatch { .. }) => self.recognise(store).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Another write has replaced the entry: an earlier attempt of this broker, or another broker.
    async fn recognise(&mut self, store: &dyn StateStore) -> Result<(), WriteError> {
        let found = store.get(&names::owner()?).await?;
        let entry = found.as_ref().and_then(|found| serde_json::from_slice::<OwnerEntry>(&found.value).ok());
        match (found, entry) {
            (Some(found), Some(entry)) if entry.holder == self.holder => {
                self.revision = found.revision;
                if entry.turn == self.turn {
                    return Ok(());
                }
                Err(WriteError::Store("an earlier write has just ended".into()))
            }
            (_, entry) => Err(WriteError::Lost(format!(
                "another broker has taken over its store: {}. This one was paused for too long: open it again",
                entry.map_or_else(|| "its entry is gone".to_owned(), |entry| entry.holder)
            ))),
        }
    }

    /// Lets the next broker have the claim at once.
    pub(super) async fn release(mut self, store: &dyn StateStore) -> Result<(), WriteError> {
        self.next_turn();
        // Fenced: the lease of another broker is not deleted.
        self.write(store, Vec::new()).await?;
        Ok(store.delete(&names::lease()?, ExpectedRevision::Any).await?)
    }
}

async fn held(store: &dyn StateStore) -> Result<Option<StateEntry>, BoxError> {
    Ok(store.get(&names::lease()?).await?)
}
