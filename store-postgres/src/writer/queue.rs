//! The queue of the writer tasks: the requests that each task takes from it, and when the task ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use recount_core::StoreError;
use tokio::sync::{Mutex, mpsc};
use tracing::Instrument;

use super::Writer;
use crate::request::{Footprint, Request, Work};

impl Writer {
    /// Runs until the store is closed or dropped and all earlier requests are done. Only the writer tasks own the
    /// queue: if their runtime ends, the queue is dropped, and every waiting caller gets an error.
    pub(crate) async fn run(self, queue: Arc<Mutex<mpsc::Receiver<Request>>>) {
        let mut line = None;
        let mut next = None;
        loop {
            let mut batch = Vec::new();
            next = match next.take() {
                Some(first) => {
                    // If the other writer waits at the queue, it is empty.
                    match queue.try_lock() {
                        Ok(mut queue) => self.gather(first, &mut queue, &mut batch),
                        Err(_) => {
                            batch.push(first);
                            None
                        }
                    }
                }
                None => {
                    let mut queue = queue.lock().await;
                    let Some(first) = self.wait(&mut queue).await else { return };
                    // Lets the callers that were just answered ask again before the next batch is taken. The task does
                    // not wait for them.
                    tokio::task::yield_now().await;
                    self.gather(first, &mut queue, &mut batch)
                }
            };
            // The wait of the first one is the longest.
            self.database.waits.queued(batch.first().and_then(|work| work.since));
            let span = tracing::debug_span!("append_batch", requests = batch.len());
            self.commit(&mut line, batch, None).instrument(span).await;
        }
    }

    /// The next piece of work; nothing at the end.
    async fn wait(&self, queue: &mut mpsc::Receiver<Request>) -> Option<Work> {
        loop {
            match queue.recv().await? {
                Request::Append(work) if self.closed.load(Ordering::Acquire) => work.fail(StoreError::Closed),
                Request::Append(work) if work.reply.is_closed() => {}
                Request::Append(work) => return Some(work),
                Request::Close => self.close(queue),
            }
        }
    }

    fn close(&self, queue: &mut mpsc::Receiver<Request>) {
        self.closed.store(true, Ordering::Release);
        queue.close();
    }

    /// Takes the requests that wait behind this work and can share its call; returns the first one that can't.
    fn gather(&self, first: Work, queue: &mut mpsc::Receiver<Request>, batch: &mut Vec<Work>) -> Option<Work> {
        let mut footprint = Footprint::default();
        footprint.admit(&first.append);
        let mut bytes = first.bytes();
        batch.push(first);
        while batch.len() < self.limits.requests && bytes < self.limits.bytes {
            match queue.try_recv() {
                Ok(Request::Append(work)) if self.closed.load(Ordering::Acquire) => work.fail(StoreError::Closed),
                Ok(Request::Append(work)) if work.reply.is_closed() => {}
                Ok(Request::Append(work)) => {
                    if !footprint.admit(&work.append) {
                        return Some(work);
                    }
                    bytes += work.bytes();
                    batch.push(work);
                }
                Ok(Request::Close) => self.close(queue),
                Err(_) => break,
            }
        }
        None
    }
}
