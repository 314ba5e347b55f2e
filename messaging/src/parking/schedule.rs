//! The queues of a consumer as this program knows them: which keys have one, and when each is due.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use recount_core::{Revision, Timestamp};
use tokio::time::Instant;

use super::head::Head;

/// The known queues.
#[derive(Default)]
pub(super) struct Schedule {
    /// When the first message of each queue can be tried; `None` for a dead letter.
    queues: HashMap<String, Option<Timestamp>>,
    /// The queues with a first message that this program is handling.
    busy: HashSet<String>,
    /// The messages that an operator has discarded or replaced.
    settled: HashSet<String>,
    /// The store's time, and this program's at that moment.
    clock: Option<(Timestamp, Instant)>,
    /// When the queues were last compared with the store.
    pub(super) looked: Option<Instant>,
    /// The change up to which the queues are known.
    pub(super) changes: Option<Revision>,
}

impl Schedule {
    /// Replaces all queues, and the messages that were settled by operators.
    pub(super) fn replace(
        &mut self,
        heads: Vec<(String, Head)>,
        settled: HashSet<String>,
        changes: Option<Revision>,
        now: Timestamp,
    ) {
        self.settled = settled;
        self.queues.clear();
        for (hash, head) in heads {
            self.set(&hash, &head);
        }
        self.changes = changes;
        self.clock = Some((now, Instant::now()));
    }

    /// Takes note of one queue.
    pub(super) fn set(&mut self, hash: &str, head: &Head) {
        if head.is_empty() {
            self.queues.remove(hash);
        } else {
            self.queues.insert(hash.to_owned(), head.ready());
        }
    }

    pub(super) fn contains(&self, hash: &str) -> bool {
        self.queues.contains_key(hash)
    }

    pub(super) fn has_settled(&self) -> bool {
        !self.settled.is_empty()
    }

    pub(super) fn is_settled(&self, hash: &str) -> bool {
        self.settled.contains(hash)
    }

    /// How many first messages wait for their time, and how many for an operator.
    pub(super) fn counts(&self) -> (usize, usize) {
        let dead = self.queues.values().filter(|due| due.is_none()).count();
        (self.queues.len() - dead, dead)
    }

    /// Takes the queue with the first message that has been due for the longest time. Else says how long the next one
    /// takes.
    pub(super) fn take_due(&mut self) -> Result<String, Option<Duration>> {
        let free = self.queues.iter().filter(|(hash, _)| !self.busy.contains(*hash));
        let next = free.filter_map(|(hash, due)| Some(((*due)?, hash))).min();
        let Some((due, hash)) = next else { return Err(None) };
        let wait = due.duration_since(self.now()).try_into().unwrap_or(Duration::ZERO);
        if wait > Duration::ZERO {
            return Err(Some(wait));
        }
        let hash = hash.clone();
        self.busy.insert(hash.clone());
        Ok(hash)
    }

    /// The first message of this queue is not being handled any more.
    pub(super) fn give_back(&mut self, hash: &str) {
        self.busy.remove(hash);
    }

    /// No message is being handled, and the queues are not known.
    pub(super) fn forget(&mut self) {
        self.busy.clear();
        self.changes = None;
    }

    /// The store's time, as this program's clock has run on since it was last asked.
    fn now(&self) -> Timestamp {
        let Some((at, instant)) = self.clock else { return Timestamp::now() };
        at.checked_add(instant.elapsed()).unwrap_or(Timestamp::MAX)
    }
}
