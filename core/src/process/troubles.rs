//! The instances that wait for an operator, found in the store.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use smol_str::SmolStr;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::counts::Counts;
use super::record::{Record, types};
use crate::run::RunningProcess;
use crate::{BoxError, EventType, Position, ProcessStatus, Query, QueryItem, ReadAll, Store, Timestamp, Troubles};

/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(1);
/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Follows the events of a process after which an instance waits for an operator, or no longer does.
pub(super) struct Watch {
    store: Arc<dyn Store>,
    process: &'static str,
    counts: Arc<Counts>,
    seen: Mutex<Seen>,
}

struct Seen {
    after: Position,
    parked: HashSet<SmolStr>,
    stuck: HashSet<SmolStr>,
    asked: Option<Instant>,
    since: Timestamp,
}

impl Watch {
    pub(super) fn new(store: Arc<dyn Store>, process: &'static str, counts: Arc<Counts>) -> Self {
        let seen = Seen {
            after: Position::START,
            parked: HashSet::new(),
            stuck: HashSet::new(),
            asked: None,
            since: Timestamp::now(),
        };
        Self { store, process, counts, seen: Mutex::new(seen) }
    }

    fn query(&self) -> Query {
        let names = [types::PARKED, types::RESUMED, types::REFUSED, types::REDRIVE, types::RESOLVED];
        let event_types = names.map(EventType::from_static).to_vec();
        Query::item(QueryItem { event_types, category: Some(self.process.into()), ..QueryItem::default() })
    }

    /// Reads the events since the last look. A look that runs out of time keeps the events that it has read.
    async fn read_on(&self, seen: &mut Seen) -> Result<(), BoxError> {
        let mut events = self.store.read_all(ReadAll { after: seen.after, ..ReadAll::new(self.query()) });
        while let Some(event) = events.next().await {
            let event = event?;
            let data = &event.data;
            let id = SmolStr::new(event.stream.id());
            match Record::decode(data.event_type.as_str(), data.schema_version, &data.payload)? {
                Record::Parked(_) => drop(seen.parked.insert(id)),
                Record::Resumed(_) => drop(seen.parked.remove(&id)),
                Record::Refused(refused) if refused.undo.is_some() => drop(seen.stuck.insert(id)),
                Record::Redrive(_) | Record::Resolved(_) => drop(seen.stuck.remove(&id)),
                _ => {}
            }
            seen.after = event.position;
        }
        Ok(())
    }

    async fn troubles(&self) -> Option<Troubles> {
        let mut seen = timeout(PATIENCE, self.seen.lock()).await.ok()?;
        if seen.asked.is_none_or(|asked| asked.elapsed() >= FRESH) {
            let before = seen.parked.is_empty() && seen.stuck.is_empty();
            match timeout(PATIENCE, self.read_on(&mut seen)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(process = self.process, %error, "can't look for parked and stuck instances");
                    return None;
                }
                Err(_) => return None,
            }
            seen.asked = Some(Instant::now());
            if before != (seen.parked.is_empty() && seen.stuck.is_empty()) {
                seen.since = Timestamp::now();
            }
            self.counts.metrics().troubled("parked", seen.parked.len());
            self.counts.metrics().troubled("stuck", seen.stuck.len());
        }
        Some(Troubles { parked: seen.parked.len(), stuck: seen.stuck.len(), since: seen.since })
    }
}

impl RunningProcess for Watch {
    fn status(&self) -> Pin<Box<dyn Future<Output = ProcessStatus> + Send + '_>> {
        Box::pin(async {
            ProcessStatus { name: self.process, counts: self.counts.read(), troubles: self.troubles().await }
        })
    }
}
