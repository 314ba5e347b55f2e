//! The connection that listens for notifications of other instances.

use std::convert::Infallible;
use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{Acquire, PgPool};
use tokio::time::timeout;

use crate::database::Database;
use crate::push::Wake;
use crate::{patience, resolve};

/// Before listening is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The text after the name of an instance that begins to listen.
const HELLO: &str = " begins to listen";

/// Listens for notifications of other instances; a connection that breaks off or falls silent is made anew.
///
/// An instance that begins to listen announces it, and the instances that hear it answer as if they had appended. Then
/// both sides know that they are not alone, and look for earlier appends.
pub(crate) async fn listen(database: Database, wake: Wake, id: String) {
    loop {
        let Err(error) = hear(&database, &wake, &id).await;
        tracing::warn!(%error, "notifications by other processes are missed");
        tokio::time::sleep(RETRY).await;
    }
}

/// Listens until the connection fails. It need not say anything for long, so it is asked from time to time whether it still lives.
async fn hear(database: &Database, wake: &Wake, id: &str) -> Result<Infallible, sqlx::Error> {
    let patience = database.patience();
    let starting = timeout(patience, start(database, id));
    let (mut listener, process) = starting.await.unwrap_or_else(|_| Err(patience::silence()))?;
    // Appends before this moment were not announced to this connection.
    wake.look();
    loop {
        match timeout(patience / 2, listener.try_recv()).await {
            Ok(Ok(Some(notification))) if notification.payload().starts_with(id) => {}
            Ok(Ok(Some(notification))) => wake.heard_of_others(notification.payload().ends_with(HELLO)),
            Ok(Ok(None)) => return Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let connection = (&mut listener).acquire().await?;
                if !patience::answers(connection, patience).await {
                    drop(listener);
                    // The server process behind the dead connection may still run, so it is ended.
                    let _ = timeout(patience, resolve::end(database, process)).await;
                    return Err(patience::silence());
                }
            }
        }
    }
}

/// A listener with a connection beside those of the pool, and its process.
async fn start(database: &Database, id: &str) -> Result<(PgListener, crate::patience::Process), sqlx::Error> {
    // A listener wants a pool to take from and to give back to in the end, which a silent one never comes to.
    let options = database.pool.options().clone().max_connections(1);
    let pool: PgPool = options.connect_lazy_with(database.pool.connect_options().as_ref().clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(&database.schema.channel()).await?;
    let connection = (&mut listener).acquire().await?;
    let process = patience::process(connection).await?;
    let hello =
        sqlx::query(include_str!("sql/notify.sql")).bind(database.schema.channel()).bind(format!("{id}{HELLO}"));
    hello.execute(connection).await?;
    Ok((listener, process))
}
