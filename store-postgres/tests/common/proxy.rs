//! A network that loses what the server says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use recount_servers::Postgres;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Between store and server: passes on what both say, until the server's answers vanish.
pub struct Proxy {
    pub port: u16,
    /// What the server says vanishes, on connections that were there before.
    pub silent: Arc<AtomicBool>,
    /// On new ones, too.
    pub dead: Arc<AtomicBool>,
}

impl Proxy {
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (silent, dead) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (hush, end) = (silent.clone(), dead.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let [(mut from_client, mut to_client), (mut from_server, mut to_server)] =
                    [client.into_split(), server.into_split()];
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                // One that is made in the silence is heard, unless all is dead.
                let (hush, end, before) = (hush.clone(), end.clone(), !hush.load(Ordering::SeqCst));
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65536];
                    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                        let lost = end.load(Ordering::SeqCst) || before && hush.load(Ordering::SeqCst);
                        if !lost && to_client.write_all(&buffer[..count]).await.is_err() {
                            break;
                        }
                    }
                    // As with a cable that was cut, the other side is told nothing.
                    if end.load(Ordering::SeqCst) || before && hush.load(Ordering::SeqCst) {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { port, silent, dead }
    }
}

/// The port and the URL through the proxy, for a server of the tests or of this test.
pub async fn behind_a_proxy(server: &Postgres) -> (Proxy, String) {
    let proxy = Proxy::start(server.port()).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port);
    (proxy, url)
}
