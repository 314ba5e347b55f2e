//! Reads: page by page under the lock, handed out without it.

use std::sync::Arc;

use async_stream::try_stream;
use recount_core::{Direction, EventStream, Position, Query, ReadAll, ReadStream, RecordedEvent, StoreError, StreamId};

use crate::MemoryStore;

/// How many events are taken under the lock at once.
const PAGE: usize = 512;
/// How many events are looked at under the lock at once, if few of them match.
const LOOK_AT: usize = 4096;

type Page = Vec<Arc<RecordedEvent>>;

pub(crate) fn stream(store: MemoryStore, read: ReadStream) -> EventStream {
    let ReadStream { stream, from, to, direction, limit } = read;
    let rest = Rest { low: from.get().max(1), high: to.get(), direction, limit: limit.unwrap_or(u64::MAX) };
    pages(rest, move |rest| stream_page(&store, &stream, rest))
}

pub(crate) fn all(store: MemoryStore, read: ReadAll) -> EventStream {
    let ReadAll { query, after, to, direction, limit } = read;
    let rest = Rest { low: after.get() + 1, high: to.get(), direction, limit: limit.unwrap_or(u64::MAX) };
    pages(rest, move |rest| all_page(&store, &query, rest))
}

/// The rest of a read: places between two bounds, both inclusive, from one end.
struct Rest {
    low: u64,
    high: u64,
    direction: Direction,
    limit: u64,
}

impl Rest {
    fn is_over(&self) -> bool {
        self.limit == 0 || self.low > self.high
    }

    fn page(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(PAGE).min(PAGE)
    }

    /// Takes off the part that was read up to this place; nothing is left if it is `None`.
    fn took(&mut self, count: usize, last: Option<u64>) {
        self.limit = self.limit.saturating_sub(count as u64);
        match (last, self.direction) {
            (Some(place), Direction::Forward) => self.low = place + 1,
            (Some(place), Direction::Backward) => self.high = place - 1,
            (None, _) => self.limit = 0,
        }
    }
}

/// Reads at least one page, so that even a read of nothing returns its error.
fn pages(mut rest: Rest, read: impl Fn(&mut Rest) -> Result<Page, StoreError> + Send + 'static) -> EventStream {
    Box::pin(try_stream! {
        loop {
            for event in read(&mut rest)? {
                yield Arc::unwrap_or_clone(event);
            }
            if rest.is_over() {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
}

fn stream_page(store: &MemoryStore, stream: &StreamId, rest: &mut Rest) -> Result<Page, StoreError> {
    let log = store.log()?;
    let events = log.versions(stream, rest.low, rest.high)?;
    let page: Page = match rest.direction {
        Direction::Forward => events.take(rest.page()).cloned().collect(),
        Direction::Backward => events.rev().take(rest.page()).cloned().collect(),
    };
    rest.took(page.len(), page.last().map(|event| event.version.get()));
    Ok(page)
}

fn all_page(store: &MemoryStore, query: &Query, rest: &mut Rest) -> Result<Page, StoreError> {
    let log = store.log_for(query)?;
    // The first page fixes the end, so that writers can't keep a reader busy for ever.
    rest.high = rest.high.min(log.head().get());
    if rest.is_over() {
        return Ok(Vec::new());
    }
    let (after, to) = (Position::new(rest.low - 1), Position::new(rest.high));
    let (mut page, mut seen) = (Vec::new(), None);
    for event in log.candidates(query, after, to, rest.direction).take(LOOK_AT) {
        seen = Some(event.position.get());
        if query.matches(event) {
            page.push(Arc::clone(event));
        }
        if page.len() == rest.page() {
            break;
        }
    }
    rest.took(page.len(), seen);
    Ok(page)
}
