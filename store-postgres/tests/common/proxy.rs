//! A network that loses what the server says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use recount_servers::Postgres;
use recount_testing::broker::accept;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Between store and server: passes on what both say, until the server's answers vanish.
pub struct Proxy {
    pub port: u16,
    /// What the server says vanishes, on connections that were there before.
    pub silent: Arc<AtomicBool>,
    /// On new ones, too.
    pub dead: Arc<AtomicBool>,
    /// A text that the store is about to say.
    swallowed: Arc<Mutex<Option<&'static str>>>,
}

impl Proxy {
    /// The next message to the server with this text vanishes, and all that follows it on its connection.
    pub fn swallow(&self, text: &'static str) {
        *self.swallowed.lock().unwrap() = Some(text);
    }

    pub fn has_swallowed(&self) -> bool {
        self.swallowed.lock().unwrap().is_none()
    }

    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (silent, dead) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (hush, end) = (silent.clone(), dead.clone());
        let swallowed = Arc::<Mutex<Option<&'static str>>>::default();
        let swallows = swallowed.clone();
        tokio::spawn(async move {
            loop {
                let client = accept(&listener).await;
                let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let [(mut from_client, mut to_client), (mut from_server, mut to_server)] =
                    [client.into_split(), server.into_split()];
                let swallows = swallows.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65536];
                    while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                        let said = &buffer[..count];
                        let is_said = |text: &mut &str| said.windows(text.len()).any(|part| part == text.as_bytes());
                        if swallows.lock().unwrap().take_if(is_said).is_some() {
                            std::future::pending::<()>().await;
                        }
                        if to_server.write_all(said).await.is_err() {
                            break;
                        }
                    }
                });
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
        Self { port, silent, dead, swallowed }
    }
}

/// The port and the URL through the proxy, for a server of the tests or of this test.
pub async fn behind_a_proxy(server: &Postgres) -> (Proxy, String) {
    let proxy = Proxy::start(server.port()).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port);
    (proxy, url)
}
