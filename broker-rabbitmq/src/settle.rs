//! Settlements as frames, lane by lane.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicRejectOptions};
use recount_messaging::{BrokerError, Settle, Settled};
use tokio::time::timeout;

use crate::error::meaning;
use crate::lane::Lane;

const OPERATION: &str = "settling";

/// The settlements of one call, by the index of their lane.
#[derive(Default)]
pub(crate) struct Sheets(BTreeMap<usize, Sheet>);

/// The settlements of one lane.
#[derive(Default)]
pub(crate) struct Sheet {
    acks: BTreeSet<u64>,
    rejects: BTreeSet<u64>,
    pub(crate) returns: BTreeSet<u64>,
}

/// A frame to write, for the lane of this index.
pub(crate) struct Frame {
    lane: usize,
    channel: Channel,
    tag: u64,
    method: Method,
}

enum Method {
    Ack { multiple: bool },
    Reject { requeue: bool },
}

impl Sheet {
    pub(crate) fn note(&mut self, tag: u64, settle: &Settle) {
        match settle {
            Settle::Ack => drop(self.acks.insert(tag)),
            Settle::Reject(_) => drop(self.rejects.insert(tag)),
            Settle::Release | Settle::Retry { .. } => drop(self.returns.insert(tag)),
        }
    }
}

impl Sheets {
    pub(crate) fn of(&mut self, lane: usize) -> &mut Sheet {
        self.0.entry(lane).or_default()
    }

    /// The frames, in the order of writing: acknowledgements first, and returns last and ascending. Lanes with order return
    /// theirs later.
    pub(crate) fn frames(self, lanes: &mut [Lane]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for (index, sheet) in self.0 {
            let Some(lane) = lanes.get_mut(index) else { continue };
            let channel = lane.channel.clone();
            let mut write = |tag, method| frames.push(Frame { lane: index, channel: channel.clone(), tag, method });
            let up_to = lane.acknowledged_up_to(&sheet.acks);
            if let Some(tag) = up_to {
                write(tag, Method::Ack { multiple: true });
            }
            for tag in sheet.acks.iter().filter(|tag| up_to.is_none_or(|up_to| **tag > up_to)) {
                write(*tag, Method::Ack { multiple: false });
            }
            for tag in &sheet.rejects {
                write(*tag, Method::Reject { requeue: false });
            }
            for tag in sheet.acks.iter().chain(&sheet.rejects) {
                lane.open.remove(tag);
            }
            for tag in sheet.returns {
                lane.open.remove(&tag);
                if lane.ordered {
                    lane.release(tag);
                } else {
                    write(tag, Method::Reject { requeue: true });
                }
            }
        }
        frames
    }
}

/// The outcome of written frames.
#[derive(Default)]
pub(crate) struct Outcome {
    limit: Duration,
    pub(crate) timed_out: bool,
    failed: BTreeMap<usize, lapin::Error>,
}

impl Outcome {
    /// The outcome for a settlement in the lane of this index.
    pub(crate) fn of(&self, index: usize, lanes: &[Lane]) -> Settled {
        let limit = self.limit;
        match self.failed.get(&index) {
            // The server returns the deliveries that were not settled when the channel ended.
            Some(_) if lanes.get(index).is_none_or(|lane| !lane.is_up()) => Settled::Stale,
            Some(error) => Settled::Failed(meaning(OPERATION, error.clone())),
            None if self.timed_out => Settled::Failed(BrokerError::TimedOut { operation: OPERATION, limit }),
            None => Settled::Sent,
        }
    }
}

/// Writes frames within this time. They are queued in their order before anything is waited for, so that a dropped call
/// leaves none out.
pub(crate) async fn write(frames: Vec<Frame>, limit: Duration) -> Outcome {
    let mut outcome = Outcome { limit, ..Outcome::default() };
    let mut pending = Vec::new();
    for frame in frames {
        let lane = frame.lane;
        let mut writing: Pin<Box<dyn Future<Output = lapin::Result<()>> + Send>> = Box::pin(frame.write());
        match (&mut writing).now_or_never() {
            Some(Ok(())) => {}
            Some(Err(error)) => drop(outcome.failed.insert(lane, error)),
            None => pending.push((lane, writing)),
        }
    }
    let waiting = async {
        for (lane, writing) in pending {
            if let Err(error) = writing.await {
                outcome.failed.insert(lane, error);
            }
        }
    };
    let timed_out = timeout(limit, waiting).await.is_err();
    outcome.timed_out = timed_out;
    outcome
}

impl Frame {
    async fn write(self) -> lapin::Result<()> {
        let Self { channel, tag, method, .. } = self;
        match method {
            Method::Ack { multiple } => channel.basic_ack(tag, BasicAckOptions { multiple }).await,
            Method::Reject { requeue } => channel.basic_reject(tag, BasicRejectOptions { requeue }).await,
        }
    }
}
