//! The metric handles of messages between services, for crates that build on this one.

use std::time::{Duration, Instant};

use super::by_name::ByName;
use super::handle::{Counter, Gauge, Histogram, Registrar};
use super::metric;

/// The handles of one relay or inbox, made when it starts.
pub struct MessageMetrics {
    registrar: Registrar,
    system: &'static str,
    topic: String,
    consumer: String,
    sent: Counter,
    consumed: Counter,
    process_duration: Histogram,
    operations: ByName<Histogram, 1>,
    duplicates: Counter,
    dead: Gauge,
    dead_added: Counter,
    redriven: Counter,
    late_replies: Counter,
    expired: Counter,
    circuit: ByName<Gauge, 1>,
}

impl MessageMetrics {
    pub(super) fn new(registrar: Registrar, system: &'static str, topic: &str, consumer: &str) -> Self {
        let of_topic = [("messaging.system", system), ("messaging.destination.name", topic)];
        let of_consumer = [("handler", consumer)];
        Self {
            registrar,
            system,
            topic: topic.to_owned(),
            consumer: consumer.to_owned(),
            sent: registrar.counter(&metric::MESSAGES_SENT, &of_topic),
            consumed: registrar.counter(&metric::MESSAGES_CONSUMED, &of_topic),
            process_duration: registrar.histogram(&metric::MESSAGE_PROCESS_DURATION, &of_topic),
            operations: ByName::new(),
            duplicates: registrar.counter(&metric::INBOX_DUPLICATES, &of_consumer),
            dead: registrar.gauge(&metric::DEAD_LETTERS, &of_consumer),
            dead_added: registrar.counter(&metric::DEAD_LETTERS_ADDED, &of_consumer),
            redriven: registrar.counter(&metric::DEAD_LETTERS_REDRIVEN, &of_consumer),
            late_replies: registrar.counter(&metric::REPLIES_LATE, &of_consumer),
            expired: registrar.counter(&metric::REQUESTS_EXPIRED, &of_consumer),
            circuit: ByName::new(),
        }
    }

    /// The time of a start, if anything is recorded.
    #[must_use]
    pub fn start(&self) -> Option<Instant> {
        self.registrar.enabled().then(Instant::now)
    }

    /// A call of the broker has ended: `send`, `settle`.
    pub fn operation(&self, name: &'static str, started: Option<Instant>) {
        let Some(started) = started else { return };
        let labels = [
            ("messaging.system", self.system),
            ("messaging.destination.name", &*self.topic),
            ("messaging.operation.name", name),
        ];
        let operation = || self.registrar.histogram(&metric::MESSAGE_OPERATION_DURATION, &labels);
        self.operations.get(name, operation).record_time(Some(started.elapsed()));
    }

    /// Messages were stored by the broker.
    pub fn sent(&self, count: u64) {
        self.sent.add(count);
    }

    /// A message was handled, in this time.
    pub fn consumed(&self, took: Option<Duration>) {
        self.consumed.add(1);
        self.process_duration.record_time(took);
    }

    /// A message was delivered again.
    pub fn duplicate(&self) {
        self.duplicates.add(1);
    }

    /// A message became a dead letter.
    pub fn dead_letter(&self) {
        self.dead_added.add(1);
    }

    /// A dead letter is tried again by order.
    pub fn redriven(&self) {
        self.redriven.add(1);
    }

    /// A reply came after its question had ended.
    pub fn late_reply(&self) {
        self.late_replies.add(1);
    }

    /// A request came after its deadline.
    pub fn expired(&self) {
        self.expired.add(1);
    }

    /// Sets the number of keys that wait for an operator, and the state of the circuit, one of `states`.
    pub fn set(&self, dead: usize, circuit: &'static str, states: &[&'static str]) {
        self.dead.set(dead as f64);
        for state in states {
            let labels = [("target", &*self.consumer), ("state", *state)];
            let gauge = self.circuit.get(state, || self.registrar.gauge(&metric::CIRCUIT_STATE, &labels));
            gauge.set(f64::from(u8::from(*state == circuit)));
        }
    }
}
