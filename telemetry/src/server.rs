//! A server for the endpoints, for programs that have none.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// From where the endpoints may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// From this host only: another address is refused.
    Loopback,
    /// From wherever the address can be reached. The endpoints ask for no password.
    Network,
}

/// Why an address can't be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is reachable from other hosts.
    #[error(
        "{address} can be reached from other hosts, and the endpoints ask for no password: use a loopback address such as \
         127.0.0.1:9464, or allow it by Exposure::Network"
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The address can't be listened on.
    #[error("can't listen on {address}")]
    Listen {
        /// The address as it was given.
        address: String,
        /// Why.
        source: io::Error,
    },
}

/// A running server. Dropped, it takes no more requests.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

/// Serves a router on an address such as `127.0.0.1:9464`; with port 0 the system chooses one.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(address: &str, router: Router, exposure: Exposure) -> Result<Server, ServeError> {
    let failed = |source| ServeError::Listen { address: address.to_owned(), source };
    let addresses: Vec<SocketAddr> = lookup_host(address).await.map_err(failed)?.collect();
    if let (Exposure::Loopback, Some(address)) = (exposure, addresses.iter().find(|it| !it.ip().is_loopback())) {
        return Err(ServeError::NotLoopback { address: *address });
    }
    let listener = TcpListener::bind(&*addresses).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let (stop, stopped) = oneshot::channel();
    let stopped = async move { drop(stopped.await) };
    let serving = axum::serve(listener, router).with_graceful_shutdown(stopped);
    Ok(Server { address, stop, task: tokio::spawn(serving.into_future()) })
}

impl Server {
    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and finishes those under way, for at most this long.
    pub async fn shutdown(self, timeout: Duration) {
        drop(self.stop);
        let mut task = self.task;
        if tokio::time::timeout(timeout, &mut task).await.is_err() {
            task.abort();
        }
    }
}
