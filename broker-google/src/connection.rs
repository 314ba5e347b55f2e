//! The clients of a project, and calls that end in time.

use std::future::Future;
use std::time::Duration;

use google_cloud_auth::credentials::{Credentials, anonymous, service_account};
use google_cloud_gax::retry_policy::RetryPolicyExt;
use google_cloud_pubsub::Error;
use google_cloud_pubsub::client::{BasePublisher, Subscriber, SubscriptionAdmin, TopicAdmin};
use google_cloud_pubsub::error::PublishError;
use google_cloud_pubsub::model::Message as Native;
use google_cloud_pubsub::retry_policy::RetryableErrors;
use recount_core::redacted;
use recount_messaging::BrokerError;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;

use crate::error::{about, about_shared, building, is_answer, is_missing};
use crate::tries::watched;
use crate::{GoogleOptions, address};

/// The greatest number of publishes under way.
const PUBLISHES: u32 = 1 << 16;
/// How many connections carry messages. One carries about a hundred calls at once.
const CONNECTIONS: usize = 4;

/// Why a call has failed.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The service, or the client library.
    Call(Error),
    /// The call was not made, or not answered in time.
    Other(BrokerError),
}

impl CallError {
    pub(crate) fn about(self, operation: &'static str) -> BrokerError {
        match self {
            Self::Call(error) => about(operation, error),
            Self::Other(error) => error,
        }
    }
}

/// The clients of a project.
pub(crate) struct Connection {
    pub(crate) options: GoogleOptions,
    pub(crate) topics: TopicAdmin,
    pub(crate) subscriptions: SubscriptionAdmin,
    pub(crate) publisher: BasePublisher,
    pub(crate) subscriber: Subscriber,
    /// A permit for each publish under way. Closed with the connection.
    publishes: Semaphore,
    closed: watch::Sender<bool>,
}

impl Connection {
    pub(crate) async fn open(options: GoogleOptions) -> Result<Self, BrokerError> {
        address::check(&options)?;
        // The client library uses the provider of the process. If there is one, it stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (mut topics, mut subscriptions) = (TopicAdmin::builder(), SubscriptionAdmin::builder());
        let retry = RetryableErrors.with_time_limit(options.call_timeout);
        let mut publisher = BasePublisher::builder().with_retry_policy(retry).with_grpc_subchannel_count(CONNECTIONS);
        let mut subscriber = Subscriber::builder().with_grpc_subchannel_count(CONNECTIONS);
        let file = credentials(&options)?;
        let endpoint = options.endpoint.as_ref();
        let admin = options.admin.as_ref().or(endpoint);
        if let Some(admin) = admin {
            (topics, subscriptions) = (topics.with_endpoint(admin), subscriptions.with_endpoint(admin));
        }
        if let Some(endpoint) = endpoint {
            (publisher, subscriber) = (publisher.with_endpoint(endpoint), subscriber.with_endpoint(endpoint));
        }
        if let Some(credentials) = credentials_for(admin, file.as_ref())? {
            topics = topics.with_credentials(credentials.clone());
            subscriptions = subscriptions.with_credentials(credentials);
        }
        let credentials = match credentials_for(endpoint, file.as_ref())? {
            Some(credentials) => credentials,
            None => of_environment()?,
        };
        publisher = publisher.with_credentials(credentials.clone());
        subscriber = subscriber.with_credentials(watched(credentials));
        let this = Self {
            topics: topics.build().await.map_err(building)?,
            subscriptions: subscriptions.build().await.map_err(building)?,
            publisher: publisher.build().await.map_err(building)?,
            subscriber: subscriber.build().await.map_err(building)?,
            options,
            publishes: Semaphore::new(PUBLISHES as usize),
            closed: watch::Sender::new(false),
        };
        this.round_trip("connecting").await?;
        Ok(this)
    }

    /// Waits for a call, but not longer than the call timeout.
    pub(crate) async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = google_cloud_pubsub::Result<T>>,
    ) -> Result<T, CallError> {
        self.check_open().map_err(CallError::Other)?;
        let limit = self.options.call_timeout;
        match timeout(limit, call).await {
            Ok(answer) => answer.map_err(CallError::Call),
            Err(_) => Err(CallError::Other(BrokerError::TimedOut { operation, limit })),
        }
    }

    /// Asks both halves of the service, the one that manages topics and the one that carries messages, at once.
    pub(crate) async fn round_trip(&self, operation: &'static str) -> Result<(), BrokerError> {
        tokio::try_join!(self.ask_for_topics(operation), self.ask_for_messages(operation)).map(drop)
    }

    /// Asks for a topic that need not exist: any answer will do.
    async fn ask_for_topics(&self, operation: &'static str) -> Result<(), BrokerError> {
        let topic = format!("projects/{}/topics/recount-health", self.options.project);
        match self.call(operation, self.topics.get_topic().set_topic(topic).send()).await {
            Ok(_) => Ok(()),
            Err(CallError::Call(error)) if is_missing(&error) => Ok(()),
            Err(error) => Err(error.about(operation)),
        }
    }

    /// Publishes an empty message, which the service never takes, to a topic that can't be one of recount: so nothing is
    /// stored, and the refusal shows that it answers. A program that only consumes need not have the right to publish.
    async fn ask_for_messages(&self, operation: &'static str) -> Result<(), BrokerError> {
        self.check_open()?;
        let limit = self.options.call_timeout;
        let publisher = self.publisher.publisher(format!("projects/{}/topics/recount.health", self.options.project));
        let publisher = publisher.set_message_count_threshold(1_u32).build();
        match timeout(limit, publisher.publish(Native::new())).await {
            Err(_) => Err(BrokerError::TimedOut { operation, limit }),
            Ok(Err(PublishError::Rpc(error))) if !is_answer(&error) => Err(about_shared(operation, &error)),
            Ok(_) => Ok(()),
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), BrokerError> {
        if *self.closed.borrow() { Err(BrokerError::Closed) } else { Ok(()) }
    }

    /// Becomes true when the connection is closed.
    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Registers a publish, which closing waits for.
    pub(crate) async fn publishing(&self) -> Result<SemaphorePermit<'_>, BrokerError> {
        self.publishes.acquire().await.map_err(|_| BrokerError::Closed)
    }

    /// Waits for the publishes under way, at most this long, and ends everything else.
    pub(crate) async fn close(&self, within: Duration) {
        let _ = timeout(within, self.publishes.acquire_many(PUBLISHES)).await;
        self.publishes.close();
        self.closed.send_replace(true);
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The credentials for the clients of an address, of which `None` is Google's. `None`: those of the environment.
///
/// # Errors
/// [`BrokerError::Invalid`] if the credentials of a file would be sent without encryption.
fn credentials_for(address: Option<&String>, file: Option<&Credentials>) -> Result<Option<Credentials>, BrokerError> {
    match (address, file) {
        (Some(address), Some(_)) if !address.starts_with("https://") => Err(BrokerError::Invalid {
            kind: "address for credentials",
            value: redacted(address),
            cure: "credentials are sent over https:// only: leave out the file with the key, or use https://"
                .to_owned(),
        }),
        (Some(address), None) if !address.starts_with("https://") => Ok(Some(anonymous::Builder::new().build())),
        (_, file) => Ok(file.cloned()),
    }
}

/// The credentials of the environment, which the clients would take without others.
fn of_environment() -> Result<Credentials, BrokerError> {
    let made = google_cloud_auth::credentials::Builder::default().build();
    made.map_err(|error| BrokerError::NotAllowed { operation: "connecting", source: error.into() })
}

/// The credentials of the file that the options name.
fn credentials(options: &GoogleOptions) -> Result<Option<Credentials>, BrokerError> {
    let Some(file) = &options.credentials else { return Ok(None) };
    let invalid = |cure: String| BrokerError::Invalid {
        kind: "file with the key of a service account",
        value: file.display().to_string(),
        cure,
    };
    let text = std::fs::read(file).map_err(|error| invalid(format!("it can't be read: {error}")))?;
    // The text of the error could show a part of the key.
    let key = serde_json::from_slice(&text).map_err(|_| invalid("it must be JSON".to_owned()))?;
    let made = service_account::Builder::new(key).build();
    made.map(Some)
        .map_err(|_| invalid("it must be a key of type `service_account`, as Google Cloud gives it".to_owned()))
}
