//! A lane of a consumer: its durable consumer at the server, and the pull requests to it.

use std::time::Duration;

use async_nats::{Message as Native, StatusCode};
use serde_json::json;
use tokio::time::Instant;

use crate::ensure::nanoseconds;
use crate::names::Durable;

/// After so long the server forgets a pull request: a member that does not call `next` any more holds up no lane for longer,
/// except by one message, for its lease.
pub(crate) const EXPIRES: Duration = Duration::from_secs(4);
/// The time of a pull request while lanes are read one at a time.
pub(crate) const BRIEFLY: Duration = Duration::from_millis(50);
/// The server gives a sign of life so often while a pull request waits.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// After so long without a sign of life the pull request counts as lost.
const SILENCE: Duration = Duration::from_secs(3);
/// The pause after a pull request that the server refuses.
const PAUSE: Duration = Duration::from_millis(100);
/// The greatest number of messages of one pull request.
const MAX_PULL: usize = 256;

/// A lane. The server delivers to it as many messages as were asked for.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) durable: Durable,
    /// How often its consumer was made anew. Tickets from before are stale.
    pub(crate) generation: u32,
    /// Whether its consumer is gone from the server, as far as is known.
    pub(crate) lost: bool,
    /// The number of the last message that was acknowledged or rejected.
    pub(crate) settled: Option<u64>,
    /// How many messages are asked for and have not come.
    wanted: usize,
    /// When the server has last answered a pull request.
    heard: Instant,
    /// When the last pull request ends.
    ends: Instant,
    /// No pull request before this moment.
    not_before: Instant,
}

impl Lane {
    pub(crate) fn new(durable: Durable) -> Self {
        let now = Instant::now();
        Self { durable, generation: 0, lost: false, settled: None, wanted: 0, heard: now, ends: now, not_before: now }
    }

    /// How many messages to ask for, if any, with room for so many and so many waiting to be handed out.
    pub(crate) fn missing(&self, room: usize, waiting: usize, now: Instant) -> Option<usize> {
        if self.lost || now < self.not_before {
            return None;
        }
        let wanted = if now > self.ends + HEARTBEAT { 0 } else { self.wanted };
        let room = room.min(MAX_PULL);
        let missing = room.saturating_sub(waiting + wanted);
        // Not one request for each message: the last one is used up by half first.
        (missing > 0 && missing * 2 >= room).then_some(missing)
    }

    /// The body of a pull request.
    pub(crate) fn pull(count: usize, time: Duration) -> String {
        // The server takes heartbeats of half the time at most.
        let heartbeat = if time < HEARTBEAT * 2 { Duration::ZERO } else { HEARTBEAT };
        json!({ "batch": count, "expires": nanoseconds(time), "idle_heartbeat": nanoseconds(heartbeat) }).to_string()
    }

    /// Notes that so many messages were asked for.
    pub(crate) fn pulled(&mut self, count: usize, now: Instant, time: Duration) {
        if now > self.ends + HEARTBEAT {
            self.wanted = 0;
        }
        self.wanted += count;
        self.heard = now;
        self.ends = now + time;
    }

    /// Whether a pull request waits.
    pub(crate) fn is_pulled(&self, now: Instant) -> bool {
        self.wanted > 0 && now <= self.ends + HEARTBEAT
    }

    /// Sends no pull request before this moment.
    pub(crate) fn rest_until(&mut self, time: Instant) {
        self.not_before = time;
    }

    /// Forgets the pull requests: the connection on which they were sent is gone.
    pub(crate) fn forget_pulls(&mut self) {
        self.wanted = 0;
    }

    /// Notes that a message has come.
    pub(crate) fn delivered(&mut self, at: Instant) {
        self.wanted = self.wanted.saturating_sub(1);
        self.heard = self.heard.max(at);
    }

    /// Notes the server's answer about a pull request.
    pub(crate) fn told(&mut self, status: StatusCode, native: &Native, at: Instant) {
        self.heard = self.heard.max(at);
        let description = native.description.as_deref().unwrap_or_default();
        match status {
            StatusCode::IDLE_HEARTBEAT => {}
            StatusCode::TIMEOUT => {
                let pending = native.headers.as_ref().and_then(|headers| headers.get("Nats-Pending-Messages"));
                let pending = pending.and_then(|count| count.as_str().parse().ok()).unwrap_or(self.wanted);
                self.wanted = self.wanted.saturating_sub(pending);
            }
            StatusCode::NO_RESPONDERS => self.lost = true,
            StatusCode::REQUEST_TERMINATED if description.contains("Consumer Deleted") => self.lost = true,
            _ => {
                tracing::debug!(consumer = self.durable.name, %status, description, "a pull request was refused");
                self.wanted = 0;
                self.not_before = at + PAUSE;
            }
        }
    }

    /// When the next pull request may be sent, if it has to wait.
    pub(crate) fn pause(&self, now: Instant) -> Option<Instant> {
        (now < self.not_before).then_some(self.not_before)
    }

    /// Whether a pull request waits, and the server gives no sign of life.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        self.wanted > 0 && now <= self.ends && now > self.heard + SILENCE
    }

    /// Notes that the consumer was made anew.
    pub(crate) fn remade(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.lost = false;
        self.wanted = 0;
    }

    /// Notes that the consumer is there. It may need a moment to take pull requests.
    pub(crate) fn found(&mut self) {
        self.lost = false;
        self.wanted = 0;
        self.not_before = Instant::now() + PAUSE;
    }
}
