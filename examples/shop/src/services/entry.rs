//! The entry of the order service: it takes orders over TCP on the loopback address, a JSON object a line.
//!
//! An order is accepted when the answer says that it is recorded. A submission that is repeated with its key has the first
//! outcome.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use recount::messaging::ServiceGateway;
use recount::{Command, DispatchError, IdempotencyKey, KeyOutcome, Recount};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::inventory::ReserveStock;
use crate::notification::{News, TellCustomer};
use crate::order::PlaceOrder;
use crate::payment::CapturePayment;
use crate::values::warehouse_of;

/// The longest line.
const LINE: u64 = 64 * 1024;
/// How many orders of a connection are under way at most.
const AT_ONCE: usize = 256;
/// How long a request to another service may take.
const REQUEST: Duration = Duration::from_secs(10);
/// How long the orders under way have when the service ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// An order to be placed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The number of the submission on its connection.
    pub id: u64,
    /// Names the order: repeated submissions with it count once.
    pub key: String,
    /// The command [`PlaceOrder`].
    pub order: Box<RawValue>,
}

/// The answer to a submission.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    pub id: u64,
    #[serde(flatten)]
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Verdict {
    /// It is accepted.
    Recorded,
    /// It is no order.
    Refused { reason: String },
    /// It may be accepted when it is submitted again.
    Failed { reason: String },
}

/// Places orders.
pub struct Desk {
    pub recount: Recount,
    /// The way to the services that fulfil an order before it is accepted, if that is so.
    pub fulfilling: Option<ServiceGateway>,
}

/// The listener and its connections.
pub struct Entry {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    connections: tokio::task::JoinHandle<()>,
}

impl Entry {
    /// Listens on a free port.
    pub async fn open(desk: Desk) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("can't listen for orders on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let connections = tokio::spawn(listen(listener, Arc::new(desk), stopped));
        Ok(Self { address, stop, connections })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers the orders under way, and takes no more.
    pub async fn close(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(PATIENCE, &mut self.connections).await.is_err() {
            self.connections.abort();
        }
    }
}

async fn listen(listener: TcpListener, desk: Arc<Desk>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&desk), stopped.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "can't take a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves a connection until its client closes it or sends a line that is no submission.
async fn serve(stream: TcpStream, desk: Arc<Desk>, mut stopped: watch::Receiver<bool>) {
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let mut reader = BufReader::new(read);
    let (answers, answered) = mpsc::channel(AT_ONCE);
    let writing = tokio::spawn(write_answers(write, answered));
    let mut placing = JoinSet::new();
    let mut line = Vec::new();
    loop {
        while placing.len() >= AT_ONCE {
            placing.join_next().await;
        }
        let read = tokio::select! {
            _ = stopped.changed() => break,
            read = read_line(&mut reader, &mut line) => read,
        };
        match read {
            Ok(Some(submission)) => {
                let (desk, answers) = (Arc::clone(&desk), answers.clone());
                placing.spawn(async move {
                    let span = tracing::info_span!("submit order", otel.kind = "server");
                    let (id, verdict) = (submission.id, desk.place(submission).instrument(span).await);
                    // The client may be gone. It asks again.
                    let _ = answers.send(Answer { id, verdict }).await;
                });
            }
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "a connection ends");
                break;
            }
        }
        while placing.try_join_next().is_some() {}
    }
    while placing.join_next().await.is_some() {}
    drop(answers);
    let _ = writing.await;
}

/// The next submission. It is cancel-safe: the part of a line that was read stays in `line`.
async fn read_line(
    reader: &mut BufReader<tokio::net::tcp::OwnedReadHalf>,
    line: &mut Vec<u8>,
) -> Result<Option<Submission>> {
    let rest = LINE.saturating_sub(line.len() as u64);
    reader.take(rest).read_until(b'\n', line).await?;
    if line.last() != Some(&b'\n') {
        anyhow::ensure!((line.len() as u64) < LINE, "a line is longer than {LINE} bytes");
        return Ok(None);
    }
    let submission = serde_json::from_slice(line).context("a line is no submission")?;
    line.clear();
    Ok(Some(submission))
}

async fn write_answers(mut write: OwnedWriteHalf, mut answers: mpsc::Receiver<Answer>) {
    while let Some(answer) = answers.recv().await {
        let Ok(mut line) = serde_json::to_vec(&answer) else { continue };
        line.push(b'\n');
        if write.write_all(&line).await.is_err() {
            // The client is gone. The orders under way are placed all the same.
            while answers.recv().await.is_some() {}
        }
    }
}

impl Desk {
    async fn place(&self, submission: Submission) -> Verdict {
        let order = match PlaceOrder::from_json(submission.order.get().as_bytes()) {
            Ok(order) => order,
            Err(error) => return Verdict::Refused { reason: error.to_string() },
        };
        let key = match IdempotencyKey::new(format!("entry/{}", submission.key)) {
            Ok(key) => key,
            Err(error) => return Verdict::Refused { reason: error.to_string() },
        };
        match self.recount.dispatch(order.clone()).idempotency_key(key).await {
            Ok(_) | Err(DispatchError::AlreadyExists { .. }) => {}
            Err(DispatchError::Rejected(error)) => return Verdict::Refused { reason: error.to_string() },
            Err(error) => return Verdict::Failed { reason: format!("{:#}", anyhow::Error::from(error)) },
        }
        let Some(gateway) = &self.fulfilling else { return Verdict::Recorded };
        match fulfil(gateway, order).await {
            Ok(verdict) => verdict,
            Err(error) => Verdict::Failed { reason: format!("{error:#}") },
        }
    }
}

/// Fulfils an order by requests, each after the answer to the one before it.
async fn fulfil(gateway: &ServiceGateway, placed: PlaceOrder) -> Result<Verdict> {
    let PlaceOrder { order, customer, cds, total, payment, .. } = placed;
    let key = |step: &str| IdempotencyKey::new(format!("fulfil/{order}/{step}"));
    let reserve = ReserveStock { warehouse: warehouse_of(&customer), order: order.clone(), cds };
    let capture =
        CapturePayment { order: order.clone(), customer: customer.clone(), amount: total, cds, method: payment };
    let tell = TellCustomer { order: order.clone(), customer, news: News::Shipped { cds } };
    for outcome in [
        gateway.send(&reserve, &key("reserve")?, REQUEST).await?,
        gateway.send(&capture, &key("capture")?, REQUEST).await?,
        gateway.send(&tell, &key("tell")?, REQUEST).await?,
    ] {
        if let KeyOutcome::Refused(refusal) = outcome {
            return Ok(Verdict::Refused { reason: refusal.message });
        }
    }
    Ok(Verdict::Recorded)
}
