//! How to reach AWS, and the settings of the adapter.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_sqs::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use recount_core::redacted;
use recount_messaging::{BrokerError, Group, MAX_CALL_TIMEOUT, Topic};

use crate::AwsBroker;
use crate::address::check_endpoint;

/// How long a call may take unless set.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request for messages waits at the server unless set: less than the 5 seconds that a service drains.
const WAIT: Duration = Duration::from_secs(4);
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
    /// [`BrokerError::Invalid`] without credentials, if they, an endpoint or a filter are malformed, or if there is a filter
    /// without SNS,
    /// [`BrokerError::Unavailable`] or [`BrokerError::TimedOut`] if a service can't be reached,
    /// [`BrokerError::NotAllowed`] if it refuses the credentials.
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

    /// Sets how long a request for messages waits at the server, from 1 to 20 seconds, 4 unless set, and not longer than a
    /// quarter of the lease. A longer wait costs fewer requests. A
    /// [drain](recount_messaging::BrokerConsumer::drain) needs a little longer than the wait; a shorter one times out, and
    /// hides the messages that answer the open request until their lease ends. Services drain for 5 seconds.
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait: wait.min(MAX_WAIT), ..self }
    }

    /// Sets how long each request of a call may take, an hour at most. 5 seconds unless set.
    #[must_use]
    pub fn call_timeout(self, call_timeout: Duration) -> Self {
        Self { call_timeout: call_timeout.min(MAX_CALL_TIMEOUT), ..self }
    }

    /// Gives a group only the messages that a filter policy of SNS selects, by the attributes `type`,
    /// `partitionkey` and `traceparent`: `{"type":["orders.placed"]}`. It counts when the group is declared. With
    /// [`Fanout::Sqs`] nothing filters, so [`connect`](Self::connect) refuses it.
    #[must_use]
    pub fn filter(mut self, topic: &Topic, group: &Group, policy: impl Into<String>) -> Self {
        self.filters.insert((topic.name().to_owned(), group.name().to_owned()), policy.into());
        self
    }

    /// Checks the endpoints and the filters: the setters take any text.
    pub(crate) fn check(&self) -> Result<(), BrokerError> {
        for ((topic, group), policy) in &self.filters {
            let invalid = |cure: &str| BrokerError::Invalid {
                kind: "filter policy that can be used",
                value: format!("{} (group {group} of topic {topic})", policy.chars().take(100).collect::<String>()),
                cure: cure.to_owned(),
            };
            if self.fanout == Fanout::Sqs {
                return Err(invalid("leave out the filter, or `fanout=sqs`: SNS would filter, and is not used"));
            }
            if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(policy).is_err() {
                return Err(invalid("it must be a JSON object, such as {\"type\": [\"orders.placed\"]}"));
            }
        }
        for url in [&self.endpoint, &self.sns_endpoint].into_iter().flatten() {
            let invalid = |cure| BrokerError::Invalid { kind: "endpoint of AWS", value: redacted(url), cure };
            check_endpoint(url).map_err(invalid)?;
        }
        Ok(())
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
        let invalid =
            |cure: &str| BrokerError::Invalid { kind: "login of SQS", value: String::new(), cure: cure.to_owned() };
        let Some(keys) = self.keys.clone().or_else(of_environment) else {
            return Err(invalid(
                "write sqs://ACCESS_KEY:SECRET@REGION/ACCOUNT, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give \
                 `AwsOptions::credentials` a provider",
            ));
        };
        // The SDK panics at an access key with a line break, as the end of a file may have it.
        let fits = |text: &str| !text.is_empty() && !text.contains(char::is_control);
        if !fits(&keys.access_key) || !fits(&keys.secret) || !keys.session_token.as_deref().is_none_or(fits) {
            return Err(invalid(
                "give an access key, a secret and a session token that are not empty, without line breaks and other control \
                 characters",
            ));
        }
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
            .field("endpoint", &self.endpoint.as_deref().map(redacted))
            .field("sns_endpoint", &self.sns_endpoint.as_deref().map(redacted))
            .field("fanout", &self.fanout)
            .field("wait", &self.wait)
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn malformed_endpoints_and_keys_are_invalid() {
        let of = |login: &str| format!("sqs://{login}@us-east-1?endpoint=http://127.0.0.1:1");
        let options = || AwsBroker::options(&of("AK:SK")).unwrap();
        let mut all: Vec<AwsOptions> = [":", "AK%0A:SK", "AK:SK%0A", ":SK", "AK:"]
            .into_iter()
            .map(|login| AwsBroker::options(&of(login)).unwrap())
            .collect();
        all.push(AwsBroker::options(&(of("AK:SK") + "&session_token=t%0A")).unwrap());
        for url in [
            "",
            "nonsense",
            "http://[",
            "http://a:70000",
            "http://a:0",
            "http://..",
            "http://a b",
            "http://user:hunter2@a",
            "http://a?hunter2",
        ] {
            all.extend([options().endpoint(url), options().sns_endpoint(url)]);
        }
        for options in all {
            let shown = format!("{options:?}");
            let error = options.connect().await.unwrap_err();
            assert!(matches!(error, BrokerError::Invalid { .. }), "{shown}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        for url in ["http://127.0.0.1:1", "https://a-b.example/", "http://[::1]:1/path"] {
            assert!(options().endpoint(url).check().is_ok(), "{url}");
        }
    }

    #[tokio::test]
    async fn filters_that_would_not_filter_are_invalid() {
        let (topic, group) = (Topic::new("orders").unwrap(), Group::new("mail").unwrap());
        // No server is there: it is refused before one is asked.
        let options = || AwsBroker::options("sqs://AK:SK@us-east-1?endpoint=http://127.0.0.1:1").unwrap();
        let good = r#"{"type":["orders.placed"]}"#;
        let without_sns = options().fanout(Fanout::Sqs);
        let mut all = vec![(without_sns.filter(&topic, &group, good), "fanout=sqs")];
        for policy in ["", "{", "null", "[]", "\"type\"", &good[1..]] {
            all.push((options().filter(&topic, &group, policy), "JSON object"));
        }
        for (options, cure) in all {
            let error = options.connect().await.unwrap_err();
            assert!(matches!(error, BrokerError::Invalid { .. }), "{error:?}");
            let text = error.to_string();
            assert!(text.contains("group mail of topic orders") && text.contains(cure), "{text}");
        }
        assert!(options().filter(&topic, &group, good).check().is_ok());
    }

    #[test]
    fn times_are_bounded() {
        let options = AwsOptions::of_region("us-east-1").wait(Duration::MAX).call_timeout(Duration::MAX);
        assert_eq!((options.wait, options.call_timeout), (MAX_WAIT, MAX_CALL_TIMEOUT));
    }
}
