//! The consumers that run in this process, by the place of their checkpoint.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;

use super::Progress;

/// The consumers that keep their checkpoints in one place: a second one of the same name is refused.
///
/// A [`ReadModel`](crate::ReadModel) has one; its clones share it.
#[derive(Clone, Default)]
pub struct Runners {
    running: Arc<Mutex<HashMap<String, Running>>>,
}

struct Running {
    /// Gone when the application has dropped the handle.
    handle: Weak<()>,
    progress: watch::Receiver<Progress>,
}

impl Running {
    fn is_over(&self) -> bool {
        self.handle.strong_count() == 0 || self.progress.borrow().is_over()
    }
}

/// A consumer of that name runs already.
#[derive(Debug, thiserror::Error)]
#[error(
    "{consumer} runs already with the same checkpoint: each of the two would get a part of the events; \
     give one of them another name, or start it once"
)]
pub(crate) struct NameTaken {
    pub(crate) consumer: String,
}

impl Runners {
    /// Whether the name was free; it then belongs to this consumer until that is over.
    pub(crate) fn claim(&self, name: &str, handle: Weak<()>, progress: watch::Receiver<Progress>) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, runner| !runner.is_over());
        if running.contains_key(name) {
            return false;
        }
        running.insert(name.to_owned(), Running { handle, progress });
        true
    }
}

impl fmt::Debug for Runners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(running.keys()).finish()
    }
}
