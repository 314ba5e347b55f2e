//! The short way of an append that nobody else is beside: its caller's task writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use recount_core::{Append, AppendError, Appended, StoreError};
use tokio::sync::oneshot;

use crate::push::Wake;
use crate::request::Work;
use crate::writer::Writer;

/// Who is appending now.
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

/// Wakes whoever watches, also if the caller goes away in the middle: the append may be done.
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

    /// Appends in this task. It takes the connection that was used last, most often by the same caller who read what he decided on: its
    /// server process is the one that still is in the processor's caches.
    ///
    /// # Cancel safety
    /// The connection of a dropped append goes back to the pool, which waits for what was sent to be answered.
    pub(crate) fn append(&self, append: Append) -> impl Future<Output = Result<Appended, AppendError>> {
        let (reply, mut answer) = oneshot::channel();
        let batch = vec![Work { append, reply }];
        async move {
            let mut line = None;
            let mut told = Told(Some(self.writer.wake.clone()));
            self.writer.commit(&mut line, batch).await;
            told.0 = None;
            if let Some(line) = line {
                self.writer.database.rest(line);
            }
            answer.try_recv().unwrap_or_else(|lost| {
                Err(StoreError::OutcomeUnknown { operation: "appending", source: Box::new(lost) }.into())
            })
        }
    }
}
