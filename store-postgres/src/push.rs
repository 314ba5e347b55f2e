//! Learning of appends by other instances, soon after they happen, and telling them of one's own.

use std::sync::Arc;
use std::time::Duration;

use recount_core::{Position, StoreError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::database::{Database, Statement};
use crate::listen::listen;
use crate::read::Reader;
use crate::state;

/// Between two looks at the head, or two notifications, however much happens.
const REST: Duration = Duration::from_millis(5);
/// When to look again after a change: an append before it in order may still be under way, and if it is undone nothing tells.
const AGAIN: [Duration; 4] =
    [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(80), Duration::from_millis(320)];
/// How often expired state is removed.
const PURGE: Duration = Duration::from_secs(60);

/// What the writers tell after a commit.
#[derive(Clone)]
pub(crate) struct Wake {
    /// Look at the head.
    changed: Arc<Notify>,
    /// Tell the other instances.
    tell: Arc<Notify>,
    head: watch::Receiver<Position>,
}

impl Wake {
    pub(crate) fn new(head: watch::Receiver<Position>) -> Self {
        Self { changed: Arc::default(), tell: Arc::default(), head }
    }

    pub(crate) fn appended(&self) {
        self.changed.notify_one();
        self.tell.notify_one();
    }

    /// The newest head that this instance knows of.
    pub(crate) fn known(&self) -> Position {
        *self.head.borrow()
    }
}

/// The tasks that do it; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Push(Vec<JoinHandle<()>>);

impl Drop for Push {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Push {
    pub(crate) fn start(reader: Reader, wake: &Wake, head: watch::Sender<Position>, poll: Duration) -> Self {
        let id = Uuid::now_v7().to_string();
        let tell = tell(reader.database.clone(), Arc::clone(&wake.tell), id.clone());
        Self(vec![
            tokio::spawn(listen(reader.database.clone(), Arc::clone(&wake.changed), id)),
            tokio::spawn(tell),
            tokio::spawn(look(reader, Arc::clone(&wake.changed), head, poll)),
        ])
    }
}

/// Looks at the head after each change, and from time to time.
async fn look(reader: Reader, changed: Arc<Notify>, head: watch::Sender<Position>, poll: Duration) {
    let mut looks = AGAIN.len();
    let mut purged = tokio::time::Instant::now();
    loop {
        let wait = AGAIN.get(looks).copied().unwrap_or(poll);
        match tokio::time::timeout(wait, changed.notified()).await {
            Ok(()) => looks = 0,
            Err(_) => looks = (looks + 1).min(AGAIN.len()),
        }
        match reader.head().await {
            Ok(position) => announce(&head, position),
            Err(StoreError::Closed) => return,
            Err(error) => tracing::warn!(%error, "looking for events of other processes"),
        }
        if purged.elapsed() > PURGE {
            purged = tokio::time::Instant::now();
            if let Err(error) = state::purge(&reader.database).await {
                tracing::debug!(%error, "expired state stays for now");
            }
        }
        tokio::time::sleep(REST).await;
    }
}

/// Tells watchers of a head, unless they know of a later one.
fn announce(head: &watch::Sender<Position>, position: Position) {
    head.send_if_modified(|known| {
        let later = position > *known;
        *known = position.max(*known);
        later
    });
}

/// Notifies other instances, from a transaction of its own: within an append's it would hold up all others. It need not be
/// durable, so it doesn't wait for the disk, nor make appends wait for it there.
async fn tell(database: Database, asked: Arc<Notify>, id: String) {
    loop {
        asked.notified().await;
        let notify = Statement::new(&database.schema, include_str!("sql/notify_alone.sql"));
        match database.write("notifying others", notify.bind(database.schema.channel()).bind(id.as_str())).await {
            Ok(_) => {}
            Err(StoreError::Closed) => return,
            // They look from time to time anyway.
            Err(error) => tracing::debug!(%error, "others were not notified"),
        }
        tokio::time::sleep(REST).await;
    }
}
