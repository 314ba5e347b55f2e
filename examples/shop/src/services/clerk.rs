//! The clerk brings orders to the order service, wherever that is at present.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use recount::Command;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot, watch};

use super::entry::{Answer, Submission, Verdict};
use crate::order::PlaceOrder;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(1);

/// The outcome of a submission.
#[derive(Debug)]
pub enum Reply {
    Answered(Verdict),
    /// The order service is down, or went down before it answered.
    Down,
    /// It is up, and has not answered in time.
    Late,
}

/// Brings orders to the order service.
pub struct Clerk {
    entry: watch::Receiver<Option<SocketAddr>>,
    line: AsyncMutex<Option<Arc<Line>>>,
    number: AtomicU64,
}

/// A connection. Submissions share it.
struct Line {
    send: mpsc::UnboundedSender<Vec<u8>>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Verdict>>>,
    closed: AtomicBool,
}

impl Clerk {
    pub fn new(entry: watch::Receiver<Option<SocketAddr>>) -> Self {
        Self { entry, line: AsyncMutex::new(None), number: AtomicU64::new(0) }
    }

    /// Waits until the order service has started.
    pub async fn wait_until_up(&self) {
        // Without its sender nothing changes any more.
        let _ = self.entry.clone().wait_for(Option::is_some).await;
    }

    /// Submits an order once.
    pub async fn submit(&self, order: &PlaceOrder, within: Duration) -> Result<Reply> {
        let id = self.number.fetch_add(1, Ordering::Relaxed);
        let json = String::from_utf8(order.to_json().context("an order without JSON")?)?;
        let submission = Submission { id, key: order.order.to_string(), order: RawValue::from_string(json)? };
        let mut text = serde_json::to_vec(&submission)?;
        text.push(b'\n');
        let Some(line) = self.line().await else { return Ok(Reply::Down) };
        let (answer, answered) = oneshot::channel();
        line.waiting().insert(id, answer);
        if line.send.send(text).is_err() || line.closed.load(Ordering::Acquire) {
            line.waiting().remove(&id);
            return Ok(Reply::Down);
        }
        let reply = match tokio::time::timeout(within, answered).await {
            Ok(Ok(verdict)) => Reply::Answered(verdict),
            Ok(Err(_)) => Reply::Down,
            Err(_) => Reply::Late,
        };
        line.waiting().remove(&id);
        Ok(reply)
    }

    /// The connection, made anew if it is closed.
    async fn line(&self) -> Option<Arc<Line>> {
        let mut line = self.line.lock().await;
        if let Some(open) = line.as_ref().filter(|line| !line.closed.load(Ordering::Acquire)) {
            return Some(Arc::clone(open));
        }
        let address = (*self.entry.borrow())?;
        let stream = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await.ok()?.ok()?;
        let opened = Line::open(stream);
        *line = Some(Arc::clone(&opened));
        Some(opened)
    }
}

impl Line {
    fn open(stream: TcpStream) -> Arc<Self> {
        let _ = stream.set_nodelay(true);
        let (read, mut write) = stream.into_split();
        let (send, mut sent) = mpsc::unbounded_channel::<Vec<u8>>();
        let line = Arc::new(Self { send, waiting: Mutex::default(), closed: AtomicBool::new(false) });
        let reading = Arc::clone(&line);
        tokio::spawn(async move {
            let writing = async {
                while let Some(text) = sent.recv().await {
                    if write.write_all(&text).await.is_err() {
                        break;
                    }
                }
            };
            tokio::select! {
                () = writing => {}
                () = reading.read(read) => {}
            }
            reading.closed.store(true, Ordering::Release);
            // The waiting callers learn that no answer comes.
            reading.waiting().clear();
        });
        line
    }

    /// Hands answers to the callers that wait for them, until the connection ends.
    async fn read(&self, read: OwnedReadHalf) {
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(text)) = lines.next_line().await {
            let Ok(Answer { id, verdict }) = serde_json::from_str(&text) else { return };
            if let Some(waiting) = self.waiting().remove(&id) {
                let _ = waiting.send(verdict);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Verdict>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
