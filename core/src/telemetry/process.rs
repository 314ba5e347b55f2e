//! The metric handles of a process.

use std::time::Duration;

use super::by_name::ByName;
use super::handle::{Counter, Gauge, Histogram, Registrar};
use super::metric;

/// The handles of one process.
pub(crate) struct ProcessMetrics {
    registrar: Registrar,
    process: &'static str,
    steps: ByName<Counter, 1>,
    ignored: ByName<Counter, 1>,
    /// By command and outcome.
    requests: ByName<ByName<Counter, 1>, 1>,
    compensations: ByName<Counter, 1>,
    troubled: ByName<Gauge, 1>,
    lateness: Histogram,
    reaction_time: Histogram,
}

impl ProcessMetrics {
    pub(super) fn new(registrar: Registrar, process: &'static str) -> Self {
        let labels = [("process", process)];
        Self {
            registrar,
            process,
            steps: ByName::new(),
            ignored: ByName::new(),
            requests: ByName::new(),
            compensations: ByName::new(),
            troubled: ByName::new(),
            lateness: registrar.histogram(&metric::PROCESS_TIMER_LATENESS, &labels),
            reaction_time: registrar.histogram(&metric::PROCESS_REACTION_TIME, &labels),
        }
    }

    /// Counts a step, by its trigger.
    pub(crate) fn step(&self, trigger: &'static str) {
        let labels = [("process", self.process), ("trigger", trigger)];
        self.steps.get(trigger, || self.registrar.counter(&metric::PROCESS_STEPS, &labels)).add(1);
    }

    /// Counts an input or timer that led to no step.
    pub(crate) fn ignored(&self, reason: &'static str) {
        let labels = [("process", self.process), ("reason", reason)];
        self.ignored.get(reason, || self.registrar.counter(&metric::PROCESS_IGNORED, &labels)).add(1);
    }

    /// Counts the outcome of a request.
    pub(crate) fn request(&self, command: &str, outcome: &'static str) {
        let labels = [("process", self.process), ("command", command), ("outcome", outcome)];
        let outcomes = self.requests.get(command, ByName::new);
        outcomes.get(outcome, || self.registrar.counter(&metric::PROCESS_REQUESTS, &labels)).add(1);
    }

    /// Counts the end or the halt of a compensation.
    pub(crate) fn compensation(&self, outcome: &'static str) {
        let labels = [("process", self.process), ("outcome", outcome)];
        self.compensations.get(outcome, || self.registrar.counter(&metric::PROCESS_COMPENSATIONS, &labels)).add(1);
    }

    /// Sets the number of instances in a state that needs an operator.
    pub(crate) fn troubled(&self, state: &'static str, instances: usize) {
        let labels = [("process", self.process), ("state", state)];
        let gauge = self.troubled.get(state, || self.registrar.gauge(&metric::PROCESS_INSTANCES, &labels));
        gauge.set(instances as f64);
    }

    /// Records how late a timer fired.
    pub(crate) fn lateness(&self, late: Duration) {
        self.lateness.record(late.as_secs_f64());
    }

    /// Records the time from an input to its step.
    pub(crate) fn reaction_time(&self, time: Duration) {
        self.reaction_time.record(time.as_secs_f64());
    }

    /// Whether a recorder takes the values.
    pub(crate) fn enabled(&self) -> bool {
        self.registrar.enabled()
    }
}
