//! How to reach AWS, and the settings of the adapter.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_sqs::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use recount_messaging::{BrokerError, Group, Topic};

use crate::AwsBroker;

/// How long a call may take unless set.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request for messages waits at the server unless set.
const WAIT: Duration = Duration::from_secs(5);
/// The greatest time that the server takes.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// How a message reaches the queues of the groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fanout {
    /// By an SNS topic, to which the queues are subscribed.
    #[default]
    Sns,
    /// By the publisher, which sends it to each queue. It needs no SNS.
    Sqs,
}

/// The keys in an address.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) access_key: String,
    pub(crate) secret: String,
    pub(crate) session_token: Option<String>,
}

/// How to reach AWS, and the settings of the adapter. [`AwsBroker::options`] makes one from an address.
#[derive(Clone)]
pub struct AwsOptions {
    pub(crate) region: String,
    pub(crate) account: Option<String>,
    pub(crate) keys: Option<Keys>,
    pub(crate) provider: Option<SharedCredentialsProvider>,
    pub(crate) endpoint: Option<String>,
    pub(crate) sns_endpoint: Option<String>,
    pub(crate) fanout: Fanout,
    pub(crate) root_certificates: Option<PathBuf>,
    pub(crate) wait: Duration,
    pub(crate) call_timeout: Duration,
    /// The filter policies of groups, by the names of topic and group.
    pub(crate) filters: HashMap<(String, String), String>,
}

impl AwsOptions {
    pub(crate) fn of_region(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            account: None,
            keys: None,
            provider: None,
            endpoint: None,
            sns_endpoint: None,
            fanout: Fanout::Sns,
            root_certificates: None,
            wait: WAIT,
            call_timeout: CALL_TIMEOUT,
            filters: HashMap::new(),
        }
    }

    /// Connects: the services must answer.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] without credentials, [`BrokerError::Unavailable`] or [`BrokerError::TimedOut`] if a
    /// service can't be reached, [`BrokerError::NotAllowed`] if it refuses the credentials.
    pub async fn connect(self) -> Result<AwsBroker, BrokerError> {
        AwsBroker::open(self).await
    }

    /// Takes credentials from a provider, such as the default chain of the crate `aws-config`, which knows profiles and
    /// roles. Without one the keys of the address count, else the variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
    /// `AWS_SESSION_TOKEN`.
    #[must_use]
    pub fn credentials(self, provider: impl ProvideCredentials + 'static) -> Self {
        Self { provider: Some(SharedCredentialsProvider::new(provider)), ..self }
    }

    /// Sets the URL of SQS, and of SNS unless that has [its own](Self::sns_endpoint): for VPC endpoints and servers that
    /// stand in for AWS.
    #[must_use]
    pub fn endpoint(self, url: impl Into<String>) -> Self {
        Self { endpoint: Some(url.into()), ..self }
    }

    /// Sets the URL of SNS.
    #[must_use]
    pub fn sns_endpoint(self, url: impl Into<String>) -> Self {
        Self { sns_endpoint: Some(url.into()), ..self }
    }

    /// Sets how a message reaches the groups. All services that use a topic must agree.
    #[must_use]
    pub fn fanout(self, fanout: Fanout) -> Self {
        Self { fanout, ..self }
    }

    /// Trusts the certificates of this PEM file instead of the system's.
    #[must_use]
    pub fn root_certificates(self, file: impl Into<PathBuf>) -> Self {
        Self { root_certificates: Some(file.into()), ..self }
    }

    /// Sets how long a request for messages waits at the server, from 1 to 20 seconds, 5 unless set, and not longer than a
    /// quarter of the lease. A longer wait costs fewer requests. A
    /// [drain](recount_messaging::BrokerConsumer::drain) needs a little longer than the wait; a shorter one times out, and
    /// hides the messages that answer the open request until their lease ends. Services drain for 5 seconds.
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait: wait.min(MAX_WAIT), ..self }
    }

    /// Sets how long each request of a call may take. 5 seconds unless set.
    #[must_use]
    pub fn call_timeout(self, call_timeout: Duration) -> Self {
        Self { call_timeout, ..self }
    }

    /// Gives a group only the messages that a filter policy of SNS selects, by the attributes `type`,
    /// `partitionkey` and `traceparent`: `{"type":["orders.placed"]}`. It counts when the group is declared.
    #[must_use]
    pub fn filter(mut self, topic: &Topic, group: &Group, policy: impl Into<String>) -> Self {
        self.filters.insert((topic.name().to_owned(), group.name().to_owned()), policy.into());
        self
    }

    /// The credentials: of the provider, the address, or the environment.
    pub(crate) fn provider(&self) -> Result<SharedCredentialsProvider, BrokerError> {
        if let Some(provider) = &self.provider {
            return Ok(provider.clone());
        }
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let of_environment = || {
            let (access_key, secret) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
            Some(Keys { access_key, secret, session_token: variable("AWS_SESSION_TOKEN") })
        };
        let Some(keys) = self.keys.clone().or_else(of_environment) else {
            return Err(BrokerError::Invalid {
                kind: "login of SQS",
                value: String::new(),
                cure: "write sqs://ACCESS_KEY:SECRET@REGION/ACCOUNT, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give \
                       `AwsOptions::credentials` a provider"
                    .to_owned(),
            });
        };
        Ok(SharedCredentialsProvider::new(Credentials::new(
            keys.access_key,
            keys.secret,
            keys.session_token,
            None,
            "recount",
        )))
    }
}

impl fmt::Debug for AwsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsOptions")
            .field("region", &self.region)
            .field("account", &self.account)
            .field("keys", &self.keys.as_ref().map(|_| "***"))
            .field("endpoint", &self.endpoint)
            .field("sns_endpoint", &self.sns_endpoint)
            .field("fanout", &self.fanout)
            .field("wait", &self.wait)
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}
