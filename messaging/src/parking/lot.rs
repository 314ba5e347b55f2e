//! The queues of one consumer, and setting messages aside. Taking them up again is in `claim.rs`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use recount_core::{
    BoxError, ExpectedRevision, Revision, StateError, StatePut, StateStore, Store, StoreError, Timestamp,
};
use tokio::time::Instant;

use super::entries::{head_puts, list};
use super::head::Head;
use super::letter::Letter;
use super::names::{self, QueueKey};
use super::schedule::Schedule;
use crate::Message;
use crate::entries::put;

/// How often a change is tried again after other programs have changed the same queue.
const CONFLICTS: usize = 32;
/// How often the changes of other programs and operators are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How long the count of attempts at a message is kept.
const ATTEMPTS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The queues of parked messages of one consumer. Clones share them.
#[derive(Clone)]
pub(crate) struct Parking {
    pub(super) store: Arc<dyn Store>,
    pub(super) consumer: Arc<str>,
    schedule: Arc<Mutex<Schedule>>,
}

/// The reason for which a message waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// For its next attempt, after this time.
    Retry(Duration),
    /// For an operator.
    Dead,
}

impl Parking {
    pub(crate) fn new(store: Arc<dyn Store>, consumer: &str) -> Self {
        Self { store, consumer: consumer.into(), schedule: Arc::default() }
    }

    /// Reads the queues, if they have changed since the last time.
    pub(crate) async fn refresh(&self) -> Result<(), BoxError> {
        let changes = self.store.get(&names::changes(&self.consumer)?).await?.map(|entry| entry.revision);
        if self.is_known(changes) {
            return Ok(());
        }
        let now = self.store.now().await?;
        let heads = list(&*self.store, &names::heads(&self.consumer)).await?;
        let heads = heads.into_iter().map(|(hash, entry)| Ok((hash, Head::decode(&entry)?)));
        let heads = heads.collect::<Result<Vec<_>, StoreError>>()?;
        let settled = list(&*self.store, &names::all_settled(&self.consumer)).await?;
        let settled = settled.into_iter().map(|(hash, _)| hash).collect();
        self.lock().replace(heads, settled, changes, now);
        Ok(())
    }

    /// Whether these are the changes up to which the queues are known.
    fn is_known(&self, changes: Option<Revision>) -> bool {
        let mut schedule = self.lock();
        schedule.looked = Some(Instant::now());
        schedule.changes == changes && changes.is_some()
    }

    /// Looks for the changes of other programs and operators, if that is due: a consumer that is never idle hears of them
    /// too.
    pub(crate) async fn look(&self) -> Result<(), BoxError> {
        if self.until_look().is_zero() { self.refresh().await } else { Ok(()) }
    }

    /// How long it is until the next look.
    fn until_look(&self) -> Duration {
        let looked = self.lock().looked;
        looked.map_or(Duration::ZERO, |looked| LOOK.saturating_sub(looked.elapsed()))
    }

    /// Whether an operator has discarded or replaced this message, as far as this program knows: a copy that comes later
    /// is not handled.
    pub(crate) fn is_settled(&self, message: impl FnOnce() -> QueueKey) -> bool {
        let schedule = self.lock();
        schedule.has_settled() && schedule.is_settled(&message().hash)
    }

    /// Begins anew: no message is being handled.
    pub(crate) async fn open(&self) -> Result<(), BoxError> {
        self.lock().forget();
        self.refresh().await
    }

    /// Whether this queue has messages, as far as this program knows.
    pub(crate) fn is_parked(&self, key: &QueueKey) -> bool {
        self.lock().contains(&key.hash)
    }

    /// How many keys wait for a retry, and how many for an operator, as far as this program knows.
    pub(crate) fn counts(&self) -> (usize, usize) {
        self.lock().counts()
    }

    /// Waits for a queue with a due first message, and takes it for this program. It is [given back](Self::give_back).
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub(crate) async fn next_due(&self) -> Result<QueueKey, BoxError> {
        loop {
            let wait = match self.lock().take_due() {
                Ok(hash) => return Ok(QueueKey { hash }),
                Err(wait) => wait,
            };
            let look = self.until_look();
            let wait = wait.map_or(look, |wait| wait.min(look));
            tokio::time::sleep(wait).await;
            self.refresh().await?;
        }
    }

    /// The first message of this queue is not being handled any more.
    pub(crate) fn give_back(&self, key: &QueueKey) {
        self.lock().give_back(&key.hash);
    }

    /// Sets a message aside: behind the messages of its queue, or as the first one.
    pub(crate) async fn park(&self, key: &QueueKey, letter: &Letter, standing: Standing) -> Result<(), BoxError> {
        self.add(key, letter, Some(standing)).await.map(drop)
    }

    /// Whether a queue holds this message already: it was set aside, and its acknowledgement was lost.
    pub(crate) async fn holds(&self, key: &QueueKey, message: &Message) -> Result<bool, BoxError> {
        if !self.is_parked(key) {
            return Ok(false);
        }
        let Some(found) = self.store.get(&key.head(&self.consumer)?).await? else { return Ok(false) };
        let head = Head::decode(&found)?;
        for number in head.first..head.next {
            let Some(stored) = self.store.get(&key.letter(&self.consumer, number)?).await? else { continue };
            let letter = Letter::decode(&stored.value)?;
            if letter.message().is_some_and(|held| held.id == message.id && held.source == message.source) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts a message behind the messages of its queue. Returns whether there are any.
    pub(crate) async fn park_behind(&self, key: &QueueKey, letter: &Letter) -> Result<bool, BoxError> {
        self.add(key, letter, None).await
    }

    async fn add(&self, key: &QueueKey, letter: &Letter, standing: Option<Standing>) -> Result<bool, BoxError> {
        let entry = key.head(&self.consumer)?;
        let body = letter.encode()?;
        for _ in 0..CONFLICTS {
            let now = self.store.now().await?;
            let found = self.store.get(&entry).await?;
            let expected =
                found.as_ref().map_or(ExpectedRevision::Absent, |found| ExpectedRevision::Exact(found.revision));
            let mut head = found.as_ref().map(Head::decode).transpose()?.unwrap_or_else(|| Head::new(now));
            if head.is_empty() {
                let Some(standing) = standing else {
                    self.lock().set(&key.hash, &head);
                    return Ok(false);
                };
                head = Head { reason: letter.reason.clone(), ..Head::empty(head.next, now) };
                head.due = due(standing, now);
            }
            let number = head.next;
            head.next += 1;
            let letter = put(key.letter(&self.consumer, number)?, body.clone());
            if self.write(key, &head, expected, vec![letter]).await?.is_some() {
                return Ok(true);
            }
        }
        Err(contended(key))
    }

    /// Writes a head and these further puts. `None` if another program has changed it: then it is read again.
    pub(super) async fn write(
        &self,
        key: &QueueKey,
        head: &Head,
        expected: ExpectedRevision,
        mut puts: Vec<StatePut>,
    ) -> Result<Option<Revision>, BoxError> {
        puts.extend(head_puts(&self.consumer, key, head, expected)?);
        match self.store.put_many(puts).await {
            Ok(revisions) => {
                self.lock().set(&key.hash, head);
                Ok(revisions.iter().rev().nth(1).copied())
            }
            Err(StateError::Mismatch { .. }) => {
                self.lock().changes = None;
                self.refresh().await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Counts an attempt at a message that may have been delivered before, and returns how many there were.
    pub(crate) async fn count_attempt(&self, message: &QueueKey) -> Result<u32, BoxError> {
        let entry = names::attempts(&self.consumer, message)?;
        let before = self.store.get(&entry).await?;
        let before: u32 = before.and_then(|entry| serde_json::from_slice(&entry.value).ok()).unwrap_or_default();
        let attempts = before.saturating_add(1);
        let value = serde_json::to_vec(&attempts)?.into();
        self.store.put(&entry, value, ExpectedRevision::Any, Some(ATTEMPTS_KEPT)).await?;
        Ok(attempts)
    }

    /// Forgets the attempts at a message.
    pub(crate) async fn forget_attempts(&self, message: &QueueKey) -> Result<(), BoxError> {
        Ok(self.store.delete(&names::attempts(&self.consumer, message)?, ExpectedRevision::Any).await?)
    }

    pub(crate) async fn now(&self) -> Result<Timestamp, BoxError> {
        Ok(self.store.now().await?)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn due(standing: Standing, now: Timestamp) -> Option<Timestamp> {
    match standing {
        Standing::Retry(after) => Some(now.checked_add(after).unwrap_or(Timestamp::MAX)),
        Standing::Dead => None,
    }
}

fn contended(key: &QueueKey) -> BoxError {
    let error = format!("the queue {} of parked messages was changed by other programs again and again", key.hash);
    recount_core::TransientError::new(error).into()
}
