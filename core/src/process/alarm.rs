//! The alarm: fires the timers that are due by the store's clock.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

use super::Process;
use super::decide::OrderKind;
use super::desk::Desk;
use super::instance::NoStep;
use super::record::TimerRecord;
use super::timers::{self, PAGE, TimerEntry};
use crate::{BoxError, Delivered, Lane, Metadata, Sink, Source, StateKey};

/// How long the alarm sleeps at most: other programs may set timers, too.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The timers that are due.
pub(super) struct DueTimers<P: Process> {
    desk: Arc<Desk<P>>,
    /// Those that are being fired.
    firing: HashSet<StateKey>,
    ready: VecDeque<Delivered<Self>>,
    /// Whether it has said that nothing is due.
    idle: bool,
    wait: Duration,
}

/// A timer that is due.
pub(super) struct DueTimer {
    instance: SmolStr,
    timer: TimerRecord,
    /// The time since it was due.
    late: Duration,
}

impl<P: Process> DueTimers<P> {
    pub(super) fn new(desk: Arc<Desk<P>>) -> Self {
        Self { desk, firing: HashSet::new(), ready: VecDeque::new(), idle: false, wait: Duration::ZERO }
    }

    /// Reads the timers that are due. The time until the next is due, if none is.
    async fn look(&mut self) -> Result<Option<Duration>, BoxError> {
        let store = &*self.desk.engine.store;
        let now = timers::now(store).await?;
        let mut after: Option<StateKey> = None;
        loop {
            // Behind those that are being fired there is at least one page.
            let page = timers::page(store, P::NAME, after.as_ref(), PAGE).await?;
            let full = page.len() == PAGE;
            for (key, entry) in page {
                let TimerEntry { instance, timer } = timers::read(&key, &entry)?;
                if timer.due > now {
                    let wait = Duration::try_from(timer.due.duration_since(now)).unwrap_or(LOOK_INTERVAL);
                    return Ok(self.ready.is_empty().then_some(wait));
                }
                after = Some(key.clone());
                if self.firing.insert(key.clone()) {
                    let lane = Lane::of(&instance);
                    let late = Duration::try_from(now.duration_since(timer.due)).unwrap_or_default();
                    let item = DueTimer { instance, timer, late };
                    self.ready.push_back(Delivered::Item { item, lane, ticket: key, mark: None });
                }
            }
            if !full || !self.ready.is_empty() {
                return Ok(self.ready.is_empty().then_some(LOOK_INTERVAL));
            }
        }
    }
}

impl<P: Process> Source for DueTimers<P> {
    type Item = DueTimer;
    type Mark = ();
    type Ticket = StateKey;

    async fn open(&mut self, _: Option<()>) -> Result<(), BoxError> {
        self.firing.clear();
        self.ready.clear();
        (self.idle, self.wait) = (false, Duration::ZERO);
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivered<Self>, BoxError> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                self.idle = false;
                return Ok(ready);
            }
            tokio::select! {
                // So that a simulation is the same each time.
                biased;
                () = tokio::time::sleep(self.wait) => {}
                () = self.desk.timer_set.notified(), if self.idle => {}
            }
            match self.look().await? {
                None => self.wait = Duration::ZERO,
                Some(wait) => {
                    self.wait = wait.min(LOOK_INTERVAL);
                    if !std::mem::replace(&mut self.idle, true) {
                        return Ok(Delivered::CaughtUp { mark: None });
                    }
                }
            }
        }
    }

    async fn settle(&mut self, tickets: Vec<StateKey>) -> Result<(), BoxError> {
        for key in &tickets {
            self.firing.remove(key);
        }
        timers::remove_keys(&*self.desk.engine.store, tickets).await
    }
}

/// Fires timers.
pub(super) struct Alarm<P> {
    desk: Arc<Desk<P>>,
}

impl<P: Process> Alarm<P> {
    pub(super) const fn new(desk: Arc<Desk<P>>) -> Self {
        Self { desk }
    }
}

impl<P: Process> Sink for Alarm<P> {
    type Item = DueTimer;

    async fn take(&self, due: &DueTimer) -> Result<(), BoxError> {
        let DueTimer { instance, timer, late } = due;
        let metadata = Metadata::default();
        match self.desk.decide(instance, OrderKind::Timer(timer.clone()), &metadata).await? {
            Ok(_) => {
                self.desk.counts.step("timer");
                self.desk.counts.metrics().lateness(*late);
                Ok(())
            }
            // It is parked with the timer still set, which is then due again when it is redriven.
            Err(NoStep::Failed(error)) => self.desk.park(instance, None, &error, &metadata).await.map(drop),
            Err(no_step) => {
                self.desk.counts.no_step(&no_step);
                Ok(())
            }
        }
    }
}
