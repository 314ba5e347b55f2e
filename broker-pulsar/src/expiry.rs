//! Groups that expire. The server removes unused subscriptions of a whole namespace only, so the adapters do: a consumer notes
//! in the subscription's properties that it is there, and each declaration on the topic removes the subscriptions that have
//! no consumer, and had the last one too long ago.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use recount_core::Timestamp;
use recount_messaging::{Binding, BrokerError, Group, Topic};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::admin::request;
use crate::ensure::{EXPIRES, properties};
use crate::{PulsarOptions, names};

const OPERATION: &str = "removing unused groups";
/// The property of a subscription that holds when its last consumer was seen, in milliseconds.
pub(crate) const SEEN: &str = "recount-seen";

/// Notes that the group has a consumer.
pub(crate) async fn note_seen(options: &PulsarOptions, binding: &Binding) -> Result<(), BrokerError> {
    let Some(mut settings) = properties(options, binding).await? else { return Ok(()) };
    settings[SEEN] = Timestamp::now().as_millisecond().to_string().into();
    let path = format!("{}/properties", names::subscription_path(options, &binding.topic, &binding.group));
    let answer = request(options, OPERATION, Method::PUT, &path, Some(settings.to_string())).await?;
    if answer.status.is_success() { Ok(()) } else { Err(answer.error(OPERATION)) }
}

/// Whether a subscription with these properties counts as removed.
pub(crate) async fn has_expired(
    options: &PulsarOptions,
    binding: &Binding,
    properties: &Value,
) -> Result<bool, BrokerError> {
    if !is_due(properties) {
        return Ok(false);
    }
    let subscriptions = subscriptions(options, &binding.topic).await?;
    Ok(subscriptions.get(binding.group.name()).is_none_or(is_unused))
}

/// Removes the expired groups of a topic.
pub(crate) async fn sweep(options: &PulsarOptions, topic: &Topic) -> Result<(), BrokerError> {
    let found = subscriptions(options, topic).await?;
    for (name, subscription) in found.as_object().into_iter().flatten() {
        let is_due = subscription.get("subscriptionProperties").is_some_and(is_due);
        if !is_due || !is_unused(subscription) {
            continue;
        }
        // Of a group of another program the name may be anything.
        let Ok(group) = Group::new(name) else { continue };
        let path = names::subscription_path(options, topic, &group);
        let removed = request(options, OPERATION, Method::DELETE, &path, None).await?;
        match removed.status {
            // Another adapter was quicker, or a consumer has come.
            StatusCode::NOT_FOUND | StatusCode::PRECONDITION_FAILED => {}
            status if status.is_success() => tracing::debug!(%topic, %group, "an unused group was removed"),
            _ => return Err(removed.error(OPERATION)),
        }
    }
    Ok(())
}

/// Whether the last consumer was seen longer ago than the expiry, and the time between two notes.
fn is_due(properties: &Value) -> bool {
    let (Some(time), Some(seen)) = (milliseconds(properties, EXPIRES), milliseconds(properties, SEEN)) else {
        return false;
    };
    let between = heartbeat(Duration::from_millis(time.unsigned_abs()));
    let between = i64::try_from(between.as_millis()).unwrap_or(i64::MAX);
    Timestamp::now().as_millisecond() > seen.saturating_add(time).saturating_add(between)
}

fn is_unused(subscription: &Value) -> bool {
    subscription.get("consumers").and_then(Value::as_array).is_none_or(Vec::is_empty)
}

/// How often a consumer says that it is there.
fn heartbeat(expiry: Duration) -> Duration {
    (expiry / 3).clamp(Duration::from_millis(500), Duration::from_secs(600))
}

/// The task that notes again and again that a group has a consumer. It ends with this value,
/// and when the broker is closed.
#[derive(Debug)]
pub(crate) struct Heartbeat(JoinHandle<()>);

impl Heartbeat {
    /// `None` for groups that do not expire.
    pub(crate) fn start(
        options: &Arc<PulsarOptions>,
        binding: &Binding,
        mut closed: watch::Receiver<bool>,
    ) -> Option<Self> {
        let every = heartbeat(binding.expires_after?);
        let (options, binding) = (Arc::clone(options), binding.clone());
        Some(Self(tokio::spawn(async move {
            loop {
                if let Err(error) = note_seen(&options, &binding).await {
                    tracing::debug!(%binding, error = &error as &dyn std::error::Error, "a group could not be noted as used");
                }
                if timeout(every, closed.wait_for(|closed| *closed)).await.is_ok() {
                    return;
                }
            }
        })))
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A number of milliseconds in a property.
fn milliseconds(properties: &Value, name: &str) -> Option<i64> {
    properties.get(name)?.as_str()?.parse().ok()
}

async fn subscriptions(options: &PulsarOptions, topic: &Topic) -> Result<Value, BrokerError> {
    let path = format!("{}/partitioned-stats?perPartition=false", names::path(options, topic));
    let answer = request(options, OPERATION, Method::GET, &path, None).await?;
    match answer.status {
        StatusCode::OK => {
            let stats: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            Ok(stats.get("subscriptions").cloned().unwrap_or_default())
        }
        StatusCode::NOT_FOUND => Ok(Value::Null),
        _ => Err(answer.error(OPERATION)),
    }
}
