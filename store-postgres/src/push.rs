//! Learning of appends by other instances, soon after they happen, and telling them of one's own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use recount_core::{Position, StoreError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::database::Database;
use crate::incarnation::Incarnation;
use crate::listen::listen;
use crate::read::Reader;
use crate::state;
use crate::statement::Statement;

/// Between two looks at the head, or two notifications, however much happens.
const REST: Duration = Duration::from_millis(5);
/// When to look again after a change: an append before it in order may still be under way, and if it is undone nothing tells.
const AGAIN: [Duration; 4] =
    [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(80), Duration::from_millis(320)];
/// How often expired state is removed.
const PURGE: Duration = Duration::from_secs(60);

/// The notifications that the writers send after a commit.
#[derive(Clone, Default)]
pub(crate) struct Wake {
    /// Look at the head.
    changed: Arc<Notify>,
    /// Tell the other instances.
    tell: Arc<Notify>,
    incarnation: Incarnation,
    head: Weak<watch::Sender<Position>>,
    /// Whether there are others, as far as anybody was ever heard.
    others: Arc<AtomicBool>,
}

impl Wake {
    pub(crate) fn new(head: &Arc<watch::Sender<Position>>, incarnation: Incarnation) -> Self {
        Self { head: Arc::downgrade(head), incarnation, ..Self::default() }
    }

    /// Something was appended, up to here as far as is known.
    pub(crate) fn appended(&self, position: Option<Position>) {
        if let Some(position) = position {
            self.incarnation.wrote(position);
        }
        if self.head.upgrade().is_some_and(|head| is_watched(&head)) {
            self.changed.notify_one();
        }
        if self.others.load(Ordering::Acquire) {
            self.tell.notify_one();
        }
    }

    /// Look at the head: it may have moved, or the last look may be long ago.
    pub(crate) fn look(&self) {
        self.changed.notify_one();
    }

    /// There are other instances: one of them announced an append, or has just begun to listen (`newcomer`) and expects
    /// notifications.
    pub(crate) fn heard_of_others(&self, newcomer: bool) {
        self.others.store(true, Ordering::Release);
        self.look();
        if newcomer {
            self.tell.notify_one();
        }
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
    pub(crate) fn start(reader: Reader, wake: &Wake, head: Arc<watch::Sender<Position>>, poll: Duration) -> Self {
        let id = Uuid::now_v7().to_string();
        Self(vec![
            tokio::spawn(listen(reader.database.clone(), wake.clone(), id.clone())),
            tokio::spawn(tell(reader.database.clone(), wake.clone(), id)),
            tokio::spawn(look(reader, Arc::clone(&wake.changed), head, poll)),
        ])
    }
}

/// Looks at the head after each change, and from time to time, as long as anybody watches beside the store itself.
async fn look(reader: Reader, changed: Arc<Notify>, head: Arc<watch::Sender<Position>>, poll: Duration) {
    let mut looks = AGAIN.len();
    let mut purged = tokio::time::Instant::now();
    loop {
        let wait = AGAIN.get(looks).copied().unwrap_or(poll);
        match tokio::time::timeout(wait, changed.notified()).await {
            Ok(()) => looks = 0,
            Err(_) => looks = (looks + 1).min(AGAIN.len()),
        }
        if is_watched(&head) {
            match reader.head().await {
                Ok(position) => announce(&head, position),
                Err(StoreError::Closed) => return,
                Err(error) => tracing::warn!(%error, "looking for events of other processes"),
            }
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

/// Whether anybody watches beside the store, which keeps a receiver to give away.
fn is_watched(head: &watch::Sender<Position>) -> bool {
    head.receiver_count() > 1
}

/// Sends a changed head to the watchers. It may be lower than before, if the server lacks the last events.
fn announce(head: &watch::Sender<Position>, position: Position) {
    head.send_if_modified(|known| std::mem::replace(known, position) != position);
}

/// Notifies other instances, if there are any, from a transaction of its own: within an append's it would hold up all others.
/// It need not be durable, so it doesn't wait for the disk, nor make appends wait for it there.
async fn tell(database: Database, wake: Wake, id: String) {
    loop {
        wake.tell.notified().await;
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
