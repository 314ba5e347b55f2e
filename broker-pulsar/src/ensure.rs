//! Declaring topics and subscriptions, and comparing existing ones with the declaration.

use std::time::Duration;

use hyper::{Method, StatusCode};
use recount_core::Timestamp;
use recount_messaging::{Binding, BrokerError, Change, Plan, StartFrom, Topic};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::admin::{self, Answer, request};
use crate::expiry::{self, SEEN};
use crate::retention::{self, post};
use crate::{PulsarOptions, names};

pub(crate) const OPERATION: &str = "declaring";
/// How often something is declared again that another program declares at the same time.
const ATTEMPTS: usize = 30;
/// The pause before that.
const PAUSE: Duration = Duration::from_millis(200);
/// The property of a subscription that holds its order.
const ORDER: &str = "recount-order";
/// The property of a subscription that holds the time of its expiry in milliseconds.
pub(crate) const EXPIRES: &str = "recount-expires";

/// Declares the missing objects of a plan, and compares the others.
pub(crate) async fn ensure(options: &PulsarOptions, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
    let (mut changes, mut patience) = (Vec::new(), Patience(ATTEMPTS));
    let (mut topics, bindings) = plan.distinct()?;
    topics.sort_by_key(|topic| topic.name());
    for topic in topics {
        let declared = loop {
            match ensure_topic(options, topic, dry_run).await {
                Ok(declared) => break declared,
                Err(error) => patience.wait(error).await?,
            }
        };
        changes.extend(declared.then(|| Change { object: topic_name(topic) }));
    }
    for binding in bindings {
        let declared = loop {
            match ensure_subscription(options, binding, dry_run).await {
                Ok(declared) => break declared,
                Err(error) => patience.wait(error).await?,
            }
        };
        changes.extend(declared.then(|| Change { object: subscription_name(binding) }));
    }
    Ok(changes)
}

/// How often something may still be declared again.
struct Patience(usize);

impl Patience {
    /// Waits for another program that declares the same: the server does not do it at one stroke. Other errors are returned.
    async fn wait(&mut self, error: BrokerError) -> Result<(), BrokerError> {
        if self.0 == 0 || !admin::is_race(&error) {
            return Err(error);
        }
        tracing::debug!(error = &error as &dyn std::error::Error, "another program declares the same");
        self.0 -= 1;
        sleep(PAUSE).await;
        Ok(())
    }
}

/// Whether the topic was declared, or would be.
async fn ensure_topic(options: &PulsarOptions, topic: &Topic, dry_run: bool) -> Result<bool, BrokerError> {
    names::check(topic.name())?;
    let path = names::path(options, topic);
    let partitions = format!("{path}/partitions");
    let answer = request(options, OPERATION, Method::GET, &partitions, None).await?;
    let mut compared = None;
    let missing = match answer.status {
        StatusCode::OK => {
            check_existing(topic, &answer)?;
            compared = retention::compare(options, topic, &path).await?;
            false
        }
        StatusCode::NOT_FOUND => true,
        _ => return Err(answer.error(OPERATION)),
    };
    if dry_run {
        return Ok(missing);
    }
    if missing {
        let created = request(options, OPERATION, Method::PUT, &partitions, Some(topic.lanes().to_string())).await?;
        match created.status {
            // Another service was quicker.
            StatusCode::CONFLICT => {
                let answer = request(options, OPERATION, Method::GET, &partitions, None).await?;
                check_existing(topic, &answer)?;
                compared = retention::compare(options, topic, &path).await?;
            }
            status if status.is_success() => {}
            _ => return Err(created.error(OPERATION)),
        }
    }
    retention::apply(options, topic, &path, missing, compared).await?;
    Ok(missing)
}

/// Whether the subscription was declared, or would be.
async fn ensure_subscription(options: &PulsarOptions, binding: &Binding, dry_run: bool) -> Result<bool, BrokerError> {
    names::check(binding.group.name())?;
    if binding.expires_after.is_some() && !dry_run {
        expiry::sweep(options, &binding.topic).await?;
    }
    if let Some(properties) = properties(options, binding).await? {
        compare(binding, &properties)?;
        if !expiry::has_expired(options, binding, &properties).await? {
            return Ok(false);
        }
    }
    if dry_run {
        return Ok(true);
    }
    let mut settings = json!({ ORDER: names::order(binding.order) });
    if let Some(time) = binding.expires_after {
        settings[EXPIRES] = time.as_millis().to_string().into();
        settings[SEEN] = Timestamp::now().as_millisecond().to_string().into();
    }
    let place = match binding.start {
        StartFrom::Earliest => json!({ "ledgerId": -1, "entryId": -1, "properties": settings }),
        StartFrom::Latest => json!({ "ledgerId": i64::MAX, "entryId": i64::MAX, "properties": settings }),
    };
    let path = names::subscription_path(options, &binding.topic, &binding.group);
    let created = request(options, OPERATION, Method::PUT, &path, Some(place.to_string())).await?;
    match created.status {
        // Another member was quicker.
        StatusCode::CONFLICT => {
            let properties = properties(options, binding).await?.unwrap_or_default();
            compare(binding, &properties)?;
        }
        status if status.is_success() => forget_old(options, binding, &path).await?,
        _ => return Err(created.error(OPERATION)),
    }
    Ok(true)
}

/// Lets a new group of a topic that keeps its messages for a time start behind older messages: the server removes them
/// later.
async fn forget_old(options: &PulsarOptions, binding: &Binding, path: &str) -> Result<(), BrokerError> {
    let (Some(kept), StartFrom::Earliest) = (binding.topic.kept_for(), binding.start) else { return Ok(()) };
    let kept = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    let oldest = Timestamp::now().as_millisecond().saturating_sub(kept).max(0);
    post(options, &format!("{path}/resetcursor/{oldest}"), None).await
}

/// Checks that a binding is declared.
///
/// # Errors
/// [`BrokerError::Missing`] names a missing object, [`BrokerError::Mismatch`] another setting.
pub(crate) async fn check(options: &PulsarOptions, binding: &Binding) -> Result<(), BrokerError> {
    let missing = || BrokerError::Missing { object: subscription_name(binding) };
    let properties = properties(options, binding).await?.ok_or_else(missing)?;
    compare(binding, &properties)?;
    if expiry::has_expired(options, binding, &properties).await? {
        return Err(missing());
    }
    let partitions = format!("{}/partitions", names::path(options, &binding.topic));
    let answer = request(options, OPERATION, Method::GET, &partitions, None).await?;
    check_lanes(&binding.topic, partition_count(OPERATION, &answer)?)
}

/// The properties of the subscription of a binding, if there is one.
pub(crate) async fn properties(options: &PulsarOptions, binding: &Binding) -> Result<Option<Value>, BrokerError> {
    let path = names::subscription_path(options, &binding.topic, &binding.group);
    let answer = request(options, OPERATION, Method::GET, &format!("{path}/properties"), None).await?;
    match answer.status {
        StatusCode::OK => Ok(Some(serde_json::from_slice(&answer.body).unwrap_or_default())),
        StatusCode::NOT_FOUND => Ok(None),
        _ => Err(answer.error(OPERATION)),
    }
}

/// Compares the order. A subscription that another program has made has none.
fn compare(binding: &Binding, properties: &Value) -> Result<(), BrokerError> {
    let expected = names::order(binding.order);
    match properties.get(ORDER).and_then(Value::as_str) {
        Some(actual) if actual != expected => Err(BrokerError::Mismatch {
            object: subscription_name(binding),
            expected: format!("order {expected}"),
            actual: format!("order {actual}"),
            cure: "bind the group as before, or another group".to_owned(),
        }),
        _ => Ok(()),
    }
}

pub(crate) fn partition_count(operation: &'static str, answer: &Answer) -> Result<u32, BrokerError> {
    let count = serde_json::from_slice::<Value>(&answer.body).ok();
    let count = count.and_then(|metadata| metadata.get("partitions")?.as_u64());
    count.and_then(|count| u32::try_from(count).ok()).ok_or_else(|| answer.error(operation))
}

/// Compares the number of partitions with that of the lanes. A topic with none is missing, or not partitioned.
pub(crate) fn check_lanes(topic: &Topic, partitions: u32) -> Result<(), BrokerError> {
    match usize::try_from(partitions) {
        Ok(0) => Err(BrokerError::Missing { object: topic_name(topic) }),
        count => topic.check_partitions(|| topic_name(topic), count.unwrap_or(usize::MAX)),
    }
}

/// Compares the number of partitions of a topic that exists.
fn check_existing(topic: &Topic, answer: &Answer) -> Result<(), BrokerError> {
    match partition_count(OPERATION, answer)? {
        0 => Err(BrokerError::Mismatch {
            object: topic_name(topic),
            expected: format!("{} partitions, one for each lane", topic.lanes()),
            actual: "a topic without partitions".to_owned(),
            cure: "remove that topic, or use another one".to_owned(),
        }),
        count => check_lanes(topic, count),
    }
}

pub(crate) fn topic_name(topic: &Topic) -> String {
    format!("partitioned topic {topic}")
}

pub(crate) fn subscription_name(binding: &Binding) -> String {
    format!("subscription {} of topic {}", binding.group, binding.topic)
}
