//! A proxy before a server, with connections that break after random numbers of bytes.

use std::io;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::broker::accept;

/// Forwards connections. Some are cut in the middle of their bytes.
pub(super) struct Proxy {
    pub(super) port: u16,
    shared: Arc<Shared>,
    /// Counts the orders to cut everything.
    all: watch::Sender<u32>,
    accepting: JoinHandle<()>,
}

struct Shared {
    /// How many connections will be cut.
    left: AtomicU32,
    cut: AtomicU32,
    longest: i64,
    random: Mutex<fastrand::Rng>,
}

impl Proxy {
    /// A proxy before a port of 127.0.0.1. It cuts so many connections, each after at most so many bytes in both directions.
    pub(super) async fn before(server: u16, seed: u64, cuts: u32, longest: u32) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            left: AtomicU32::new(cuts),
            cut: AtomicU32::new(0),
            longest: longest.into(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        });
        let all = watch::Sender::new(0);
        let (of_task, orders) = (Arc::clone(&shared), all.clone());
        let accepting = tokio::spawn(async move {
            loop {
                let client = accept(&listener).await;
                tokio::spawn(forward(Arc::clone(&of_task), client, server, orders.subscribe()));
            }
        });
        Ok(Self { port, shared, all, accepting })
    }

    /// Cuts every connection, as the end of the program does that has them.
    pub(super) fn cut_all(&self) {
        self.all.send_modify(|orders| *orders += 1);
    }

    /// How many connections were cut after their number of bytes.
    pub(super) fn cuts(&self) -> u32 {
        self.shared.cut.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut_all();
    }
}

/// The bytes that a new connection may forward.
fn allowance(shared: &Shared) -> i64 {
    if shared.left.load(Ordering::Relaxed) == 0 {
        return i64::MAX;
    }
    shared.random.lock().expect("no panic holds it").i64(1..=shared.longest)
}

async fn forward(shared: Arc<Shared>, client: TcpStream, server: u16, mut orders: watch::Receiver<u32>) {
    orders.mark_unchanged();
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    // Small frames wait for nothing.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let allowance = AtomicI64::new(allowance(&shared));
    let (client, server) = (client.into_split(), server.into_split());
    let spent = tokio::select! {
        spent = copy(client.0, server.1, &allowance) => spent,
        spent = copy(server.0, client.1, &allowance) => spent,
        _ = orders.changed() => false,
    };
    if spent {
        shared.cut.fetch_add(1, Ordering::Relaxed);
        let _ = shared.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    }
}

/// Copies until an end closes, or until the bytes of the connection are spent: then true.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, allowance: &AtomicI64) -> bool {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut bytes).await else { return false };
        let length = i64::try_from(count).unwrap_or(i64::MAX);
        let before = allowance.fetch_sub(length, Ordering::Relaxed);
        let allowed = usize::try_from(before.clamp(0, length)).unwrap_or_default();
        if to.write_all(&bytes[..allowed]).await.is_err() {
            return false;
        }
        if allowed < count {
            return true;
        }
    }
}
