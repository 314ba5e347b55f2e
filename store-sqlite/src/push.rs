//! Learning of appends by other instances and processes, soon after they happen.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use recount_core::Position;
use sqlx::Row;
use sqlx::SqlitePool;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// Between two looks at the file, however often it changes.
const REST: Duration = Duration::from_millis(5);
/// When to look again after a change. The log is written first and counts only once it is flushed, which no
/// notification tells: the first look may come too early.
const AGAIN: [Duration; 4] =
    [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(80), Duration::from_millis(320)];

/// The newest head that this instance knows of, for its watchers.
pub(crate) type HeadSender = Arc<watch::Sender<Position>>;

/// Tells watchers of a head, unless they know of a later one.
pub(crate) fn announce(head: &watch::Sender<Position>, position: Position) {
    head.send_if_modified(|known| {
        let later = position > *known;
        *known = position.max(*known);
        later
    });
}

/// Looks at the file when it changes, and from time to time; ends when dropped.
#[derive(Debug)]
pub(crate) struct Push(JoinHandle<()>);

impl Drop for Push {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Push {
    pub(crate) fn start(path: &Path, readers: SqlitePool, head: HeadSender, poll: Duration) -> Self {
        let changed = Arc::new(Notify::new());
        // Without notifications the poll still finds everything, only later.
        let watcher = watch_file(path, Arc::clone(&changed))
            .inspect_err(|error| tracing::warn!(%error, "no notifications of changes by other processes"))
            .ok();
        Self(tokio::spawn(async move {
            let _watcher = watcher;
            let mut looks = AGAIN.len();
            loop {
                let wait = AGAIN.get(looks).copied().unwrap_or(poll);
                match tokio::time::timeout(wait, changed.notified()).await {
                    Ok(()) => looks = 0,
                    Err(_) => looks = (looks + 1).min(AGAIN.len()),
                }
                let select = sqlx::query(include_str!("sql/select_head.sql"));
                match select.fetch_one(&readers).await.and_then(|row| row.try_get::<i64, _>(0)) {
                    Ok(position) => announce(&head, Position::new(position.cast_unsigned())),
                    Err(sqlx::Error::PoolClosed) => break,
                    Err(error) => tracing::warn!(%error, "looking for events of other processes"),
                }
                tokio::time::sleep(REST).await;
            }
        }))
    }
}

/// Notifies of every write to the write-ahead log.
fn watch_file(path: &Path, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            changed.notify_one();
        }
    })?;
    watcher.watch(&log(path), RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

fn log(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}
