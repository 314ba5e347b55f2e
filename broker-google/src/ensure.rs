//! Declaring topics and subscriptions, and comparing existing ones with the declaration.

use google_cloud_pubsub::model::{ExpirationPolicy, Subscription, Topic as NativeTopic};
use google_cloud_wkt::Duration as NativeDuration;
use recount_messaging::{Binding, BrokerError, Change, Order, Plan, Topic};
use std::time::Duration;

use crate::capabilities::{LEASE, MIN_EXPIRY};
use crate::connection::{CallError, Connection};
use crate::error::{exists, is_missing};
use crate::names;

const OPERATION: &str = "declaring topics and subscriptions";
/// The label of a topic with its number of lanes.
const LANES: &str = "recount-lanes";
/// The range of retention that the service takes.
const MIN_RETENTION: Duration = Duration::from_secs(10 * 60);
const MAX_RETENTION: Duration = Duration::from_secs(31 * 24 * 60 * 60);

pub(crate) async fn ensure(connection: &Connection, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
    let mut changes = Vec::new();
    let (topics, bindings) = plan.distinct()?;
    for topic in topics {
        if ensure_topic(connection, topic, dry_run).await? {
            changes.push(Change { object: format!("topic {}", names::topic(topic)) });
        }
    }
    for binding in bindings {
        if ensure_subscription(connection, binding, dry_run).await? {
            changes.push(Change { object: format!("subscription {}", names::subscription(binding)) });
        }
    }
    Ok(changes)
}

/// Checks that the subscription of a binding exists.
pub(crate) async fn check(connection: &Connection, binding: &Binding) -> Result<(), BrokerError> {
    match find_subscription(connection, binding).await? {
        Some(found) => compare_subscription(connection, binding, &found),
        None => Err(BrokerError::Missing { object: format!("subscription {}", names::subscription(binding)) }),
    }
}

/// Whether the topic was missing. It is declared unless this is a dry run.
async fn ensure_topic(connection: &Connection, topic: &Topic, dry_run: bool) -> Result<bool, BrokerError> {
    let path = names::topic_path(&connection.options.project, topic);
    if let Some(found) = find_topic(connection, &path).await? {
        return compare_topic(topic, &found).map(|()| false);
    }
    if dry_run {
        return Ok(true);
    }
    let create = connection.topics.create_topic().set_name(&path);
    let create = create.set_labels([(LANES, topic.lanes().to_string())]);
    match connection.call(OPERATION, create.send()).await {
        Ok(_) => Ok(true),
        Err(CallError::Call(error)) if exists(&error) => {
            // Another program was quicker.
            let found = find_topic(connection, &path).await?;
            found.map_or(Ok(()), |found| compare_topic(topic, &found)).map(|()| false)
        }
        Err(error) => Err(error.about(OPERATION)),
    }
}

async fn find_topic(connection: &Connection, path: &str) -> Result<Option<NativeTopic>, BrokerError> {
    found(connection.call(OPERATION, connection.topics.get_topic().set_topic(path).send()).await)
}

fn found<T>(answer: Result<T, CallError>) -> Result<Option<T>, BrokerError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(CallError::Call(error)) if is_missing(&error) => Ok(None),
        Err(error) => Err(error.about(OPERATION)),
    }
}

fn compare_topic(topic: &Topic, found: &NativeTopic) -> Result<(), BrokerError> {
    let expected = topic.lanes().to_string();
    let actual = found.labels.get(LANES);
    if actual == Some(&expected) {
        return Ok(());
    }
    Err(BrokerError::Mismatch {
        object: format!("topic {}", names::topic(topic)),
        expected: format!("{expected} lanes (label {LANES})"),
        actual: actual.map_or_else(|| "no such label".to_owned(), |lanes| format!("{lanes} lanes")),
        cure: "all services that use a topic must agree on its number of lanes".to_owned(),
    })
}

async fn ensure_subscription(connection: &Connection, binding: &Binding, dry_run: bool) -> Result<bool, BrokerError> {
    if let Some(found) = find_subscription(connection, binding).await? {
        return compare_subscription(connection, binding, &found).map(|()| false);
    }
    if dry_run {
        return Ok(true);
    }
    let project = &connection.options.project;
    let retention = binding.topic.kept_for().unwrap_or(connection.options.retention);
    let create = connection
        .subscriptions
        .create_subscription()
        .set_name(names::subscription_path(project, binding))
        .set_topic(names::topic_path(project, &binding.topic))
        .set_enable_message_ordering(binding.order == Order::PerKey)
        .set_ack_deadline_seconds(i32::try_from(LEASE.as_secs()).unwrap_or(i32::MAX))
        .set_message_retention_duration(native(retention.clamp(MIN_RETENTION, MAX_RETENTION)))
        .set_expiration_policy(expiration(binding));
    match connection.call(OPERATION, create.send()).await {
        Ok(_) => Ok(true),
        Err(CallError::Call(error)) if exists(&error) => {
            let found = find_subscription(connection, binding).await?;
            found.map_or(Ok(()), |found| compare_subscription(connection, binding, &found)).map(|()| false)
        }
        Err(error) => Err(error.about(OPERATION)),
    }
}

async fn find_subscription(connection: &Connection, binding: &Binding) -> Result<Option<Subscription>, BrokerError> {
    let path = names::subscription_path(&connection.options.project, binding);
    let get = connection.subscriptions.get_subscription().set_subscription(path);
    found(connection.call(OPERATION, get.send()).await)
}

/// When the service removes an unused subscription. Without a time it never does; without a policy it would after 31
/// days.
fn expiration(binding: &Binding) -> ExpirationPolicy {
    let ttl = binding.expires_after.map(|time| native(time.max(MIN_EXPIRY)));
    ExpirationPolicy::new().set_or_clear_ttl(ttl)
}

fn ordering(order: Order) -> &'static str {
    match order {
        Order::PerKey => "message ordering",
        Order::Unordered => "no message ordering",
    }
}

fn native(time: Duration) -> NativeDuration {
    NativeDuration::clamp(i64::try_from(time.as_secs()).unwrap_or(i64::MAX), 0)
}

fn compare_subscription(connection: &Connection, binding: &Binding, found: &Subscription) -> Result<(), BrokerError> {
    let mismatch = |expected: &str, actual: String, cure: &str| {
        let object = format!("subscription {}", names::subscription(binding));
        Err(BrokerError::Mismatch { object, expected: expected.to_owned(), actual, cure: cure.to_owned() })
    };
    let topic = names::topic_path(&connection.options.project, &binding.topic);
    let ordering = ordering(binding.order);
    let delete = "delete it, if no other program needs it";
    if found.detached {
        return mismatch("an attached topic", "a detached topic".to_owned(), delete);
    }
    if found.topic != topic {
        return mismatch(&topic, found.topic.clone(), delete);
    }
    if found.enable_message_ordering != (binding.order == Order::PerKey) {
        let cure = "it can't be changed: bind another group, or delete it when it is empty";
        return mismatch(ordering, format!("the opposite of {ordering}"), cure);
    }
    if found.push_config.as_ref().is_some_and(|push| !push.push_endpoint.is_empty()) {
        return mismatch("pull", "a push endpoint".to_owned(), "bind another group");
    }
    if !found.filter.is_empty() {
        return mismatch("no filter", format!("the filter {}", found.filter), "bind another group");
    }
    if found.dead_letter_policy.is_some() && binding.order == Order::PerKey {
        let cure = "remove it: a key whose message goes to a dead-letter topic can stop for ever";
        return mismatch("no dead-letter policy", "one".to_owned(), cure);
    }
    if found.enable_exactly_once_delivery {
        let cure = "turn it off: messages take effect once by recount's inbox";
        return mismatch("no exactly-once delivery", "it".to_owned(), cure);
    }
    let (needed, actual) = (expiration(binding).ttl, found.expiration_policy.as_ref().and_then(|policy| policy.ttl));
    if let Some(actual) = actual.filter(|actual| needed.is_none_or(|needed| *actual < needed)) {
        let expected = needed.map_or("no expiry".to_owned(), |needed| format!("an expiry of {} s", needed.seconds()));
        let cure = "change it: the service removes an unused subscription with its messages";
        return mismatch(&expected, format!("an expiry of {} s", actual.seconds()), cure);
    }
    Ok(())
}
