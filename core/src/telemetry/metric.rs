//! The metrics that recount records: names, kinds, units, labels.

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only grows.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// A distribution of values.
    Histogram,
}

/// A metric that recount records. Labels hold names from the code, never stream ids, event ids or error texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name, such as `recount.command.duration`. Prometheus writes it `recount_command_duration_seconds`.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricKind,
    /// The unit, as OpenTelemetry writes it.
    pub unit: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// The meaning of its values.
    pub description: &'static str,
}

impl Metric {
    /// Whether the values are seconds.
    #[must_use]
    pub fn is_duration(&self) -> bool {
        self.unit == "s"
    }
}

/// The upper bounds of the buckets of histograms in seconds.
pub const DURATION_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The upper bounds of the buckets of the other histograms.
pub const SIZE_BUCKETS: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 10_000.0];

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal $unit:literal [$($label:literal)*] $description:literal;)*) => {
        $(pub(super) const $constant: Metric = Metric {
            name: $name,
            kind: MetricKind::$kind,
            unit: $unit,
            labels: &[$($label),*],
            description: $description,
        };)*

        /// Every metric that recount records.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    COMMANDS: Counter "recount.commands" "{command}" ["aggregate" "command" "outcome"]
        "Commands and decisions by their outcome";
    COMMAND_DURATION: Histogram "recount.command.duration" "s" ["aggregate" "command" "outcome"]
        "How long commands and decisions take; those under 20 µs are sampled";
    COMMAND_ATTEMPTS: Histogram "recount.command.attempts" "{attempt}" ["aggregate"]
        "Attempts of commands that needed more than one";
    COMMAND_QUEUE_WAIT: Histogram "recount.command.queue.wait" "s" ["aggregate"]
        "How long commands waited for others of the same aggregate; those that did not wait are not counted";
    COMMAND_SHARED: Histogram "recount.command.shared" "{command}" []
        "How many commands shared an append; appends of a single command are not counted";
    CONFLICTS: Counter "recount.conflicts" "{conflict}" ["aggregate"]
        "Attempts that met a conflict";
    LOAD_DURATION: Histogram "recount.aggregate.load.duration" "s" ["aggregate" "source"]
        "How long it takes to load an aggregate; loads from the cache under 20 µs are sampled";
    REPLAYED: Histogram "recount.aggregate.replayed" "{event}" ["aggregate"]
        "Events replayed by loads that replayed any";
    CACHE_HITS: Counter "recount.aggregate.cache.hits" "{hit}" ["aggregate"]
        "Commands and loads that found the aggregate in the cache";
    CACHE_MISSES: Counter "recount.aggregate.cache.misses" "{miss}" ["aggregate"]
        "Loads of an aggregate that was not in the cache";
    CACHE_ENTRIES: Gauge "recount.aggregate.cache.entries" "{aggregate}" ["aggregate"]
        "Aggregates in the cache";
    SNAPSHOT_WRITES: Counter "recount.snapshot.writes" "{snapshot}" ["aggregate"]
        "Snapshots written";
    SNAPSHOT_FAILURES: Counter "recount.snapshot.failures" "{snapshot}" ["aggregate"]
        "Snapshots that could not be written";
    APPEND_DURATION: Histogram "recount.append.duration" "s" ["store" "outcome" "error.type"]
        "How long appends take; those under 20 µs are sampled";
    APPEND_EVENTS: Histogram "recount.append.events" "{event}" ["store"]
        "Events of an append; sampled together with its duration";
    EVENTS_APPENDED: Counter "recount.events.appended" "{event}" ["event_type"]
        "Events appended";
    APPEND_QUEUE: Gauge "recount.append.queue" "{append}" ["store"]
        "Appends that wait in the store's queue";
    APPEND_QUEUE_WAIT: Histogram "recount.append.queue.wait" "s" ["store"]
        "The longest wait in the store's queue of those who share a transaction";
    STORE_HEAD: Gauge "recount.store.head" "{position}" ["store"]
        "The position of the last event";
    STORE_WRITABLE: Gauge "recount.store.writable" "1" ["store"]
        "1 if the store answers and can write, otherwise 0";
    SAFE_HEAD_LAG: Gauge "recount.store.safe_head.lag" "s" ["store"]
        "The age of the oldest transaction with an append under way, whose positions readers don't pass";
    READ_DURATION: Histogram "recount.read.duration" "s" ["store" "kind"]
        "How long reads of events take";
    READ_EVENTS: Counter "recount.read.events" "{event}" ["store" "kind"]
        "Events read";
    POOL_SIZE: Gauge "recount.store.pool.size" "{connection}" ["store" "pool"]
        "Open connections of the store";
    POOL_IDLE: Gauge "recount.store.pool.idle" "{connection}" ["store" "pool"]
        "Open connections of the store that are not in use";
    POOL_WAIT: Histogram "recount.store.pool.wait" "s" ["store" "pool"]
        "How long callers waited for a connection of the store; those that found one at hand are not counted";
    PROJECTION_POSITION: Gauge "recount.projection.position" "{position}" ["kind" "projection"]
        "The position up to which the consumer has handled events";
    PROJECTION_LAG_EVENTS: Gauge "recount.projection.lag.events" "{position}" ["kind" "projection"]
        "The distance from the consumer's position to the store's head";
    PROJECTION_LAG_TIME: Gauge "recount.projection.lag.time" "s" ["kind" "projection"]
        "The age of the oldest event behind the consumer's position; 0 at the head";
    PROJECTION_EVENTS: Counter "recount.projection.events" "{event}" ["kind" "projection"]
        "Events handled";
    PROJECTION_BATCH_DURATION: Histogram "recount.projection.batch.duration" "s" ["kind" "projection"]
        "How long a batch takes, with its transaction; those under 20 µs are sampled";
    PROJECTION_BATCH_SIZE: Histogram "recount.projection.batch.size" "{event}" ["kind" "projection"]
        "Events of a batch; sampled together with its duration";
    PROJECTION_FAILURES: Counter "recount.projection.failures" "{failure}" ["kind" "projection" "error.type"]
        "Failures of a handler, the sink, or the source";
    PROJECTION_STATE: Gauge "recount.projection.state" "1" ["kind" "projection" "state"]
        "1 for the consumer's present state, 0 for the others";
    PROCESS_STEPS: Counter "recount.process.steps" "{step}" ["process" "trigger"]
        "Steps recorded, by what they follow from: input, refusal, timer";
    PROCESS_IGNORED: Counter "recount.process.inputs.ignored" "{input}" ["process" "reason"]
        "Inputs and timers that led to no step: duplicate, late, unknown, ignored, unexpected, queued, stale";
    PROCESS_REQUESTS: Counter "recount.process.requests" "{request}" ["process" "command" "outcome"]
        "Commands of a process by their outcome: accepted, refused, withdrawn, undone";
    PROCESS_COMPENSATIONS: Counter "recount.process.compensations" "{compensation}" ["process" "outcome"]
        "Compensations that ended or are stuck";
    PROCESS_INSTANCES: Gauge "recount.process.instances" "{instance}" ["process" "state"]
        "Instances that need an operator: parked, stuck";
    PROCESS_TIMER_LATENESS: Histogram "recount.process.timer.lateness" "s" ["process"]
        "How long after their due time timers fire";
    PROCESS_REACTION_TIME: Histogram "recount.process.reaction.time" "s" ["process"]
        "The time from the record of an input to the record of its step";
    MESSAGES_SENT: Counter "messaging.client.sent.messages" "{message}" ["messaging.system" "messaging.destination.name"]
        "Messages that a broker has stored";
    MESSAGES_CONSUMED: Counter "messaging.client.consumed.messages" "{message}" ["messaging.system" "messaging.destination.name"]
        "Messages that were handled";
    MESSAGE_OPERATION_DURATION: Histogram "messaging.client.operation.duration" "s" ["messaging.system" "messaging.destination.name" "messaging.operation.name"]
        "How long calls of a broker take: send, settle";
    MESSAGE_PROCESS_DURATION: Histogram "messaging.process.duration" "s" ["messaging.system" "messaging.destination.name"]
        "How long a message is handled";
    INBOX_DUPLICATES: Counter "recount.inbox.duplicates" "{message}" ["handler"]
        "Messages that were delivered again";
    DEAD_LETTERS: Gauge "recount.deadletter.entries" "{key}" ["handler"]
        "Keys whose first message waits for an operator";
    DEAD_LETTERS_ADDED: Counter "recount.deadletter.added" "{message}" ["handler"]
        "Messages that became dead letters";
    DEAD_LETTERS_REDRIVEN: Counter "recount.deadletter.redriven" "{message}" ["handler"]
        "Dead letters that were tried again by order";
    REPLIES_LATE: Counter "recount.request.replies.late" "{reply}" ["handler"]
        "Replies that came after their question had ended";
    REQUESTS_EXPIRED: Counter "recount.request.expired" "{request}" ["handler"]
        "Requests that were dropped because their deadline had passed";
    CIRCUIT_STATE: Gauge "recount.circuit.state" "1" ["target" "state"]
        "1 for the present state of the circuit, 0 for the others: closed, open, half_open";
    REBUILD_PROGRESS: Gauge "recount.projection.rebuild.progress" "1" ["kind" "projection"]
        "The part of a rebuild that is done, from 0 to 1; 1 if there is none";
    HEALTH: Gauge "recount.health" "1" ["check"]
        "1 if the check is ok or degraded, otherwise 0";
    BUILD_INFO: Gauge "recount.build_info" "1" ["version" "store"]
        "Always 1: the version of recount and the kind of store";
}
