//! When the client library tries to open a stream. It tries again in silence, after pauses that grow to a minute, and takes
//! no other pauses. But it asks for credentials before each try.

use std::sync::Arc;
use std::time::Duration;

use google_cloud_auth::credentials::{CacheableResource, Credentials, CredentialsProvider};
use google_cloud_auth::errors::CredentialsError;
use http::{Extensions, HeaderMap};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// So long after the last of several tries a new stream begins, which tries at once.
const PAUSE: Duration = Duration::from_secs(2);

tokio::task_local! {
    /// The tries of the stream that the task reads.
    static TRIES: Tries;
}

/// How often a stream was tried to be opened since it was last heard, and the last time.
#[derive(Clone)]
pub(crate) struct Tries(Arc<watch::Sender<(u32, Instant)>>);

impl Tries {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new((0, Instant::now()))))
    }

    /// Counts the tries of the stream that this future reads. The tasks of the client library that acknowledge messages and
    /// extend leases are others, and do not count.
    pub(crate) async fn of<T>(&self, reading: impl Future<Output = T>) -> T {
        TRIES.scope(self.clone(), reading).await
    }

    /// The stream is a new one, or was heard.
    pub(crate) fn reset(&self) {
        self.0.send_if_modified(|(count, _)| std::mem::take(count) > 0);
    }

    fn count(&self) {
        self.0.send_modify(|(count, last)| (*count, *last) = (count.saturating_add(1), Instant::now()));
    }

    /// Waits until a try has failed, and no other one has begun for the pause. The last one may also have succeeded: the client
    /// library shows that by the first message only.
    pub(crate) async fn stalled(&self) {
        let mut tries = self.0.subscribe();
        loop {
            let (count, last) = *tries.borrow_and_update();
            if count < 2 {
                // The sender is this value's.
                let _ = tries.changed().await;
            } else if timeout_at(last + PAUSE, tries.changed()).await.is_err() {
                return;
            }
        }
    }
}

/// Credentials that count tries.
#[derive(Debug)]
struct Watched(Credentials);

impl CredentialsProvider for Watched {
    async fn headers(&self, extensions: Extensions) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        // Other calls have no tries.
        let _ = TRIES.try_with(Tries::count);
        self.0.headers(extensions).await
    }

    async fn universe_domain(&self) -> Option<String> {
        self.0.universe_domain().await
    }
}

/// The same credentials, which count tries.
pub(crate) fn watched(credentials: Credentials) -> Credentials {
    Watched(credentials).into()
}
