//! The health of a [`Recount`]: asked of the store at most once a second.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::run::Registered;
use crate::store::in_time;
use crate::{
    Check, Condition, Health, Position, ProcessStatus, Query, ReadAll, Recount, Status, StoreError, Timestamp, Troubles,
};

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
    /// The store's head, if it was answered.
    head: Option<Position>,
}

impl Recount {
    /// The health of the store and the consumers, for a readiness endpoint. The store is asked whether it answers and
    /// can write, at most once a second and for at most some seconds. Each consumer is a check of its own: it fails if
    /// the consumer gave up, or if it is behind and has not moved for 30 seconds in which this was called.
    ///
    /// Also updates the gauges of the store and of consumers; call it before metrics are exported.
    pub async fn health(&self) -> Health {
        let (store, head) = self.check_store().await;
        let mut checks = vec![store];
        let consumers = self.registry.list();
        checks.extend(consumers.iter().map(|consumer| consumer.check(head)));
        let processes = self.registry.processes();
        let instances = join_all(processes.iter().map(|process| process.status())).await;
        checks.extend(instances.iter().map(check_instances));
        checks.extend(self.registry.checks());
        join_all(consumers.iter().map(|consumer| self.measure(consumer, head))).await;
        for check in &checks {
            self.engine.metrics.store.health(&check.name, check.status.is_ready());
        }
        Health::of(checks)
    }
}

impl Recount {
    /// The store's health and head.
    async fn check_store(&self) -> (Check, Option<Position>) {
        let mut probe = self.store_probe.0.lock().await;
        if let Some(probed) = probe.as_ref().filter(|probed| probed.at.elapsed() < FRESH) {
            return (probed.check.clone(), probed.head);
        }
        let (failure, head) = self.ask_store().await;
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
        *probe = Some(Probed { at: now, changed, check: check.clone(), head });
        (check, head)
    }

    /// Asks the store for its health and head, and sets its gauges. Returns the failure if there is one, and the head.
    async fn ask_store(&self) -> (Option<StoreError>, Option<Position>) {
        let metrics = &self.engine.metrics.store;
        if metrics.are_recorded() {
            // Before the requests that follow wait in the queue themselves.
            metrics.queue.set(self.engine.store.queued() as f64);
        }
        let (health, head, ()) = tokio::join!(
            in_time(PATIENCE, "health", self.engine.store.health()),
            in_time(PATIENCE, "head", self.engine.store.head()),
            self.measure_store(),
        );
        if let Ok(head) = &head {
            metrics.head.set(head.get() as f64);
        }
        let known = head.as_ref().ok().copied();
        let failure = health.err().or_else(|| head.err());
        metrics.writable.set(f64::from(u8::from(failure.is_none())));
        (failure, known)
    }

    /// Sets the gauges of the store's own measurements.
    async fn measure_store(&self) {
        let metrics = &self.engine.metrics.store;
        if !metrics.are_recorded() {
            return;
        }
        for pool in self.engine.store.pools() {
            metrics.pool(pool.name, pool.size, pool.idle);
        }
        if let Ok(lag) = in_time(PATIENCE, "visibility_lag", self.engine.store.visibility_lag()).await {
            metrics.safe_head_lag.set(lag.as_secs_f64());
        }
    }

    /// The store's head, if it answers in time.
    pub(crate) async fn head(&self) -> Option<Position> {
        in_time(PATIENCE, "head", self.engine.store.head()).await.ok()
    }

    /// Sets the gauges of a consumer.
    async fn measure(&self, consumer: &Registered, head: Option<Position>) {
        if !consumer.metrics.enabled() {
            return;
        }
        let progress = consumer.progress();
        consumer.metrics.state(progress.status.state(), &Status::STATES);
        let done = |to: Position| (progress.position.get() as f64 / to.get() as f64).min(1.0);
        consumer.metrics.rebuilt(progress.rebuild.map_or(1.0, |rebuild| done(rebuild.to)));
        let Some(lag) = consumer.lag(progress.position, head) else { return };
        let age = if lag == 0 { Some(Duration::ZERO) } else { self.age_behind(progress.position).await };
        if let Some(age) = age {
            consumer.metrics.progress(progress.position.get(), lag, age);
        }
    }

    /// The age of the first event behind a position. `None` if the store does not answer.
    async fn age_behind(&self, position: Position) -> Option<Duration> {
        let next = ReadAll { after: position, limit: Some(1), ..ReadAll::new(Query::all()) };
        let first = async { self.engine.store.read_all(next).next().await.transpose() };
        let event = in_time(PATIENCE, "read_all", first).await.ok()?;
        let age = |event: crate::RecordedEvent| Timestamp::now().duration_since(event.recorded_at);
        Some(event.map(age).and_then(|age| age.try_into().ok()).unwrap_or_default())
    }
}

/// The check of a process's instances: degraded while one waits for an operator.
fn check_instances(process: &ProcessStatus) -> Check {
    let name = format!("process:{}:instances", process.name);
    let Some(Troubles { parked, stuck, since }) = process.troubles else {
        let message = "the store could not be asked for instances that can't go on";
        return Check { name, status: Condition::Degraded, since: Timestamp::now(), message: Some(message.to_owned()) };
    };
    let (status, message) = if parked + stuck == 0 {
        (Condition::Ok, None)
    } else {
        let message =
            format!("{parked} parked and {stuck} stuck instances wait for an operator; redrive or resolve them");
        (Condition::Degraded, Some(message))
    };
    Check { name, status, since, message }
}

/// Logs a change of the store's health once, with the details that the public message leaves out.
fn log_change(failure: Option<&StoreError>, before: Option<&Probed>) {
    match (failure, before) {
        (Some(error), _) => {
            tracing::warn!(error = crate::store::error_chain(error), "the store fails its health check")
        }
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
