//! The health of a [`Recount`]: asked of the store at most once a second.

use std::future::Future;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::recount::Inner;
use crate::{Check, Condition, Health, Recount, StoreError, Timestamp};

/// How long an answer of the store counts.
const FRESH: Duration = Duration::from_secs(1);
/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The last answer of the store.
#[derive(Default)]
pub(crate) struct StoreProbe(Mutex<Option<Probed>>);

struct Probed {
    at: Instant,
    /// When the status last changed.
    changed: Instant,
    check: Check,
}

impl Recount {
    /// The health of this handle and of what it runs, for a readiness endpoint. The store is asked whether it answers and can
    /// write, at most once a second and for at most some seconds.
    ///
    /// Also updates the gauges of the store; call it before metrics are exported.
    pub async fn health(&self) -> Health {
        let checks = vec![self.inner.check_store().await];
        for check in &checks {
            self.inner.metrics.store.health(&check.name, check.status.is_ready());
        }
        Health::of(checks)
    }
}

impl Inner {
    async fn check_store(&self) -> Check {
        let mut probe = self.store_probe.0.lock().await;
        if let Some(probed) = probe.as_ref().filter(|probed| probed.at.elapsed() < FRESH) {
            return probed.check.clone();
        }
        let failure = self.ask_store().await;
        let status = if failure.is_some() { Condition::Failing } else { Condition::Ok };
        let before = probe.as_ref().filter(|before| before.check.status == status);
        if before.is_none() {
            log_change(failure.as_ref(), probe.as_ref());
        }
        let now = Instant::now();
        let (since, changed) =
            before.map_or_else(|| (Timestamp::now(), now), |before| (before.check.since, before.changed));
        let message = failure.as_ref().map(|failure| message(failure).to_owned());
        let check = Check { name: "store".to_owned(), status, since, message };
        *probe = Some(Probed { at: now, changed, check: check.clone() });
        check
    }

    /// Asks the store for its health and head, and sets its gauges. Returns the failure if there is one.
    async fn ask_store(&self) -> Option<StoreError> {
        let (health, head) = tokio::join!(answered("health", self.store.health()), answered("head", self.store.head()));
        let metrics = &self.metrics.store;
        if let Ok(head) = &head {
            metrics.head.set(head.get() as f64);
        }
        for pool in self.store.pools() {
            metrics.pool(pool.name, pool.size, pool.idle);
        }
        let failure = health.err().or_else(|| head.err());
        metrics.writable.set(f64::from(u8::from(failure.is_none())));
        failure
    }
}

/// The store's answer, or that it gave none in time.
async fn answered<T>(
    operation: &'static str,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(StoreError::Unavailable { operation, source: elapsed.into() }),
    }
}

/// Logs a change of the store's health once, with what the public message leaves out.
fn log_change(failure: Option<&StoreError>, before: Option<&Probed>) {
    match (failure, before) {
        (Some(error), _) => tracing::warn!(error = crate::store::chain(error), "the store fails its health check"),
        (None, Some(before)) => {
            tracing::info!(after = ?before.changed.elapsed(), "the store passes its health check again");
        }
        (None, None) => {}
    }
}

/// The reason, in words that name no host, file or stream: health is often public.
const fn message(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable { .. } | StoreError::OutcomeUnknown { .. } => {
            "the store does not answer, or is too busy"
        }
        StoreError::StorageFull { .. } => "the store's storage is full; make room",
        StoreError::SchemaVersion { .. } => "the store was written by a newer recount; update the program",
        StoreError::Replaced { .. } => "the place of the store holds another store; restart the program to use it",
        StoreError::Closed => "the store is closed",
        StoreError::Damaged { .. } => "the store's data is damaged; see the program's log",
        _ => "the store fails; see the program's log",
    }
}
