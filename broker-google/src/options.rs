//! How to reach the service, and the settings of new subscriptions.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use recount_core::redacted;
use recount_messaging::{BrokerError, MAX_CALL_TIMEOUT};

use crate::{GoogleBroker, address};

/// How long a request may take unless set. A request within a region takes some 30 milliseconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a new subscription keeps messages unless set: the default of the service.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How many messages of a subscription are out at once, at most, unless set.
const OUTSTANDING: u16 = 1000;

/// How to reach Pub/Sub, and the settings of subscriptions that [`ensure`](recount_messaging::Broker::ensure) declares.
/// [`GoogleBroker::options`] makes one from an address.
#[derive(Clone)]
pub struct GoogleOptions {
    pub(crate) project: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) admin: Option<String>,
    /// The name of the file. Its content is a secret, and is not kept.
    pub(crate) credentials: Option<PathBuf>,
    pub(crate) retention: Duration,
    pub(crate) outstanding: u16,
    pub(crate) call_timeout: Duration,
}

impl GoogleOptions {
    pub(crate) fn new(url: &str) -> Result<Self, BrokerError> {
        let options = Self {
            project: String::new(),
            endpoint: None,
            admin: None,
            credentials: None,
            retention: RETENTION,
            outstanding: OUTSTANDING,
            call_timeout: CALL_TIMEOUT,
        };
        address::read(url, options)
    }

    /// Connects.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`] or [`BrokerError::TimedOut`] if the service does not answer,
    /// [`BrokerError::NotAllowed`] if it refuses the credentials, [`BrokerError::Invalid`] if the file of the credentials
    /// can't be used, or its credentials would be sent without encryption, and if an endpoint is none.
    pub async fn connect(self) -> Result<GoogleBroker, BrokerError> {
        GoogleBroker::open(self).await
    }

    /// Sets where messages are published and pulled, over gRPC: a regional endpoint such as
    /// `https://europe-west1-pubsub.googleapis.com`, or a server for tests. Publishers of one key must use the same region.
    /// Without `https://` those of the environment are not sent, and a file with credentials is refused.
    #[must_use]
    pub fn endpoint(self, endpoint: impl Into<String>) -> Self {
        Self { endpoint: Some(endpoint.into()), ..self }
    }

    /// Sets where topics and subscriptions are managed, over HTTP, if that is not the [endpoint](Self::endpoint), which must
    /// be set then. The same holds for its credentials.
    #[must_use]
    pub fn admin_endpoint(self, endpoint: impl Into<String>) -> Self {
        Self { admin: Some(endpoint.into()), ..self }
    }

    /// Uses the key of a service account in this JSON file. Unless set, the [Application Default
    /// Credentials](https://cloud.google.com/docs/authentication#adc) are used.
    #[must_use]
    pub fn credentials(self, file: impl Into<PathBuf>) -> Self {
        Self { credentials: Some(file.into()), ..self }
    }

    /// Sets how long a new subscription keeps unacknowledged messages: 7 days unless set. Then they are gone. Less
    /// than 10 minutes counts as 10 minutes, more than 31 days as 31 days.
    #[must_use]
    pub fn retention(self, retention: Duration) -> Self {
        Self { retention, ..self }
    }

    /// Sets how many messages of a subscription are out at once, at most: they are fetched ahead. 1,000 unless set.
    #[must_use]
    pub fn outstanding(self, messages: u16) -> Self {
        Self { outstanding: messages.max(1), ..self }
    }

    /// Sets how long a request may take, an hour at most. 10 seconds unless set.
    #[must_use]
    pub fn call_timeout(self, call_timeout: Duration) -> Self {
        Self { call_timeout: call_timeout.min(MAX_CALL_TIMEOUT), ..self }
    }
}

impl fmt::Debug for GoogleOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoogleOptions")
            .field("project", &self.project)
            .field("endpoint", &self.endpoint.as_deref().map(redacted))
            .field("admin", &self.admin.as_deref().map(redacted))
            .field("credentials", &self.credentials)
            .field("retention", &self.retention)
            .field("outstanding", &self.outstanding)
            .field("call_timeout", &self.call_timeout)
            .finish()
    }
}
