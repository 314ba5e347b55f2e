//! The task that writes: it takes the waiting requests, runs them in one transaction, and answers.

use std::time::Duration;

use recount_core::{StoreError, StoreWaits};
use sqlx::SqlitePool;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::Instrument;

use crate::batch::{Batcher, Blame};
use crate::error::SharedError;
use crate::lifecycle;
use crate::push::{HeadSender, announce};
use crate::request::{Asked, Request, Work};
use crate::write_lock::{Holder, WriteGuard, WriteLock};

/// How long closing waits for the last readers.
const LAST_READERS: Duration = Duration::from_secs(5);

/// How much work may share a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) requests: usize,
    pub(crate) bytes: usize,
}

pub(crate) struct Writer {
    pub(crate) lock: WriteLock,
    /// To be closed before the write connection, so that that one, as the last, removes the log.
    pub(crate) readers: SqlitePool,
    pub(crate) batcher: Batcher,
    pub(crate) limits: Limits,
    pub(crate) head: HeadSender,
    pub(crate) waits: StoreWaits,
}

impl Writer {
    /// Works until the store is closed or dropped, and then does the requests that still wait.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<Asked>) {
        let mut next = None;
        loop {
            let Asked { request, since } = match next.take() {
                Some(asked) => asked,
                None => match requests.recv().await {
                    Some(asked) => asked,
                    // Every handle was dropped. A read model may still use the connection.
                    None => return,
                },
            };
            match request {
                Request::Shared(work) => next = self.share(work, since, &mut requests).await,
                Request::Alone(task, reply) => {
                    let outcome = match self.lock.lock(since, Holder::Writer).await {
                        Ok(mut guard) => lifecycle::run(&mut guard, &mut self.batcher.ledger, &task).await,
                        Err(error) => Err(error),
                    };
                    drop(reply.send(outcome));
                }
                Request::Close => break,
            }
        }
        requests.close();
        while let Some(Asked { request, .. }) = requests.recv().await {
            match request {
                Request::Shared(work) => work.fail(StoreError::Closed),
                Request::Alone(_, reply) => drop(reply.send(Err(StoreError::Closed))),
                Request::Close => {}
            }
        }
        // An application that keeps a connection of a read model's pool does not delay closing for long.
        if tokio::time::timeout(LAST_READERS, self.readers.close()).await.is_err() {
            tracing::warn!("a reading connection is still in use");
        }
        self.lock.close().await;
    }

    /// Does this work and the requests that wait behind it; returns the first request that can't share.
    async fn share(&mut self, first: Work, since: Instant, requests: &mut mpsc::Receiver<Asked>) -> Option<Asked> {
        // Lets the callers that were just answered ask again before the next batch is taken, without waiting for them.
        tokio::task::yield_now().await;
        let mut guard = match self.lock.lock(since, Holder::Writer).await {
            Ok(guard) => guard,
            Err(error) => {
                first.fail(error);
                return None;
            }
        };
        // The wait of the first one is the longest.
        self.waits.queued(Some(since.into_std()));
        let mut next = None;
        let mut bytes = first.bytes();
        let mut batch = vec![first];
        while batch.len() < self.limits.requests && bytes < self.limits.bytes {
            match requests.try_recv() {
                Ok(Asked { request: Request::Shared(work), .. }) if work.is_abandoned() => {}
                Ok(Asked { request: Request::Shared(work), .. }) => {
                    bytes += work.bytes();
                    batch.push(work);
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        let span = tracing::debug_span!("append_batch", requests = batch.len(), bytes);
        self.commit(&mut guard, batch).instrument(span).await;
        next
    }

    async fn commit(&mut self, guard: &mut WriteGuard, mut batch: Vec<Work>) {
        match self.batcher.run(guard, &batch).await {
            Ok(answers) => {
                announce(&self.head, self.batcher.ledger.counters.position);
                batch.into_iter().zip(answers).for_each(|(work, answer)| work.answer(answer));
            }
            Err(failed) if batch.len() == 1 => {
                if let Some(work) = batch.pop() {
                    work.fail(failed.error);
                }
            }
            Err(failed) if matches!(failed.blame, Blame::Database | Blame::Replaced) => {
                tracing::debug!(error = %failed.error, "a batch was undone");
                let error = SharedError::new(failed.error);
                batch.into_iter().for_each(|work| work.fail(error.get()));
            }
            Err(_) => {
                // One of them is to blame: each on its own then, so that it alone fails.
                for work in batch {
                    Box::pin(self.commit(guard, vec![work])).await;
                }
            }
        }
    }
}
