//! The clients of SQS and SNS: calls with a time of ours, and no retries of their own.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Region, SharedHttpClient};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use recount_messaging::{BrokerError, Topic, read_certificates};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::error::CallError;
use crate::publish::KnownQueues;
use crate::{AwsOptions, Fanout, names};

/// How many publishes can be under way: more than any program has.
const PUBLISHES: u32 = 1 << 20;

/// The clients. They connect when they are used, and again when a connection is lost.
pub(crate) struct Connection {
    pub(crate) sqs: aws_sdk_sqs::Client,
    /// Unless the publisher sends to each queue.
    pub(crate) sns: Option<aws_sdk_sns::Client>,
    pub(crate) options: AwsOptions,
    /// The queues of topics, where the publisher sends to each.
    pub(crate) queues: Mutex<HashMap<Topic, KnownQueues>>,
    publishes: Semaphore,
}

impl Connection {
    pub(crate) async fn open(options: AwsOptions) -> Result<Self, BrokerError> {
        options.check()?;
        let (http, credentials) = (http_client(&options)?, options.provider()?);
        let region = Region::new(options.region.clone());
        // A retry by the SDK would store a message of a standard queue twice, and report one success.
        let retries = RetryConfig::disabled();
        let times = times(options.call_timeout);
        let mut sqs = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http.clone())
            .credentials_provider(credentials.clone())
            .region(region.clone())
            .retry_config(retries.clone())
            .timeout_config(times.clone());
        sqs.set_endpoint_url(options.endpoint.clone());
        let mut sns = aws_sdk_sns::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .credentials_provider(credentials)
            .region(region)
            .retry_config(retries)
            .timeout_config(times);
        sns.set_endpoint_url(options.sns_endpoint.clone().or_else(|| options.endpoint.clone()));
        let this = Self {
            sqs: aws_sdk_sqs::Client::from_conf(sqs.build()),
            sns: (options.fanout == Fanout::Sns).then(|| aws_sdk_sns::Client::from_conf(sns.build())),
            options,
            queues: Mutex::default(),
            publishes: Semaphore::new(PUBLISHES as usize),
        };
        this.health("connecting").await?;
        Ok(this)
    }

    /// Waits for the answer of a call, at most the call timeout.
    pub(crate) async fn call<T, E>(
        &self,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, CallError>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        self.check_open()?;
        within(self.options.call_timeout, call).await
    }

    pub(crate) fn check_open(&self) -> Result<(), CallError> {
        if self.publishes.is_closed() { Err(CallError::Closed) } else { Ok(()) }
    }

    /// Registers a publish, for which [`close`](Self::close) waits.
    pub(crate) async fn publishing(&self) -> Result<SemaphorePermit<'_>, BrokerError> {
        self.publishes.acquire().await.map_err(|_| BrokerError::Closed)
    }

    /// Waits for the publishes under way, at most this long. Later calls fail.
    pub(crate) async fn close(&self, within: Duration) {
        // The remaining tasks learn that the connection is closed, so the wait may end before they do.
        let _ = timeout(within, self.publishes.acquire_many(PUBLISHES)).await;
        self.publishes.close();
    }

    /// A round trip to each service. It asks for objects that need not exist, so it needs no right to list others.
    pub(crate) async fn health(&self, operation: &'static str) -> Result<(), BrokerError> {
        let answers = |answer: Result<(), CallError>, object| match answer {
            Err(error) if !error.is_missing() => Err(error.about(operation, object)),
            _ => Ok(()),
        };
        let queue = self.sqs.get_queue_url().queue_name(format!("{}health", names::PREFIX)).send();
        let Some(sns) = &self.sns else {
            return answers(self.call(queue).await.map(drop), "SQS");
        };
        let topic = sns.get_topic_attributes().topic_arn(self.arn("sns", &format!("{}health", names::PREFIX))).send();
        let (queue, topic) = tokio::join!(self.call(queue), self.call(topic));
        answers(queue.map(drop), "SQS")?;
        answers(topic.map(drop), "SNS")
    }

    /// The name of an object of the account, over all of AWS.
    pub(crate) fn arn(&self, service: &str, name: &str) -> String {
        let region = &self.options.region;
        let partition = match region.split('-').next() {
            Some("cn") => "aws-cn",
            _ if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        let account = self.options.account.as_deref().unwrap_or_default();
        format!("arn:{partition}:{service}:{region}:{account}:{name}")
    }

    /// The SNS topic of a topic.
    pub(crate) fn topic_arn(&self, topic: &Topic) -> String {
        self.arn("sns", &names::topic(topic))
    }

    /// Forgets which queues a topic has.
    pub(crate) fn forget_queues(&self, topic: &Topic) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).remove(topic);
    }
}

/// Waits for the answer of a call, at most this long.
pub(crate) async fn within<T, E>(
    limit: Duration,
    call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, CallError>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match timeout(limit, call).await {
        Err(_) => Err(CallError::TimedOut(limit)),
        Ok(answer) => answer.map_err(|error| CallError::read(error, limit)),
    }
}

/// The time-outs of the SDK, which has none of its own for a server that does not answer.
pub(crate) fn times(limit: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(limit).read_timeout(limit).operation_timeout(limit).build()
}

fn http_client(options: &AwsOptions) -> Result<SharedHttpClient, BrokerError> {
    let http = Builder::new().tls_provider(Provider::rustls(CryptoMode::Ring));
    let Some(file) = &options.root_certificates else { return Ok(http.build_https()) };
    // The SDK panics at a certificate that is none.
    let pem = read_certificates(file)?;
    let trusted = TlsContext::builder().with_trust_store(TrustStore::empty().with_pem_certificate(pem)).build();
    let trusted = trusted.map_err(|error| BrokerError::Failed { operation: "connecting", source: error.into() })?;
    Ok(http.tls_context(trusted).build_https())
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("options", &self.options).finish_non_exhaustive()
    }
}
