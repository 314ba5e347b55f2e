//! A proxy before a server, which cuts connections to order.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// Forwards connections to a server, until they are cut.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    connections: Arc<Mutex<JoinSet<()>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before `HOST:PORT`, on a port of 127.0.0.1.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn before(server: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let connections: Arc<Mutex<JoinSet<()>>> = Arc::default();
        let (of_task, server) = (Arc::clone(&connections), server.to_owned());
        let accepting = tokio::spawn(async move {
            loop {
                let mut client = accept(&listener).await;
                let server = server.clone();
                of_task.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Ok(Self { port, connections, accepting })
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection. New ones are forwarded.
    pub fn cut(&self) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The next connection of a listener. A failure to accept one ends no proxy: it is of that connection alone, or for want of
/// handles, which other connections will free.
pub async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((client, _)) => return client,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}
