//! Taking up parked messages: one program has the first message of a queue for some time.

use std::time::Duration;

use recount_core::{BoxError, ExpectedRevision, Revision, StateError, StateStore, StoreError, Timestamp};

use super::head::Head;
use super::letter::Letter;
use super::lot::{Parking, Standing, due};
use super::names::{self, QueueKey};

/// How long a message that meets an outage waits.
const POSTPONED: Duration = Duration::from_secs(2);

/// The first message of a queue, which this program has for itself for some time.
#[derive(Debug)]
pub(crate) struct Claim {
    key: QueueKey,
    head: Head,
    revision: Revision,
    /// The message.
    pub(crate) letter: Letter,
}

impl Claim {
    /// The number of the present attempt from the store, from 1.
    pub(crate) fn attempt(&self) -> u32 {
        self.head.attempts
    }

    /// Whether this is the first attempt after an operator's order.
    pub(crate) fn is_redriven(&self) -> bool {
        self.head.attempts == 1 && !self.letter.history.is_empty()
    }
}

impl Parking {
    /// Takes the first message of a queue for this time, and counts the attempt. `None` if it is not due, another program has
    /// it, or it is a copy of a message that an operator has discarded or replaced: then it is done.
    pub(crate) async fn claim(&self, key: &QueueKey, lease: Duration) -> Result<Option<Claim>, BoxError> {
        let Some(found) = self.store.get(&key.head(&self.consumer)?).await? else {
            self.lock().set(&key.hash, &Head::empty(0, Timestamp::UNIX_EPOCH));
            return Ok(None);
        };
        let now = self.store.now().await?;
        let mut head = Head::decode(&found)?;
        if head.is_empty() || head.ready().is_none_or(|ready| ready > now) {
            self.lock().set(&key.hash, &head);
            return Ok(None);
        }
        let Some(stored) = self.store.get(&key.letter(&self.consumer, head.first)?).await? else {
            return Err(StoreError::Damaged { what: format!("parked message {} of {}", head.first, key.hash) }.into());
        };
        let letter = Letter::decode(&stored.value)?;
        head.attempts = head.attempts.saturating_add(1);
        head.claimed = now.checked_add(lease).ok();
        let revision = self.write(key, &head, ExpectedRevision::Exact(found.revision), Vec::new()).await?;
        let Some(revision) = revision else { return Ok(None) };
        let claim = Claim { key: key.clone(), head, revision, letter };
        if self.is_copy(&claim).await? {
            self.done(claim).await?;
            return Ok(None);
        }
        Ok(Some(claim))
    }

    /// The claimed message is done: the next one of its queue is due.
    pub(crate) async fn done(&self, claim: Claim) -> Result<(), BoxError> {
        let now = self.store.now().await?;
        let Claim { key, mut head, revision, .. } = claim;
        let number = head.first;
        head.advance(now);
        let expected = ExpectedRevision::Exact(revision);
        let Some(revision) = self.write(&key, &head, expected, Vec::new()).await? else { return Ok(()) };
        // A letter left over by a crash here is not part of the queue.
        self.store.delete(&key.letter(&self.consumer, number)?, ExpectedRevision::Any).await?;
        if head.is_empty() {
            match self.store.delete(&key.head(&self.consumer)?, ExpectedRevision::Exact(revision)).await {
                Ok(()) | Err(StateError::Mismatch { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The claimed message has failed.
    pub(crate) async fn failed(&self, claim: Claim, standing: Standing, reason: String) -> Result<(), BoxError> {
        let now = self.store.now().await?;
        let Claim { key, mut head, revision, .. } = claim;
        (head.due, head.claimed, head.reason) = (due(standing, now), None, reason);
        self.write(&key, &head, ExpectedRevision::Exact(revision), Vec::new()).await.map(drop)
    }

    /// The claimed message met an outage: the attempt does not count.
    pub(crate) async fn postpone(&self, mut claim: Claim, reason: String) -> Result<(), BoxError> {
        claim.head.attempts = claim.head.attempts.saturating_sub(1);
        self.failed(claim, Standing::Retry(POSTPONED), reason).await
    }

    /// The claimed message is a dead letter, and the messages behind it go on without it.
    pub(crate) async fn set_apart(&self, claim: Claim, reason: String) -> Result<(), BoxError> {
        let mut letter = claim.letter.clone();
        letter.attempts = letter.attempts.saturating_add(claim.head.attempts);
        letter.reason = reason;
        // Before it leaves its queue: a crash in between makes a second copy of a dead letter, and loses none.
        self.park(&letter.identity(), &letter, Standing::Dead).await?;
        self.done(claim).await
    }

    /// Whether an operator has discarded or replaced the message of this claim, of which it is a copy.
    async fn is_copy(&self, claim: &Claim) -> Result<bool, BoxError> {
        let entry = names::settled(&self.consumer, &claim.letter.identity())?;
        Ok(self.store.get(&entry).await?.is_some())
    }
}
