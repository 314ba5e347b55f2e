//! The feed: real orders are submitted, each until it is accepted, and the answers are counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant as TokioInstant, sleep, sleep_until};

use super::clerk::{Clerk, Reply};
use super::entry::Verdict;
use crate::cdnow::{Orders, Row};
use crate::import::place_order;
use crate::order::PlaceOrder;

/// The time within which an order counts as accepted at the first try.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How many orders are submitted at once.
const AT_ONCE: usize = 64;
/// The same if their times are fixed: while the order service is down, orders wait for it.
const AT_ONCE_OVER_TIME: usize = 4096;
/// How many orders may be accepted ahead of those with a known outcome.
const AHEAD: u64 = 1_000;
/// The pause before an order is submitted again.
const PAUSE: Duration = Duration::from_millis(50);

/// How orders are spread over time.
#[derive(Clone)]
pub enum Pace {
    /// As fast as their outcomes become known; the receiver has how many are.
    Outcomes(watch::Receiver<u64>),
    /// Evenly over a time.
    Over(Duration),
}

/// The way of the orders into the shop.
pub struct Feed<'a> {
    pub clerk: &'a Clerk,
    /// The source of the orders.
    pub source: &'a str,
    pub pace: Pace,
    /// How long an answer is waited for.
    pub within: Duration,
}

/// The answers so far.
#[derive(Default)]
pub struct Tally {
    accepted: AtomicU64,
    first_try: AtomicU64,
    failed_first: AtomicU64,
    entry_down: AtomicU64,
    latencies: Mutex<Vec<Duration>>,
}

/// The first submissions of the orders, by outcome.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Submissions {
    /// Accepted within the time.
    pub first_try: u64,
    /// Not accepted within the time, while the order service was up.
    pub failed: u64,
    /// The order service itself was down.
    pub entry_down: u64,
}

impl Submissions {
    /// The share of orders accepted at the first try, among the orders that came while the order service was up.
    pub fn accepted_percent(self) -> f64 {
        let all = self.first_try + self.failed;
        if all == 0 { 100.0 } else { self.first_try as f64 * 100.0 / all as f64 }
    }
}

impl Tally {
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub fn submissions(&self) -> Submissions {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Submissions {
            first_try: read(&self.first_try),
            failed: read(&self.failed_first),
            entry_down: read(&self.entry_down),
        }
    }

    /// The times until the orders were accepted, sorted.
    pub fn latencies(&self) -> Vec<Duration> {
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        latencies.sort_unstable();
        latencies
    }

    /// Counts the answer to the first submission of an order.
    fn first(&self, reply: &Reply) {
        let counter = match reply {
            Reply::Answered(Verdict::Recorded) => &self.first_try,
            Reply::Down => &self.entry_down,
            _ => &self.failed_first,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn accept(&self, took: Duration) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).push(took);
    }
}

impl Feed<'_> {
    /// Submits the orders until all are accepted.
    pub async fn run(&self, rows: &[Row], tally: &Tally) -> Result<()> {
        let start = TokioInstant::now();
        let at_once = match &self.pace {
            Pace::Outcomes(_) => AT_ONCE,
            Pace::Over(_) => AT_ONCE_OVER_TIME,
        };
        let count = u32::try_from(rows.len())?.max(1);
        let due = |index: usize, time: Duration| start + time * u32::try_from(index).unwrap_or(count) / count;
        let placing = stream::iter(rows.iter().enumerate()).then(async |(index, row)| {
            match &self.pace {
                Pace::Over(time) => sleep_until(due(index, *time)).await,
                Pace::Outcomes(known) => {
                    let submitted = index as u64;
                    let _ = known.clone().wait_for(|known| known + AHEAD > submitted).await;
                }
            }
            row
        });
        let placing = placing.map(|row| self.place(place_order(self.source, row), tally)).buffer_unordered(at_once);
        placing.try_collect().await
    }

    /// Submits an order until it is accepted.
    async fn place(&self, order: PlaceOrder, tally: &Tally) -> Result<()> {
        let started = Instant::now();
        let mut is_first = true;
        loop {
            let reply = self.clerk.submit(&order, self.within).await?;
            if std::mem::take(&mut is_first) {
                tally.first(&reply);
            }
            match reply {
                Reply::Answered(Verdict::Recorded) => {
                    tally.accept(started.elapsed());
                    return Ok(());
                }
                Reply::Answered(Verdict::Refused { reason }) => bail!("order {} is refused: {reason}", order.order),
                Reply::Answered(Verdict::Failed { reason }) => {
                    tracing::warn!(order = %order.order, reason, "not accepted");
                }
                Reply::Down => self.clerk.wait_until_up().await,
                Reply::Late => tracing::warn!(order = %order.order, "no answer within {:?}", self.within),
            }
            sleep(PAUSE).await;
        }
    }
}

/// The orders at the beginning of a file.
pub fn first(orders: &Orders, limit: Option<usize>) -> &[Row] {
    &orders.rows[..limit.unwrap_or(usize::MAX).min(orders.rows.len())]
}
