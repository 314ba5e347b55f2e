//! A proxy before a server of Kafka, which tells clients its own port for the server's: else they would go around it.

use std::sync::{Arc, Mutex};

use recount_testing::broker::accept;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

const HOST: &[u8] = b"127.0.0.1";

/// Forwards connections, until they are cut.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    connections: Arc<Mutex<JoinSet<()>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy that connects to this port, and replaces the announced port of the server.
    pub(crate) async fn before(target: u16, announced: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let place = |port: u16| [HOST, &u32::from(port).to_be_bytes()].concat();
        let (from, to) = (place(announced), place(port));
        let connections: Arc<Mutex<JoinSet<()>>> = Arc::default();
        let of_task = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            loop {
                let client = accept(&listener).await;
                of_task.lock().unwrap().spawn(forward(client, target, from.clone(), to.clone()));
            }
        });
        Self { port, connections, accepting }
    }

    pub(crate) fn cut(&self) {
        self.connections.lock().unwrap().abort_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(client: TcpStream, target: u16, from: Vec<u8>, to: Vec<u8>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let up = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop) };
    tokio::select! {
        _ = up => {}
        _ = forward_answers(&mut from_server, &mut to_client, &from, &to) => {}
    }
}

/// Each answer has its length before it.
async fn forward_answers(
    from_server: &mut OwnedReadHalf,
    to_client: &mut OwnedWriteHalf,
    from: &[u8],
    to: &[u8],
) -> std::io::Result<()> {
    loop {
        let length = from_server.read_u32().await?;
        let mut answer = vec![0; usize::try_from(length).unwrap()];
        from_server.read_exact(&mut answer).await?;
        replace(&mut answer, from, to);
        to_client.write_all(&[&length.to_be_bytes(), &answer[..]].concat()).await?;
    }
}

/// Replaces each occurrence by bytes of the same length.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let mut start = 0;
    while let Some(found) = bytes[start..].windows(from.len()).position(|window| window == from) {
        bytes[start + found..][..to.len()].copy_from_slice(to);
        start += found + to.len();
    }
}
