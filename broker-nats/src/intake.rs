//! The intake of a consumer: one subscription, to which the server delivers the messages of all its lanes.

use std::time::Duration;

use async_nats::{Message as Native, Subscriber};
use futures_util::StreamExt;
use recount_messaging::BrokerError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::connection::Connection;

const OPERATION: &str = "subscribing";

/// A subscription, and the task that notes when each of its messages comes: the lease runs from then on, also while the
/// consumer's caller is busy. The pull requests bound how much it holds.
pub(crate) struct Intake {
    inbox: String,
    arrivals: mpsc::UnboundedReceiver<(Instant, Native)>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Intake {
    pub(crate) async fn open(connection: &Connection) -> Result<Self, BrokerError> {
        let inbox = connection.client.new_inbox();
        let limit = connection.options.call_timeout;
        let subscriber = timeout(limit, connection.client.subscribe(format!("{inbox}.*"))).await;
        let subscriber = subscriber
            .map_err(|_| BrokerError::TimedOut { operation: OPERATION, limit })?
            .map_err(|error| BrokerError::Unavailable { operation: OPERATION, source: error.into() })?;
        let (sender, arrivals) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(forward(subscriber, sender, stopped));
        Ok(Self { inbox, arrivals, stop: Some(stop), task })
    }

    /// The subject for the messages of a lane, and for the server's answers about its pull requests.
    pub(crate) fn address(&self, lane: usize) -> String {
        format!("{}.{lane}", self.inbox)
    }

    /// The lane of an answer about a pull request.
    pub(crate) fn lane_of(&self, subject: &str) -> Option<usize> {
        subject.strip_prefix(&self.inbox)?.strip_prefix('.')?.parse().ok()
    }

    /// Waits for a message; `None` if the connection is closed. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<(Instant, Native)> {
        self.arrivals.recv().await
    }

    /// A message that is there.
    pub(crate) fn try_next(&mut self) -> Option<(Instant, Native)> {
        self.arrivals.try_recv().ok()
    }

    /// Ends the subscription, and returns the messages that had come before.
    pub(crate) async fn stop(&mut self, within: Duration) -> Vec<(Instant, Native)> {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let mut rest = Vec::new();
        let all = async {
            while let Some(arrival) = self.arrivals.recv().await {
                rest.push(arrival);
            }
        };
        // A message that has not come by then comes again when its lease has ended.
        let _ = timeout(within, all).await;
        rest
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    mut subscriber: Subscriber,
    sender: mpsc::UnboundedSender<(Instant, Native)>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped, if !stopping => {
                stopping = true;
                // The client hands out the messages that came before, then the stream ends.
                if subscriber.drain().await.is_err() {
                    return;
                }
            }
            message = subscriber.next() => {
                let Some(message) = message else { return };
                if sender.send((Instant::now(), message)).is_err() {
                    return;
                }
            }
        }
    }
}
