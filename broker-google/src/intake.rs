//! The stream of messages of a subscription, and the task that reads it.

use std::time::Duration;

use google_cloud_pubsub::Error;
use google_cloud_pubsub::model::Message as Native;
use google_cloud_pubsub::subscriber::handler::Handler;
use google_cloud_pubsub::subscriber::{MessageStream, ShutdownToken};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use crate::capabilities::{LEASE, MAX_LEASE};
use crate::connection::Connection;

/// A message that came. The service gives it to another consumer once its handler is dropped.
pub(crate) struct Arrival {
    /// When it came. The client library extends its lease from then on.
    pub(crate) at: Instant,
    pub(crate) message: Native,
    pub(crate) handler: Handler,
}

/// A stream, and the task that reads it without a pause: a message that the client library has received and not handed out
/// can't be given back. The setting of outstanding messages bounds how much it holds.
pub(crate) struct Intake {
    arrivals: mpsc::UnboundedReceiver<Result<Arrival, Error>>,
    stop: watch::Sender<bool>,
    ended: ShutdownToken,
}

impl Intake {
    pub(crate) fn open(connection: &Connection, subscription: &str) -> Self {
        let stream = connection
            .subscriber
            .subscribe(subscription)
            .set_max_lease_extension(LEASE)
            .set_max_lease(MAX_LEASE)
            .set_max_outstanding_messages(connection.options.outstanding)
            .build();
        let (sender, arrivals) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let ended = stream.shutdown_token();
        tokio::spawn(read(stream, sender, stopped, connection.closed()));
        Self { arrivals, stop, ended }
    }

    /// Waits for a message; `None` if the connection is closed. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Result<Arrival, Error>> {
        self.arrivals.recv().await
    }

    /// A message that is there.
    pub(crate) fn try_next(&mut self) -> Option<Result<Arrival, Error>> {
        self.arrivals.try_recv().ok()
    }

    /// Ends the stream, gives back all messages, new and held, and waits until all settlements are
    /// written. Returns whether they are.
    ///
    /// The stream ends first: otherwise the service could give a message back to it.
    pub(crate) async fn end(mut self, held: Vec<Handler>, within: Duration) -> bool {
        let until = recount_messaging::deadline_after(within);
        self.stop.send_replace(true);
        let mut rest = Vec::new();
        let came = async {
            while let Some(arrival) = self.arrivals.recv().await {
                rest.push(arrival);
            }
        };
        let ended = timeout_at(until, came).await.is_ok();
        // A dropped handler gives its message back.
        drop((rest, held));
        ended && timeout_at(until, self.ended.shutdown()).await.is_ok()
    }
}

/// Reads a stream, and ends it before its channel.
async fn read(
    mut stream: MessageStream,
    sender: mpsc::UnboundedSender<Result<Arrival, Error>>,
    stopped: watch::Receiver<bool>,
    closed: watch::Receiver<bool>,
) {
    forward(&mut stream, &sender, stopped, closed).await;
    drop(stream);
    drop(sender);
}

/// Forwards messages until the stream fails, or is told to stop: also by the end of its consumer.
async fn forward(
    stream: &mut MessageStream,
    sender: &mpsc::UnboundedSender<Result<Arrival, Error>>,
    mut stopped: watch::Receiver<bool>,
    mut closed: watch::Receiver<bool>,
) {
    let stop = async {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => {}
            _ = closed.wait_for(|closed| *closed) => {}
        }
    };
    tokio::pin!(stop);
    loop {
        let arrival = tokio::select! {
            biased;
            () = &mut stop => return,
            arrival = stream.next() => arrival,
        };
        let Some(arrival) = arrival else { return };
        let arrival = arrival.map(|(message, handler)| Arrival { at: Instant::now(), message, handler });
        let failed = arrival.is_err();
        if sender.send(arrival).is_err() || failed {
            return;
        }
    }
}
