//! Groups that expire. The server removes no queue by itself: a consumer tags the queue from time to time, and a service
//! that declares a group of the same topic removes the queues with old tags.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use recount_messaging::{Binding, BrokerError};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::connection::Connection;
use crate::ensure::{self, OPERATION, Tags};
use crate::names;

/// The tag of a queue with the time after which it expires, in milliseconds.
pub(crate) const EXPIRES_AFTER: &str = "recount-expires-after";
/// The tag of a queue with the time of its last use, in milliseconds since 1970.
const USED: &str = "recount-used";
/// How far the clocks of programs may differ, and a tag may come too late.
const GRACE: Duration = Duration::from_secs(10);
/// The least time between two tags: AWS takes few requests for tags in a second.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn milliseconds(tags: &Tags, name: &str) -> Option<Duration> {
    tags.get(name).and_then(|text| text.parse().ok()).map(Duration::from_millis)
}

/// The tags of a queue of a group that expires.
pub(crate) fn tags(expires_after: Duration) -> [(String, String); 2] {
    [
        (EXPIRES_AFTER.to_owned(), expires_after.as_millis().to_string()),
        (USED.to_owned(), now().as_millis().to_string()),
    ]
}

/// Whether a queue was not used for its time.
pub(crate) fn has_expired(tags: &Tags) -> bool {
    match (milliseconds(tags, EXPIRES_AFTER), milliseconds(tags, USED)) {
        (Some(time), Some(used)) => used.saturating_add(time).saturating_add(GRACE) < now(),
        _ => false,
    }
}

/// Makes a queue that has expired one of a new group: its messages are gone.
pub(crate) async fn revive(connection: &Connection, url: &str) -> Result<(), BrokerError> {
    let failed = |error: crate::error::CallError| error.about(OPERATION, url);
    connection.call(connection.sqs.purge_queue().queue_url(url).send()).await.map_err(failed)?;
    ensure::tag(connection, url, USED, &now().as_millis().to_string()).await.map_err(failed)
}

/// The task that tags the queue of a consumer again and again. It ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct Heartbeat(JoinHandle<()>);

impl Heartbeat {
    /// `None` for groups that do not expire.
    pub(crate) fn start(connection: &Arc<Connection>, binding: &Binding, url: &Arc<str>) -> Option<Self> {
        let pause = (binding.expires_after? / 3).max(LEAST_PAUSE);
        let (connection, url) = (Arc::clone(connection), Arc::clone(url));
        // A task: a consumer that handles a message for long makes no calls meanwhile.
        Some(Self(tokio::spawn(async move {
            loop {
                if let Err(error) = ensure::tag(&connection, &url, USED, &now().as_millis().to_string()).await {
                    tracing::debug!(?error, url = &*url, "the queue can't be tagged as used");
                }
                sleep(pause).await;
            }
        })))
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Removes the queues that have expired, of the topics of bindings that expire. A failure leaves them for the next time.
pub(crate) async fn sweep(connection: &Connection, bindings: &[Binding]) {
    for binding in bindings.iter().filter(|binding| binding.expires_after.is_some()) {
        let request = connection.sqs.list_queues().queue_name_prefix(names::queues(&binding.topic));
        let urls = match connection.call(request.send()).await {
            Ok(answer) => answer.queue_urls.unwrap_or_default(),
            Err(error) => {
                tracing::debug!(?error, topic = %binding.topic, "the queues of a topic can't be listed");
                continue;
            }
        };
        for url in urls.iter().filter(|url| names::is_of_group(url)) {
            let Ok(tags) = ensure::tags(connection, url).await else { continue };
            if has_expired(&tags) {
                tracing::info!(url, "the queue of a group that was not used is removed");
                if let Err(error) = ensure::remove(connection, url, &tags).await {
                    tracing::debug!(?error, url, "the queue can't be removed");
                }
            }
        }
    }
}
