//! A proxy before a server. Its connections can be cut, and clients stay behind it.

use recount_testing::broker::accept;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Proxy {
    pub port: u16,
    cuts: watch::Sender<u32>,
}

impl Proxy {
    /// Forwards to this port of 127.0.0.1. The server tells clients its own address for each topic: the proxy writes its
    /// own port in place of the server's, which has as many digits.
    pub async fn before(to: u16, server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (told, own) = (format!("pulsar://127.0.0.1:{server}"), format!("pulsar://127.0.0.1:{port}"));
        assert_eq!(told.len(), own.len(), "ports of different lengths");
        let (cuts, cut) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                let client = accept(&listener).await;
                let (mut cut, told, own) = (cut.clone(), told.clone(), own.clone());
                cut.borrow_and_update();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    tokio::select! {
                        _ = copy(&mut from_client, &mut to_server) => {}
                        _ = rewrite(&mut from_server, &mut to_client, told.as_bytes(), own.as_bytes()) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { port, cuts }
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

/// Copies, with one text in place of another. Frames have checksums only where they hold messages, and no message of the
/// tests names the server.
async fn rewrite(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    old: &[u8],
    new: &[u8],
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let found = |(at, part): (usize, &[u8])| (part == old).then_some(at);
        let places: Vec<usize> = buffer[..count].windows(old.len()).enumerate().filter_map(found).collect();
        for at in places {
            buffer[at..at + new.len()].copy_from_slice(new);
        }
        to.write_all(&buffer[..count]).await?;
    }
}
