//! Settling deliveries, and extending their leases.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use recount_messaging::{BrokerError, Drained, Order, Settle, Settled, Ticket};
use tokio::time::{Instant, timeout_at};

use crate::connection::Connection;
use crate::consumer::NatsConsumer;
use crate::ensure::nanoseconds;
use crate::error::CallError;

const OPERATION: &str = "settling";

impl NatsConsumer {
    pub(crate) async fn settle_all(&mut self, marks: Vec<(Ticket, Settle)>) -> Vec<Settled> {
        let mut outcomes: Vec<Settled> = marks.iter().map(|_| Settled::Stale).collect();
        let mut requests = Vec::with_capacity(marks.len());
        for (index, (ticket, settle)) in marks.into_iter().enumerate() {
            let Some(open) = ticket.redeem(&self.returns).and_then(|parts| self.open.remove(&parts.tag)) else {
                continue;
            };
            // The server takes late acknowledgements, too. By then another member may have the message.
            if open.generation == self.lanes[open.lane].generation && Instant::now() < open.until {
                let is_final = matches!(settle, Settle::Ack | Settle::Reject(_));
                requests.push((index, open, is_final, body(settle)));
            }
        }
        // Released messages come again in the order in which they were released.
        requests.sort_by_key(|(_, open, ..)| open.sequence);
        let connection = &self.connection;
        let answers = requests.into_iter().map(|(index, open, is_final, body)| async move {
            let settled = send(connection, &open.handle, body).await;
            (index, open, is_final, settled)
        });
        for (index, open, is_final, settled) in join_all(answers).await {
            let lane = &mut self.lanes[open.lane];
            if is_final && settled.is_done() && self.binding.order == Order::PerKey {
                lane.settled = lane.settled.max(Some(open.sequence));
            }
            outcomes[index] = settled;
        }
        outcomes
    }

    pub(crate) async fn extend_all(&mut self, held: &[Ticket], by: Duration) -> Vec<Settled> {
        let lease = self.binding.lease;
        let connection = &self.connection;
        let extended = held.iter().map(|ticket| {
            let parts = ticket.parts(&self.returns);
            let open = parts.and_then(|parts| Some((parts.tag, self.open.get(&parts.tag)?)));
            let open = open.filter(|(_, open)| open.generation == self.lanes[open.lane].generation);
            async move {
                let Some((tag, open)) = open.filter(|(_, open)| Instant::now() < open.until) else {
                    return (0, None, Settled::Stale);
                };
                // The server extends by the lease of the binding, not by more.
                if by > lease {
                    return (tag, None, Settled::Unsupported);
                }
                let sent = Instant::now();
                let settled = send(connection, &open.handle, Bytes::from_static(b"+WPI")).await;
                (tag, settled.is_done().then_some(sent + lease), settled)
            }
        });
        let mut outcomes = Vec::with_capacity(held.len());
        for (tag, until, settled) in join_all(extended).await {
            if let (Some(open), Some(until)) = (self.open.get_mut(&tag), until) {
                open.until = until;
            }
            outcomes.push(settled);
        }
        outcomes
    }

    /// Releases deliveries in this order.
    pub(crate) async fn release_all(&self, handles: Vec<Bytes>, until: Instant) -> Drained {
        let connection = &self.connection;
        let releases = handles.iter().map(|handle| async move {
            let released = send(connection, handle, Bytes::from_static(b"-NAK"));
            timeout_at(until, released).await.unwrap_or_else(|_| Settled::Failed(timed_out(connection)))
        });
        let mut drained = Drained::default();
        for settled in join_all(releases).await {
            match settled {
                Settled::Failed(error) => drained.error = Some(error),
                settled if settled.is_done() => drained.released += 1,
                _ => {}
            }
        }
        drained
    }
}

fn timed_out(connection: &Connection) -> BrokerError {
    BrokerError::TimedOut { operation: OPERATION, limit: connection.options.call_timeout }
}

/// Sends a settlement and waits for the server's confirmation. Without a subscriber the consumer is gone.
async fn send(connection: &Connection, handle: &Bytes, body: Bytes) -> Settled {
    let subject = String::from_utf8_lossy(handle).into_owned();
    match connection.request(OPERATION, subject, None, body).await {
        Ok(_) => Settled::Confirmed,
        Err(CallError::NoResponders) => Settled::Stale,
        Err(CallError::NotSent(error) | CallError::Unknown(error)) => Settled::Failed(error),
    }
}

/// The body of the request that settles a delivery.
fn body(settle: Settle) -> Bytes {
    match settle {
        Settle::Ack => Bytes::from_static(b"+ACK"),
        Settle::Release => Bytes::from_static(b"-NAK"),
        Settle::Retry { after } if after.is_zero() => Bytes::from_static(b"-NAK"),
        Settle::Retry { after } => format!("-NAK {{\"delay\":{}}}", nanoseconds(after)).into(),
        Settle::Reject(rejection) => {
            // The reason is for the server's advisory, which has one line.
            let reason: String = rejection.reason.chars().filter(|c| !c.is_control()).take(200).collect();
            format!("+TERM {reason}").into()
        }
    }
}
