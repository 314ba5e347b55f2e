//! Orders of operators: list, show, redrive, edit, discard.

use std::sync::Arc;

use bytes::Bytes;
use recount_core::{
    BoxError, EventId, ExpectedRevision, NameError, Namespace, StateError, StateKey, StatePut, StateStore, Store,
    StoreError,
};

use super::entries::{head_puts, list};
use super::head::Head;
use super::letter::{Content, Letter, Note};
use super::names::{self, LetterId};
use super::summary::{LetterState, LetterSummary, summary};
use crate::MessageId;
use crate::entries::{MAX_STORED_MESSAGE, put};

/// How often an order is tried again after a program has changed the same queue.
const CONFLICTS: usize = 32;
/// How long a discarded message is kept.
const DISCARDED_KEPT: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 60 * 60);

/// The parked messages of a store: messages that wait for a retry, and dead letters.
///
/// A consumer follows an order within about a second, in whichever program it runs; if none runs, at its next start.
#[derive(Clone)]
pub struct DeadLetters {
    store: Arc<dyn Store>,
}

/// How an order can fail. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LetterError {
    /// There is no such message.
    #[error("there is no parked message {id}: it may have been handled or discarded")]
    Unknown {
        /// The id.
        id: LetterId,
    },
    /// It waits behind another message of its key.
    #[error("{id} waits behind {first}: redrive, edit or discard that one first")]
    NotFirst {
        /// The id.
        id: LetterId,
        /// The message that it waits for.
        first: LetterId,
    },
    /// Its envelope can't be read, so that it can only be redriven or discarded.
    #[error("the envelope of {id} can't be read: it can't be edited")]
    Malformed {
        /// The id.
        id: LetterId,
    },
    /// It would not fit into the store.
    #[error(
        "{id} would have {size} bytes in the store, the limit is {limit}: keep large data elsewhere, and refer to it"
    )]
    TooLarge {
        /// The id.
        id: LetterId,
        /// The size of the message with its headers and notes; data that is not JSON is in Base64.
        size: usize,
        /// The greatest size.
        limit: usize,
    },
    /// A program is handling it, or has changed its queue again and again.
    #[error("{id} is being handled: try again")]
    Busy {
        /// The id.
        id: LetterId,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The message can't be written.
    #[error("the message can't be written")]
    Write(#[source] BoxError),
}

impl From<StateError> for LetterError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Store(error) => Self::Store(error),
            other => Self::Write(other.into()),
        }
    }
}

impl From<NameError> for LetterError {
    fn from(error: NameError) -> Self {
        Self::Write(error.into())
    }
}

impl DeadLetters {
    /// The parked messages of this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The consumers that have set messages aside.
    ///
    /// # Errors
    /// [`LetterError::Store`].
    pub async fn consumers(&self) -> Result<Vec<String>, LetterError> {
        Ok(list(&*self.store, "changes/").await?.into_iter().map(|(consumer, _)| consumer).collect())
    }

    /// The parked messages of a consumer, or of all, with the messages that wait behind them, in the order of each queue.
    ///
    /// # Errors
    /// [`LetterError::Store`].
    pub async fn list(&self, consumer: Option<&str>) -> Result<Vec<LetterSummary>, LetterError> {
        let consumers = match consumer {
            Some(consumer) => vec![consumer.to_owned()],
            None => self.consumers().await?,
        };
        let mut all = Vec::new();
        for consumer in consumers {
            let mut heads = Vec::new();
            for (hash, entry) in list(&*self.store, &names::heads(&consumer)).await? {
                heads.push((hash, Head::decode(&entry)?));
            }
            heads.sort_by_key(|(_, head)| head.since);
            for (hash, head) in heads {
                self.list_queue(&consumer, &hash, &head, &mut all).await?;
            }
        }
        Ok(all)
    }

    async fn list_queue(
        &self,
        consumer: &str,
        hash: &str,
        head: &Head,
        all: &mut Vec<LetterSummary>,
    ) -> Result<(), LetterError> {
        for number in head.first..head.next {
            let id = LetterId { consumer: consumer.to_owned(), hash: hash.to_owned(), number };
            let Some(entry) = self.store.get(&id.queue().letter(consumer, number)?).await? else { continue };
            all.push(summary(id, head, &Letter::decode(&entry.value)?));
        }
        Ok(())
    }

    /// A parked message.
    ///
    /// # Errors
    /// [`LetterError::Unknown`], or the store's failure.
    pub async fn show(&self, id: &LetterId) -> Result<(LetterSummary, Letter), LetterError> {
        let (head, _) = self.head(id).await?;
        let letter = self.letter(id).await?;
        Ok((summary(id.clone(), &head, &letter), letter))
    }

    /// Lets a message be tried again now, and those behind it after it.
    ///
    /// # Errors
    /// [`LetterError`].
    pub async fn redrive(&self, id: &LetterId, note: &str) -> Result<(), LetterError> {
        let order = Note { at: self.store.now().await?, order: "redriven".to_owned(), note: note.to_owned() };
        self.change(id, Vec::new(), |letter| {
            letter.history.push(order.clone());
            Ok(())
        })
        .await
    }

    /// Redrives all dead letters of a consumer, or of all, in the order in which they were set aside. Returns their number.
    ///
    /// # Errors
    /// [`LetterError`]; those before it are redriven.
    pub async fn redrive_all(&self, consumer: Option<&str>, note: &str) -> Result<usize, LetterError> {
        let mut dead = self.list(consumer).await?;
        dead.retain(|letter| letter.state == LetterState::Dead);
        dead.sort_by_key(|letter| letter.parked_at);
        let mut redriven = 0;
        for letter in dead {
            match self.redrive(&letter.id, note).await {
                Ok(()) => redriven += 1,
                Err(LetterError::Unknown { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(redriven)
    }

    /// Replaces the data of a message and lets it be tried again now. It gets a new id; the old one is its cause.
    ///
    /// # Errors
    /// [`LetterError`]. [`TooLarge`](LetterError::TooLarge) if the message with its headers and notes has more than 15.5 MiB; data
    /// that is not JSON counts a third more.
    pub async fn edit(&self, id: &LetterId, data: impl Into<Bytes>, note: &str) -> Result<(), LetterError> {
        let data = data.into();
        let order = Note { at: self.store.now().await?, order: "edited".to_owned(), note: note.to_owned() };
        let new_id = MessageId::from(EventId::new());
        let settled = Self::settled(id, &self.letter(id).await?)?;
        self.change(id, vec![settled], |letter| {
            let Content::Message(message) = &mut letter.content else {
                return Err(LetterError::Malformed { id: id.clone() });
            };
            message.metadata.causation_id = Some(message.id.as_str().into());
            (message.id, message.data) = (new_id.clone(), data.clone());
            letter.history.push(order.clone());
            let size = letter.encode().map_err(LetterError::Write)?.len();
            if size > MAX_STORED_MESSAGE {
                return Err(LetterError::TooLarge { id: id.clone(), size, limit: MAX_STORED_MESSAGE });
            }
            Ok(())
        })
        .await
    }

    /// Removes a message for good; those behind it go on. It is kept for 30 days with the note, and logged.
    ///
    /// # Errors
    /// [`LetterError`].
    pub async fn discard(&self, id: &LetterId, note: &str) -> Result<(), LetterError> {
        let now = self.store.now().await?;
        let mut letter = self.letter(id).await?;
        let settled = Self::settled(id, &letter)?;
        letter.history.push(Note { at: now, order: "discarded".to_owned(), note: note.to_owned() });
        let kept = Namespace::PARKED.key(format_args!("discarded/{}", id))?;
        let body = letter.encode().map_err(LetterError::Write)?;
        let kept = lasting(kept, body);
        self.change_head(id, |head| head.advance(now), vec![settled, kept]).await?;
        self.store.delete(&id.queue().letter(&id.consumer, id.number)?, ExpectedRevision::Any).await?;
        let message = letter.message().map(|message| message.id.to_string());
        tracing::warn!(consumer = id.consumer, ?message, note, "a parked message was discarded");
        Ok(())
    }

    /// Changes the first message of a queue, and lets it be tried now.
    async fn change(
        &self,
        id: &LetterId,
        mut puts: Vec<StatePut>,
        change: impl Fn(&mut Letter) -> Result<(), LetterError>,
    ) -> Result<(), LetterError> {
        let mut letter = self.letter(id).await?;
        change(&mut letter)?;
        let now = self.store.now().await?;
        let body = letter.encode().map_err(LetterError::Write)?;
        let entry = id.queue().letter(&id.consumer, id.number)?;
        puts.push(put(entry, body));
        self.change_head(id, |head| (head.due, head.attempts) = (Some(now), 0), puts).await
    }

    /// The entry by which consumers know a copy of a message that is discarded or replaced: one that waits in the same
    /// queue, or that the broker delivers again.
    fn settled(id: &LetterId, letter: &Letter) -> Result<StatePut, LetterError> {
        let key = names::settled(&id.consumer, &letter.identity())?;
        Ok(lasting(key, Bytes::new()))
    }

    async fn change_head(
        &self,
        id: &LetterId,
        change: impl Fn(&mut Head),
        others: Vec<StatePut>,
    ) -> Result<(), LetterError> {
        for _ in 0..CONFLICTS {
            let (mut head, expected) = self.head(id).await?;
            if head.first != id.number {
                return Err(LetterError::NotFirst {
                    first: LetterId { number: head.first, ..id.clone() },
                    id: id.clone(),
                });
            }
            let now = self.store.now().await?;
            if head.claimed.is_some_and(|claimed| claimed > now) {
                return Err(LetterError::Busy { id: id.clone() });
            }
            change(&mut head);
            let mut puts = others.clone();
            puts.extend(head_puts(&id.consumer, &id.queue(), &head, expected).map_err(LetterError::Write)?);
            match self.store.put_many(puts).await {
                Ok(_) => return Ok(()),
                Err(StateError::Mismatch { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(LetterError::Busy { id: id.clone() })
    }

    /// The head of the queue that holds this message.
    async fn head(&self, id: &LetterId) -> Result<(Head, ExpectedRevision), LetterError> {
        let entry = self.store.get(&id.queue().head(&id.consumer)?).await?;
        let Some(entry) = entry else { return Err(LetterError::Unknown { id: id.clone() }) };
        let head = Head::decode(&entry)?;
        if !(head.first..head.next).contains(&id.number) {
            return Err(LetterError::Unknown { id: id.clone() });
        }
        Ok((head, ExpectedRevision::Exact(entry.revision)))
    }

    async fn letter(&self, id: &LetterId) -> Result<Letter, LetterError> {
        match self.store.get(&id.queue().letter(&id.consumer, id.number)?).await? {
            Some(entry) => Ok(Letter::decode(&entry.value)?),
            None => Err(LetterError::Unknown { id: id.clone() }),
        }
    }
}

/// An entry that is kept as long as a discarded message.
fn lasting(key: StateKey, value: Bytes) -> StatePut {
    StatePut { time_to_live: Some(DISCARDED_KEPT), ..put(key, value) }
}
