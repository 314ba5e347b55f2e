//! How to reach the servers, and the settings of new topics.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use pulsar::{Authentication, ConnectionRetryOptions, OperationRetryOptions, Pulsar, PulsarBuilder};
use recount_messaging::{BrokerError, MAX_CALL_TIMEOUT, read_certificates};

use crate::address::{self, Admin};
use crate::error::bounded;
use crate::tasks::{Client, Tasks};
use crate::{PulsarBroker, admin};

/// How long a request may take unless set.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How many messages of a lane are fetched ahead unless set.
const PREFETCH: u32 = 500;
/// The client asks the server for a sign of life so often.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// A time that does not come.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// How many messages wait for the socket at most.
const OUTBOUND: usize = 1024;
/// The greatest message unless set: 5 MiB, the default of the server, less room for the names and framing of its parts.
const MAX_MESSAGE: usize = 5 * 1024 * 1024 - 64 * 1024;

/// How to reach the servers, and the settings of topics that [`ensure`](recount_messaging::Broker::ensure) declares.
/// [`PulsarBroker::options`] makes one from a URL.
#[derive(Clone)]
pub struct PulsarOptions {
    pub(crate) host: String,
    pub(crate) tls: bool,
    pub(crate) admin: Admin,
    pub(crate) tenant: String,
    pub(crate) namespace: String,
    pub(crate) token: Option<String>,
    pub(crate) root_certificates: Option<PathBuf>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_message: Option<usize>,
    pub(crate) prefetch: u32,
    pub(crate) call_timeout: Duration,
}

impl PulsarOptions {
    pub(crate) fn new(url: &str) -> Result<Self, BrokerError> {
        let options = Self {
            host: String::new(),
            tls: false,
            admin: Admin::default(),
            tenant: "public".to_owned(),
            namespace: "default".to_owned(),
            token: None,
            root_certificates: None,
            max_age: None,
            max_message: None,
            prefetch: PREFETCH,
            call_timeout: CALL_TIMEOUT,
        };
        address::read(url, options)
    }

    /// Connects.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`] or [`BrokerError::TimedOut`] if no server answers, [`BrokerError::NotAllowed`] if it
    /// refuses the token.
    pub async fn connect(self) -> Result<PulsarBroker, BrokerError> {
        PulsarBroker::open(self).await
    }

    /// Sets the token, a JSON web token as a rule.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self }
    }

    /// Trusts the certificates of this PEM file as well as those of the usual authorities.
    #[must_use]
    pub fn root_certificates(self, file: impl Into<PathBuf>) -> Self {
        Self { root_certificates: Some(file.into()), ..self }
    }

    /// Sets the time after which a new topic forgets messages, handled or not, in steps of minutes. Never unless set.
    #[must_use]
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { max_age: Some(max_age), ..self }
    }

    /// Sets the greatest message in bytes, with key and headers. Unless set it is 5,177,344: the server takes 5 MiB with
    /// everything that it adds. For servers with another `maxMessageSize`.
    #[must_use]
    pub fn max_message(self, bytes: usize) -> Self {
        Self { max_message: Some(bytes), ..self }
    }

    /// Sets how many messages of a lane are fetched ahead: 500 unless set. After a crash so many may come again.
    /// Fewer than 4 count as 4.
    #[must_use]
    pub fn prefetch(self, messages: u32) -> Self {
        Self { prefetch: messages.max(4), ..self }
    }

    /// Sets how long a request may take, an hour at most. 5 seconds unless set. A declaration may take four times as long.
    #[must_use]
    pub fn call_timeout(self, call_timeout: Duration) -> Self {
        Self { call_timeout: call_timeout.min(MAX_CALL_TIMEOUT), ..self }
    }

    /// The greatest message, and whether it was set.
    pub(crate) fn limit(&self) -> (usize, bool) {
        (self.max_message.unwrap_or(MAX_MESSAGE), self.max_message.is_some())
    }

    /// Connects the client library anew. It gives up at the first failure: the adapter tries again, with a new client.
    ///
    /// A client is not used again after a call that has timed out: it may wait for ever.
    pub(crate) async fn client(&self, operation: &'static str, tasks: Tasks) -> Result<Client, BrokerError> {
        let limit = self.call_timeout;
        let builder = self.builder(tasks.clone()).await?;
        match bounded(operation, limit, builder.build()).await {
            Ok(pulsar) => Ok(Client { pulsar, tasks }),
            // The library does not tell a refused token from another failure. The admin interface does.
            Err(BrokerError::Unavailable { operation, source }) => {
                Err(admin::refusal(self, operation).await.unwrap_or(BrokerError::Unavailable { operation, source }))
            }
            Err(error) => Err(error),
        }
    }

    async fn builder(&self, tasks: Tasks) -> Result<PulsarBuilder<Tasks>, BrokerError> {
        let scheme = if self.tls { "pulsar+ssl" } else { "pulsar" };
        let connecting = ConnectionRetryOptions {
            max_retries: 0,
            connection_timeout: self.call_timeout,
            keep_alive: PING_INTERVAL,
            // A connection that is closed because it is not used would look like one that is lost.
            connection_max_idle: NEVER,
            ..ConnectionRetryOptions::default()
        };
        let operations = OperationRetryOptions {
            operation_timeout: self.call_timeout,
            retry_delay: Duration::from_millis(200),
            max_retries: Some(10),
        };
        let mut builder = Pulsar::builder(format!("{scheme}://{}", self.host), tasks)
            .with_connection_retry_options(connecting)
            .with_operation_retry_options(operations)
            .with_outbound_channel_size(OUTBOUND);
        if let Some(token) = &self.token {
            let (name, data) = ("token".to_owned(), token.clone().into_bytes());
            builder = builder.with_auth(Authentication { name, data });
        }
        if let Some(pem) = self.root_pem().await? {
            builder = builder.with_certificate_chain(pem);
        }
        Ok(builder)
    }

    /// The content of the file with certificates.
    pub(crate) async fn root_pem(&self) -> Result<Option<Vec<u8>>, BrokerError> {
        let Some(file) = &self.root_certificates else { return Ok(None) };
        let file = file.clone();
        let read = tokio::task::spawn_blocking(move || read_certificates(&file)).await;
        let failed =
            |error: tokio::task::JoinError| BrokerError::Failed { operation: "connecting", source: error.into() };
        read.map_err(failed)?.map(Some)
    }
}

impl fmt::Debug for PulsarOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PulsarOptions")
            .field("host", &self.host)
            .field("tls", &self.tls)
            .field("admin", &self.admin)
            .field("tenant", &self.tenant)
            .field("namespace", &self.namespace)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}
