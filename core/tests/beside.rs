//! A consumer's waits beside its items never hold the items up: they may share a pool of connections.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use recount_core::{BoxError, Delivered, Lane, Position, Recount, Sink, Source};
use recount_store_memory::MemoryStore;
use tokio::sync::Semaphore;

const ITEMS: u64 = 100;

/// Counts to a hundred, and needs a connection of the pool for each call.
struct Numbers {
    next: u64,
    pool: Arc<Semaphore>,
}

impl Source for Numbers {
    type Item = u64;
    type Mark = u64;
    type Ticket = u64;

    const HAS_POSITIONS: bool = true;

    async fn open(&mut self, after: Option<u64>) -> Result<(), BoxError> {
        self.next = after.unwrap_or(0);
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivered<Self>, BoxError> {
        if self.next == ITEMS {
            std::future::pending::<()>().await;
        }
        self.next += 1;
        let item = self.next;
        Ok(Delivered::Item { item, lane: Lane::of(&item), ticket: item, mark: Some(item) })
    }

    async fn settle(&mut self, _: Vec<u64>) -> Result<(), BoxError> {
        work(&self.pool).await
    }

    fn complete(&self, mark: u64) -> impl Future<Output = Result<u64, BoxError>> + Send + 'static {
        let pool = Arc::clone(&self.pool);
        async move { work(&pool).await.map(|()| mark) }
    }

    fn position(mark: &u64) -> Position {
        Position::new(*mark)
    }
}

/// Works with a connection of the pool.
async fn work(pool: &Semaphore) -> Result<(), BoxError> {
    let _connection = pool.acquire().await?;
    tokio::time::sleep(Duration::from_millis(5)).await;
    Ok(())
}

struct Working(Arc<Semaphore>);

impl Sink for Working {
    type Item = u64;

    async fn take(&self, _: &u64) -> Result<(), BoxError> {
        work(&self.0).await
    }
}

/// The items wait in line for one connection. Those in front get it while the consumer settles the items before them and
/// stores its mark, behind them in the line.
#[tokio::test]
async fn items_go_on_while_others_are_settled_and_the_mark_is_stored() {
    let pool = Arc::new(Semaphore::new(1));
    let recount = Recount::new(MemoryStore::new());
    let numbers = Numbers { next: 0, pool: Arc::clone(&pool) };
    let running = recount.consumers().consumer("numbers", numbers, Working(pool)).start();
    let all = running.wait_for_one("numbers", Position::new(ITEMS));
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("it hangs").unwrap();
    running.shutdown().await;
}
