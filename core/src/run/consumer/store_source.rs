//! The source of a store's events: a subscription that ends with the error of an interruption, so that the consumer handles it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::StreamExt;

use super::Filter;
use super::source::{Delivered, Lane, Source};
use crate::run::history::compare;
use crate::run::subscription::Subscription;
use crate::{BoxError, Checkpoint, Delivery, Position, Query, RecordedEvent, Store, StoreError};

/// The events that a query selects, in lanes of one stream each.
pub struct StoreSource {
    store: Arc<dyn Store>,
    reader: String,
    query: Query,
    subscription: Option<Subscription>,
}

impl StoreSource {
    /// `reader` names the consumer in errors.
    pub(crate) fn new(store: Arc<dyn Store>, reader: String, query: Query) -> Self {
        Self { store, reader, query, subscription: None }
    }
}

impl fmt::Debug for StoreSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSource").field("reader", &self.reader).field("query", &self.query).finish_non_exhaustive()
    }
}

impl Source for StoreSource {
    type Item = RecordedEvent;
    type Mark = Checkpoint;
    type Ticket = ();

    const FOLLOWS_STORE: bool = true;

    fn filter(&self) -> Filter {
        Filter::of(&self.query)
    }

    async fn open(&mut self, after: Option<Checkpoint>) -> Result<(), BoxError> {
        // A store that was restored together with the checkpoint has that event, but not the later ones.
        if let Some(before) = &self.subscription {
            compare(&*self.store, &self.reader, &before.proven()).await?;
        }
        let (store, reader, query) = (Arc::clone(&self.store), self.reader.clone(), self.query.clone());
        self.subscription = Some(Subscription::interruptible(store, reader, query, after.unwrap_or_default()));
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivered<Self>, BoxError> {
        let subscription = self.subscription.as_mut().ok_or("the source was not opened")?;
        Ok(match subscription.next().await.ok_or(StoreError::Closed)?? {
            Delivery::Event(event) => Delivered::Item {
                lane: Lane::of(&event.stream),
                mark: Some(Checkpoint::at(&event, self.store.identity())),
                ticket: (),
                item: event,
            },
            Delivery::CaughtUp(position) => {
                let (store, known) = (Some(self.store.identity()), subscription.known());
                let event = known.event.filter(|_| known.position == position);
                Delivered::CaughtUp { mark: Some(Checkpoint { position, store, event, ..Checkpoint::START }) }
            }
        })
    }

    /// Asks the store for the event at the position, unless the mark names it.
    fn complete(&self, mark: Checkpoint) -> impl Future<Output = Result<Checkpoint, BoxError>> + Send + 'static {
        let known = mark.event.is_some() || mark.position == Position::START;
        let asks = (!known).then(|| (Arc::clone(&self.store), self.reader.clone()));
        async move {
            let Some((store, reader)) = asks else { return Ok(mark) };
            let event = compare(&*store, &reader, &mark).await?;
            Ok(Checkpoint { event, ..mark })
        }
    }

    fn position(mark: &Checkpoint) -> Position {
        mark.position
    }
}
