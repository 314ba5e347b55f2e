//! The metric handles of a store: appends, reads, and gauges.

use std::time::{Duration, Instant};

use super::by_name::ByName;
use super::handle::{Counter, Gauge, Histogram, Registrar};
use super::metric;
use super::sampler::Sampler;
use crate::StoreWaits;
use crate::store::WaitRecorder;

/// The extent of a read: one stream, or the whole store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadKind {
    Stream,
    All,
}

/// The handles of one store.
pub(crate) struct StoreMetrics {
    registrar: Registrar,
    store: &'static str,
    appends: Sampler,
    appended: Histogram,
    repeated: Histogram,
    conflict: Histogram,
    failed: ByName<Histogram, 1>,
    append_events: Histogram,
    event_types: ByName<Counter, 64>,
    reads: [(Histogram, Counter); 2],
    pub(crate) head: Gauge,
    pub(crate) writable: Gauge,
    pub(crate) queue: Gauge,
    pub(crate) safe_head_lag: Gauge,
    pools: ByName<(Gauge, Gauge), 1>,
    health: ByName<Gauge, 1>,
}

/// The handles of the waits inside of a store.
struct WaitMetrics {
    registrar: Registrar,
    store: &'static str,
    queue: Histogram,
    pools: ByName<Histogram, 1>,
}

impl WaitMetrics {
    fn new(registrar: Registrar, store: &'static str) -> Self {
        let queue = registrar.histogram(&metric::APPEND_QUEUE_WAIT, &[("store", store)]);
        Self { registrar, store, queue, pools: ByName::new() }
    }
}

impl WaitRecorder for WaitMetrics {
    fn queue(&self, wait: Duration) {
        self.queue.record_time(Some(wait));
    }

    fn pool(&self, pool: &'static str, wait: Duration) {
        let labels = [("store", self.store), ("pool", pool)];
        let waits = self.pools.get(pool, || self.registrar.histogram(&metric::POOL_WAIT, &labels));
        waits.record_time(Some(wait));
    }
}

/// An append under way: its start, if it is timed, and the counters of its events.
pub(crate) struct PendingAppend<'a> {
    started: Option<Instant>,
    /// Most appends have one event: no room is allocated for it.
    first: Option<&'a Counter>,
    more: Vec<&'a Counter>,
}

impl StoreMetrics {
    pub(super) fn new(registrar: Registrar, store: &'static str, waits: &StoreWaits) -> Self {
        if registrar.enabled() {
            waits.record_by(Box::new(WaitMetrics::new(registrar, store)));
        }
        let append = |outcome| registrar.histogram(&metric::APPEND_DURATION, &[("store", store), ("outcome", outcome)]);
        let read = |kind| {
            let labels = [("store", store), ("kind", kind)];
            (registrar.histogram(&metric::READ_DURATION, &labels), registrar.counter(&metric::READ_EVENTS, &labels))
        };
        let labels = [("store", store)];
        Self {
            registrar,
            store,
            appends: registrar.sampler(),
            appended: append("appended"),
            repeated: append("repeated"),
            conflict: append("conflict"),
            failed: ByName::new(),
            append_events: registrar.histogram(&metric::APPEND_EVENTS, &labels),
            event_types: ByName::new(),
            reads: [read("stream"), read("all")],
            head: registrar.gauge(&metric::STORE_HEAD, &labels),
            writable: registrar.gauge(&metric::STORE_WRITABLE, &labels),
            queue: registrar.gauge(&metric::APPEND_QUEUE, &labels),
            safe_head_lag: registrar.gauge(&metric::SAFE_HEAD_LAG, &labels),
            pools: ByName::new(),
            health: ByName::new(),
        }
    }

    /// Whether there is a recorder.
    pub(crate) fn are_recorded(&self) -> bool {
        self.registrar.enabled()
    }

    /// The start of an append of events with these types; `None` without a recorder.
    pub(crate) fn append<'e>(&self, mut event_types: impl Iterator<Item = &'e str>) -> Option<PendingAppend<'_>> {
        if !self.registrar.enabled() {
            return None;
        }
        let counter = |name: &str| {
            self.event_types.get(name, || self.registrar.counter(&metric::EVENTS_APPENDED, &[("event_type", name)]))
        };
        let first = event_types.next().map(counter);
        let more = event_types.map(counter).collect();
        Some(PendingAppend { started: self.appends.start(), first, more })
    }

    /// The end of an append: whether it is a repetition, or the kind of error.
    pub(crate) fn end(&self, append: PendingAppend<'_>, outcome: Result<bool, &'static str>) {
        let elapsed = self.appends.stop(append.started);
        let durations = match outcome {
            Ok(false) => {
                append.counters().for_each(|counter| counter.add(1));
                if elapsed.is_some() {
                    self.append_events.record(append.counters().count() as f64);
                }
                &self.appended
            }
            Ok(true) => &self.repeated,
            Err("conflict") => &self.conflict,
            Err(kind) => self.failed.get(kind, || {
                let labels = [("store", self.store), ("outcome", "failed"), ("error.type", kind)];
                self.registrar.histogram(&metric::APPEND_DURATION, &labels)
            }),
        };
        durations.record_time(elapsed);
    }

    /// The start of a read; `None` without a recorder.
    pub(crate) fn read(&self) -> Option<Instant> {
        self.registrar.enabled().then(Instant::now)
    }

    /// The end of a read.
    pub(crate) fn read_end(&self, kind: ReadKind, started: Option<Instant>, events: u64) {
        let (durations, counter) = &self.reads[kind as usize];
        durations.record_time(started.map(|started| started.elapsed()));
        counter.add(events);
    }

    /// Sets the gauges of a connection pool.
    pub(crate) fn pool(&self, pool: &'static str, size: u32, idle: u32) {
        let labels = [("store", self.store), ("pool", pool)];
        let (sizes, idles) = self.pools.get(pool, || {
            (self.registrar.gauge(&metric::POOL_SIZE, &labels), self.registrar.gauge(&metric::POOL_IDLE, &labels))
        });
        sizes.set(f64::from(size));
        idles.set(f64::from(idle));
    }

    /// Sets the gauge of a health check.
    pub(crate) fn health(&self, check: &str, ready: bool) {
        let gauge = self.health.get(check, || self.registrar.gauge(&metric::HEALTH, &[("check", check)]));
        gauge.set(f64::from(u8::from(ready)));
    }
}

impl PendingAppend<'_> {
    fn counters(&self) -> impl Iterator<Item = &Counter> {
        self.first.into_iter().chain(self.more.iter().copied())
    }
}
