//! The server that an instance is connected to. Remembered positions and kinds are valid on one server only.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use recount_core::Position;

/// The server of the newest connection, and the positions remembered from it.
///
/// A server that took over, or was restored from a backup, may lack the last rows of its predecessor. It issues their
/// positions, kinds and versions again, for other events. A server is identified by its start time, so a restarted
/// server counts as another one too, and the instance reads everything that it remembered again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incarnation(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// When the server was started, in microseconds since 1970; 0 before the first connection.
    server: AtomicI64,
    newest: AtomicU64,
    safe: Mutex<Safe>,
}

/// Everything up to the last of these events is safe to read on this server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Safe {
    pub(crate) server: i64,
    pub(crate) last: Position,
}

impl Incarnation {
    /// Records the server of a new connection. Call it before the first statement of that connection.
    pub(crate) fn meet(&self, server: i64) {
        self.0.server.store(server, Ordering::Release);
    }

    pub(crate) fn server(&self) -> i64 {
        self.0.server.load(Ordering::Acquire)
    }

    /// Records a position that this instance has written.
    pub(crate) fn wrote(&self, position: Position) {
        self.0.newest.fetch_max(position.get(), Ordering::Relaxed);
    }

    /// The newest position that this instance has written. All its later events get greater positions.
    pub(crate) fn newest(&self) -> Position {
        Position::new(self.0.newest.load(Ordering::Relaxed))
    }

    /// The last position known to be safe to read on the current server; `START` if only an earlier server told one.
    pub(crate) fn safe(&self) -> Safe {
        let (safe, server) = (*self.lock(), self.server());
        if safe.server == server { safe } else { Safe { server, last: Position::START } }
    }

    /// Remembers a safe position. It must be that of a committed event: after a crash the sequence can issue an
    /// uncommitted number again.
    pub(crate) fn remember(&self, safe: Safe) {
        let mut known = self.lock();
        if known.server != safe.server || known.last < safe.last {
            *known = safe;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Safe> {
        self.0.safe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
