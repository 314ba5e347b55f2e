//! Which server an instance talks to: what it remembers of one need not be true of another.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use recount_core::Position;

/// The server that connections are made to now, and the positions that are remembered of it.
///
/// A server that took over from another one, or was restored from a backup, may lack the last rows that were seen there:
/// positions, kinds and versions that were taken back are given anew, to others. A server that only was restarted has all
/// rows, but counts as another one too: then what was remembered is read again.
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
    /// A connection was made to this server. To be called before anything is asked by it.
    pub(crate) fn meet(&self, server: i64) {
        self.0.server.store(server, Ordering::Release);
    }

    pub(crate) fn server(&self) -> i64 {
        self.0.server.load(Ordering::Acquire)
    }

    /// This instance has written up to here.
    pub(crate) fn wrote(&self, position: Position) {
        self.0.newest.fetch_max(position.get(), Ordering::Relaxed);
    }

    /// The newest position that this instance has written; whatever it writes from now on comes after that.
    pub(crate) fn newest(&self) -> Position {
        Position::new(self.0.newest.load(Ordering::Relaxed))
    }

    /// What is known to be safe to read; nothing of a server that was asked before.
    pub(crate) fn safe(&self) -> Safe {
        let (safe, server) = (*self.lock(), self.server());
        if safe.server == server { safe } else { Safe { server, last: Position::START } }
    }

    /// Remembers what is safe to read. That must be the position of an event: a number that was only drawn can be taken back.
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
