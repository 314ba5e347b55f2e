//! The circuit breaker: it pauses callers while the called service fails, instead of letting each of them fail.
//!
//! *Closed*: calls go through. After some transient failures in a row the circuit *opens*: callers wait. When the pause is
//! over it is *half-open*: one caller goes through as a probe. If that succeeds, the circuit closes; else it opens again
//! for twice as long. The pattern is Nygard's ("Release It!", 2007).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// When a circuit opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitSettings {
    /// How many failures in a row open it. 5 by default.
    pub failures: u32,
    /// The pause after it has opened, drawn between half of it and all of it. 1 second by default.
    pub first_pause: Duration,
    /// The longest pause: each failed probe doubles the pause up to this. 30 seconds by default.
    pub longest_pause: Duration,
}

impl Default for CircuitSettings {
    fn default() -> Self {
        Self { failures: 5, first_pause: Duration::from_secs(1), longest_pause: Duration::from_secs(30) }
    }
}

/// The state of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CircuitState {
    /// Calls go through.
    Closed,
    /// Callers wait.
    Open,
    /// One caller goes through as a probe.
    HalfOpen,
}

impl CircuitState {
    /// The names of all states.
    pub const NAMES: [&'static str; 3] = ["closed", "open", "half_open"];

    /// The name, as the label of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A circuit breaker. Clones share it.
#[derive(Clone, Debug)]
pub struct Circuit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: CircuitSettings,
    inner: Mutex<Inner>,
    state: watch::Sender<CircuitState>,
    /// Wakes the callers that wait, in the order in which they came.
    changed: Notify,
}

#[derive(Debug)]
struct Inner {
    state: CircuitState,
    /// Failures in a row while it is closed.
    failures: u32,
    /// The bound of the present pause.
    pause: Duration,
    until: Instant,
    /// Whether a probe is under way.
    probing: bool,
    /// Counts the changes of state: the outcome of a call that began before the last one counts for nothing.
    epoch: u64,
}

impl Circuit {
    /// A closed circuit.
    #[must_use]
    pub fn new(settings: CircuitSettings) -> Self {
        let inner = Inner {
            state: CircuitState::Closed,
            failures: 0,
            pause: settings.first_pause,
            until: Instant::now(),
            probing: false,
            epoch: 0,
        };
        let (state, changed) = (watch::Sender::new(CircuitState::Closed), Notify::new());
        Self(Arc::new(Shared { settings, inner: Mutex::new(inner), state, changed }))
    }

    /// The present state.
    #[must_use]
    pub fn state(&self) -> CircuitState {
        *self.0.state.borrow()
    }

    /// Follows the state.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<CircuitState> {
        self.0.state.subscribe()
    }

    /// Waits until a call may go through.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn enter(&self) -> Permit {
        loop {
            // Before the look at the state, so that no change is missed.
            let changed = self.0.changed.notified();
            let until = match self.try_enter() {
                Ok(permit) => return permit,
                Err(until) => until,
            };
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// A permit, or when to ask again.
    fn try_enter(&self) -> Result<Permit, Instant> {
        let mut inner = self.lock();
        let now = Instant::now();
        match inner.state {
            CircuitState::Closed => {}
            CircuitState::Open if now >= inner.until => {
                self.change(&mut inner, CircuitState::HalfOpen);
                inner.probing = true;
            }
            CircuitState::HalfOpen if !inner.probing => inner.probing = true,
            CircuitState::Open => return Err(inner.until),
            CircuitState::HalfOpen => return Err(now + self.0.settings.longest_pause),
        }
        Ok(Permit { circuit: Some(self.clone()), epoch: inner.epoch })
    }

    fn ended(&self, epoch: u64, outcome: Option<bool>) {
        let mut inner = self.lock();
        if inner.epoch != epoch {
            return;
        }
        let settings = &self.0.settings;
        match (inner.state, outcome) {
            (CircuitState::Closed, Some(true)) => inner.failures = 0,
            (CircuitState::Closed, Some(false)) => {
                inner.failures += 1;
                if inner.failures >= settings.failures {
                    inner.pause = settings.first_pause;
                    self.open(&mut inner);
                }
            }
            (CircuitState::HalfOpen, Some(true)) => {
                inner.failures = 0;
                self.change(&mut inner, CircuitState::Closed);
            }
            (CircuitState::HalfOpen, Some(false)) => {
                inner.pause = inner.pause.saturating_mul(2).min(settings.longest_pause);
                self.open(&mut inner);
            }
            (CircuitState::HalfOpen, None) => {
                // The probe was dropped: another caller makes one.
                inner.probing = false;
                self.0.changed.notify_waiters();
            }
            (CircuitState::Open, _) | (CircuitState::Closed, None) => {}
        }
    }

    fn open(&self, inner: &mut Inner) {
        inner.until = Instant::now() + inner.pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.change(inner, CircuitState::Open);
    }

    fn change(&self, inner: &mut Inner, state: CircuitState) {
        inner.state = state;
        inner.probing = false;
        inner.epoch += 1;
        self.0.state.send_replace(state);
        self.0.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Circuit {
    fn default() -> Self {
        Self::new(CircuitSettings::default())
    }
}

/// The right to make one call. Dropped without an outcome, the call counts for nothing.
#[must_use = "report the outcome of the call"]
#[derive(Debug)]
pub struct Permit {
    circuit: Option<Circuit>,
    epoch: u64,
}

impl Permit {
    /// The call has succeeded, or failed for a reason that is not the callee's.
    pub fn succeeded(mut self) {
        self.end(Some(true));
    }

    /// The callee can't be reached.
    pub fn failed(mut self) {
        self.end(Some(false));
    }

    fn end(&mut self, outcome: Option<bool>) {
        if let Some(circuit) = self.circuit.take() {
            circuit.ended(self.epoch, outcome);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit() -> Circuit {
        Circuit::new(CircuitSettings { failures: 3, ..CircuitSettings::default() })
    }

    async fn open(circuit: &Circuit) {
        for _ in 0..3 {
            circuit.enter().await.failed();
        }
        assert_eq!(circuit.state(), CircuitState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_others_do_not() {
        let circuit = circuit();
        for _ in 0..10 {
            circuit.enter().await.failed();
            circuit.enter().await.failed();
            circuit.enter().await.succeeded();
        }
        assert_eq!(circuit.state(), CircuitState::Closed);
        open(&circuit).await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_goes_through_and_closes_it() {
        let circuit = circuit();
        open(&circuit).await;
        let started = Instant::now();
        let probe = circuit.enter().await;
        let paused = started.elapsed();
        assert!((500..=1000).contains(&paused.as_millis()), "{paused:?}");
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
        let second = tokio::time::timeout(Duration::from_secs(3600), circuit.enter()).await;
        assert!(second.is_err(), "one probe at a time");
        probe.succeeded();
        assert_eq!(circuit.state(), CircuitState::Closed);
        circuit.enter().await.succeeded();
    }

    #[tokio::test(start_paused = true)]
    async fn each_failed_probe_doubles_the_pause_up_to_the_longest() {
        let circuit = circuit();
        open(&circuit).await;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let started = Instant::now();
            circuit.enter().await.failed();
            pauses.push(started.elapsed().as_secs_f64());
        }
        for (pause, bound) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]) {
            assert!(*pause >= bound / 2.0 && *pause <= bound + 0.01, "{pauses:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_probe_lets_the_next_caller_try() {
        let circuit = circuit();
        open(&circuit).await;
        drop(circuit.enter().await);
        let next = tokio::time::timeout(Duration::from_secs(1), circuit.enter()).await.unwrap();
        next.succeeded();
        assert_eq!(circuit.state(), CircuitState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn the_outcome_of_a_call_from_before_it_opened_counts_for_nothing() {
        let circuit = circuit();
        let early = circuit.enter().await;
        let other = circuit.enter().await;
        open(&circuit).await;
        early.succeeded();
        assert_eq!(circuit.state(), CircuitState::Open);
        let probe = circuit.enter().await;
        other.failed();
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
        probe.succeeded();
    }
}
