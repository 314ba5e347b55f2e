//! The stream of messages of a subscription, and the task that reads it.

use std::time::Duration;

use futures_util::FutureExt;
use google_cloud_pubsub::Error;
use google_cloud_pubsub::client::Subscriber;
use google_cloud_pubsub::model::Message as Native;
use google_cloud_pubsub::subscriber::handler::Handler;
use google_cloud_pubsub::subscriber::{MessageStream, ShutdownToken};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::capabilities::{LEASE, MAX_LEASE};
use crate::connection::Connection;
use crate::tries::Tries;

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
    /// The streams that it has read.
    reading: JoinHandle<Vec<ShutdownToken>>,
}

impl Intake {
    pub(crate) fn open(connection: &Connection, subscription: &str) -> Self {
        let source = Source {
            subscriber: connection.subscriber.clone(),
            subscription: subscription.to_owned(),
            outstanding: connection.options.outstanding,
        };
        let (sender, arrivals) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let closed = connection.closed();
        let reading = tokio::spawn(async move {
            let tries = Tries::new();
            tries.of(read(&source, &tries, sender, stopped, closed)).await
        });
        Self { arrivals, stop, reading }
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
        let written = async {
            for stream in self.reading.await.unwrap_or_default() {
                stream.shutdown().await;
            }
        };
        ended && timeout_at(until, written).await.is_ok()
    }
}

/// Where streams come from.
struct Source {
    subscriber: Subscriber,
    subscription: String,
    outstanding: u16,
}

impl Source {
    fn open(&self) -> MessageStream {
        self.subscriber
            .subscribe(&self.subscription)
            .set_max_lease_extension(LEASE)
            .set_max_lease(MAX_LEASE)
            .set_max_outstanding_messages(self.outstanding)
            .build()
    }
}

/// Reads streams, and ends the last one before its channel. Returns all of them.
async fn read(
    source: &Source,
    tries: &Tries,
    sender: mpsc::UnboundedSender<Result<Arrival, Error>>,
    mut stopped: watch::Receiver<bool>,
    mut closed: watch::Receiver<bool>,
) -> Vec<ShutdownToken> {
    let mut streams: Vec<ShutdownToken> = Vec::new();
    let stop = async {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => {}
            _ = closed.wait_for(|closed| *closed) => {}
        }
    };
    tokio::pin!(stop);
    loop {
        // Streams that are over, and of which no message is in hand.
        streams.retain(|stream| stream.shutdown().now_or_never().is_none());
        let mut stream = source.open();
        streams.push(stream.shutdown_token());
        tries.reset();
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = forward(&mut stream, tries, &sender) => break,
            // The reading of the stream was asked first, and waits: so the stream holds no message. Messages in hand keep
            // their leases: those are kept by their own stream, also when it is over.
            () = tries.stalled() => {}
        }
    }
    // After the last stream.
    drop(sender);
    streams
}

/// Forwards messages until the stream fails.
async fn forward(stream: &mut MessageStream, tries: &Tries, sender: &mpsc::UnboundedSender<Result<Arrival, Error>>) {
    while let Some(arrival) = stream.next().await {
        tries.reset();
        let arrival = arrival.map(|(message, handler)| Arrival { at: Instant::now(), message, handler });
        let failed = arrival.is_err();
        if sender.send(arrival).is_err() || failed {
            return;
        }
    }
}
