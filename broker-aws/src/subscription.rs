//! Subscriptions of queues to SNS topics.

use recount_messaging::{Binding, BrokerError};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::ensure::{OPERATION, Tags, found, topic_object};
use crate::error::CallError;
use crate::names;

/// The tag of a queue with the ARN of its subscription.
pub(crate) const SUBSCRIPTION: &str = "recount-subscription";

/// The right of a topic to send to a queue.
pub(crate) fn policy(queue: &str, topic: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "sns.amazonaws.com" },
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": { "ArnEquals": { "aws:SourceArn": topic } },
        }],
    })
}

/// The filter policy of a group, if it has one.
fn filter<'c>(connection: &'c Connection, binding: &Binding) -> Option<&'c String> {
    let key = (binding.topic.name().to_owned(), binding.group.name().to_owned());
    connection.options.filters.get(&key)
}

/// Subscribes a queue to its topic, and returns the ARN of the subscription.
pub(crate) async fn subscribe(connection: &Connection, binding: &Binding, queue: &str) -> Result<String, BrokerError> {
    let Some(sns) = &connection.sns else { return Ok(String::new()) };
    let mut request = sns
        .subscribe()
        .topic_arn(connection.topic_arn(&binding.topic))
        .protocol("sqs")
        .endpoint(queue)
        .return_subscription_arn(true)
        .attributes("RawMessageDelivery", "true");
    if let Some(policy) = filter(connection, binding) {
        request = request.attributes("FilterPolicy", policy);
    }
    let answer = connection.call(request.send()).await;
    let answer = answer.map_err(|error| error.about(OPERATION, &topic_object(connection, &binding.topic)))?;
    Ok(answer.subscription_arn.unwrap_or_default())
}

/// Whether the queue of a group is subscribed to its topic.
///
/// # Errors
/// [`BrokerError::Mismatch`] if the subscription has other settings.
pub(crate) async fn is_subscribed(
    connection: &Connection,
    binding: &Binding,
    tags: &Tags,
) -> Result<bool, BrokerError> {
    let (Some(sns), Some(arn)) = (&connection.sns, tags.get(SUBSCRIPTION)) else { return Ok(false) };
    let answer = connection.call(sns.get_subscription_attributes().subscription_arn(arn).send()).await;
    let Some(answer) = found(answer, arn)? else { return Ok(false) };
    let attributes = answer.attributes.unwrap_or_default();
    let parsed = |text: Option<&String>| text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let (wanted, found) = (parsed(filter(connection, binding)), parsed(attributes.get("FilterPolicy")));
    let settings: [(&str, Value, Value); 2] = [
        ("RawMessageDelivery", Value::from("true"), attributes.get("RawMessageDelivery").cloned().into()),
        ("FilterPolicy", wanted.into(), found.into()),
    ];
    for (name, wanted, found) in settings {
        if wanted != found {
            return Err(BrokerError::Mismatch {
                object: format!("subscription of queue {}", names::queue(binding)),
                expected: format!("{name} {wanted}"),
                actual: format!("{name} {found}"),
                cure: "use this setting, or delete the subscription".to_owned(),
            });
        }
    }
    Ok(true)
}

/// Removes the subscription of a queue.
pub(crate) async fn remove(connection: &Connection, tags: &Tags) -> Result<(), CallError> {
    if let (Some(sns), Some(subscription)) = (&connection.sns, tags.get(SUBSCRIPTION)) {
        connection.call(sns.unsubscribe().subscription_arn(subscription).send()).await?;
    }
    Ok(())
}
