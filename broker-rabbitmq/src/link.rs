//! One connection to the server.

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_compat::Compat;
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties};
use recount_messaging::BrokerError;
use tokio::time::{Instant, timeout, timeout_at};

use crate::RabbitOptions;
use crate::error::{bounded, lost, meaning};

/// One connection. Dropping it cuts the connection, which ends every call on it; the server then returns the
/// unacknowledged messages.
///
/// The driver's own close waits for an answer without limit, with heartbeats switched off, and so does dropping the
/// driver's connection. A frozen server would keep its thread and socket for ever.
pub(crate) struct Link {
    /// Declared before the connection: it is cut first.
    socket: Socket,
    connection: Connection,
    limit: Duration,
}

/// A second handle of a connection's socket.
#[derive(Clone, Default)]
struct Socket(Arc<OnceLock<TcpStream>>);

impl Socket {
    fn cut(&self) {
        if let Some(socket) = self.0.get() {
            // Fails if the server has cut it before.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Cuts the connection when dropped.
struct CutOnDrop(Option<Socket>);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            socket.cut();
        }
    }
}

impl Link {
    /// Connects within the time of a call. `role` is shown by the server's tools.
    pub(crate) async fn open(options: &RabbitOptions, role: &str) -> Result<Self, BrokerError> {
        const OPERATION: &str = "connecting";
        let limit = options.call_timeout;
        let socket = Socket::default();
        // Also if this future is dropped.
        let mut guard = CutOnDrop(Some(socket.clone()));
        let (tls, for_driver) = (options.tls.clone(), socket.clone());
        let runtime = lapin::runtime::default_runtime().map_err(|error| meaning(OPERATION, error))?;
        let connect = Connection::connector(
            options.uri.clone(),
            runtime,
            async move |uri, _| {
                let place = (uri.authority.host.as_str(), uri.authority.port);
                let connecting = timeout(limit, tokio::net::TcpStream::connect(place)).await;
                let stream = connecting.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
                stream.set_nodelay(true)?;
                let stream = stream.into_std()?;
                let _ = for_driver.0.set(stream.try_clone()?);
                let stream = AsyncTcpStream::Plain(Compat::new(tokio::net::TcpStream::from_std(stream)?));
                match uri.scheme {
                    lapin::uri::AMQPScheme::AMQP => Ok(stream),
                    lapin::uri::AMQPScheme::AMQPS => Ok(stream.into_tls(&uri.authority.host, tls.as_ref()).await?),
                }
            },
            ConnectionProperties::default().with_connection_name(format!("recount {role}").into()),
        );
        let connection = bounded(OPERATION, limit, connect).await?;
        guard.0 = None;
        Ok(Self { socket, connection, limit })
    }

    /// Cuts the connection: every call on it ends at once.
    pub(crate) fn cut(&self) {
        self.socket.cut();
    }

    pub(crate) fn is_up(&self) -> bool {
        self.connection.status().connected()
    }

    /// Whether the server does not read from this connection, because it is short of memory or disk space.
    pub(crate) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// The greatest frame, in bytes.
    pub(crate) fn frame_max(&self) -> usize {
        usize::try_from(self.connection.configuration().frame_max()).unwrap_or(usize::MAX)
    }

    pub(crate) async fn channel(&self) -> Result<Channel, BrokerError> {
        if !self.is_up() {
            return Err(lost("opening a channel"));
        }
        bounded("opening a channel", self.limit, self.connection.create_channel()).await
    }

    /// Closes the connection in order until this moment, if the server answers.
    pub(crate) async fn close(&self, until: Instant) {
        let until = until.min(Instant::now() + self.limit);
        let _ = timeout_at(until, self.connection.close(200, "closed".into())).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
    }
}
