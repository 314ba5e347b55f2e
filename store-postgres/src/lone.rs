//! The short way of an append while no other append is under way: the caller's own task writes.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use recount_core::{Append, AppendError, Appended, StoreError};
use tokio::sync::oneshot;

use crate::database::Line;
use crate::plain;
use crate::push::Wake;
use crate::request::Work;
use crate::writer::{Undone, Writer};

/// Counts the appends under way, and writes those that are alone.
pub(crate) struct Lone {
    under_way: Arc<AtomicUsize>,
    writer: Writer,
}

/// One append under way.
pub(crate) struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Wakes the watchers on drop, also if the caller goes away in the middle: the append may be done.
struct Told(Option<Wake>);

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(wake) = self.0.take() {
            wake.appended(None);
        }
    }
}

impl Lone {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { under_way: Arc::default(), writer }
    }

    /// Counts an append in, and tells whether others are under way.
    pub(crate) fn enter(&self) -> (UnderWay, bool) {
        let others = self.under_way.fetch_add(1, Ordering::Relaxed);
        (UnderWay(Arc::clone(&self.under_way)), others > 0)
    }

    /// Appends in this task. It takes the connection that was used last, most often by the same caller to read the
    /// events that its decision rests on: the server process of that connection is still in the processor's caches.
    ///
    /// # Cancel safety
    /// The connection of a dropped append goes back to the pool, which waits for the answer to the statement sent.
    pub(crate) async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let Writer { database, kinds, wake, .. } = &self.writer;
        let mut told = Told(Some(wake.clone()));
        let (mut line, newest) = (database.at_hand(), database.incarnation.newest());
        let tried = match (&mut line, plain::event(&database.schema, &append, kinds)) {
            (Some(Line { connection, process }), Some(event)) => {
                Some((*process, database.patiently(*process, pin!(event.run(connection))).await))
            }
            _ => None,
        };
        let undone = match tried {
            Some((_, Ok(rows))) if !rows.is_empty() => {
                let appended = plain::recorded(&append, &rows)?;
                told.0 = None;
                wake.appended(Some(appended.position));
                if let Some(line) = line {
                    database.rest(line);
                }
                return Ok(appended);
            }
            Some((process, Err(error))) => Some(Undone { cause: error.into(), process, newest }),
            _ => None,
        };
        // Boxed: this path is rare, and inlining its future would grow every append.
        let outcome = Box::pin(self.append_at_length(append, line, undone)).await;
        told.0 = None;
        outcome
    }

    /// The same for an append of any kind, as the writers do it.
    async fn append_at_length(
        &self,
        append: Append,
        mut line: Option<Line>,
        before: Option<Undone>,
    ) -> Result<Appended, AppendError> {
        let (reply, mut answer) = oneshot::channel();
        self.writer.commit(&mut line, vec![Work { append, reply, since: None }], before).await;
        if let Some(line) = line {
            self.writer.database.rest(line);
        }
        answer.try_recv().unwrap_or_else(|lost| {
            Err(StoreError::OutcomeUnknown { operation: "appending", source: Box::new(lost) }.into())
        })
    }
}
