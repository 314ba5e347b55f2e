//! The settings of queues: those of new ones, and those of existing ones that break a promise.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName as Name;
use recount_messaging::{Binding, BrokerError, Order};
use serde_json::{Value, json};

use crate::capabilities::{MAX_DELIVERIES, lease};
use crate::ensure::queue_object;
use crate::names;

/// How long a queue keeps messages: the shortest and the longest time that the server takes.
const RETENTION: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(14 * 24 * 3600));

pub(crate) type Attributes = HashMap<Name, String>;

/// The attributes of the queue of a group, or without dead letters those of the queue for them.
pub(crate) fn attributes(binding: &Binding, dead_letters: Option<&str>) -> Attributes {
    let kept = if dead_letters.is_some() { retention(binding) } else { RETENTION.1 };
    let mut attributes = HashMap::from([(Name::MessageRetentionPeriod, kept.as_secs().to_string())]);
    if binding.order == Order::PerKey {
        attributes.insert(Name::FifoQueue, "true".to_owned());
        attributes.insert(Name::DeduplicationScope, "messageGroup".to_owned());
        attributes.insert(Name::FifoThroughputLimit, "perMessageGroupId".to_owned());
    }
    if let Some(arn) = dead_letters {
        let redrive = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": MAX_DELIVERIES });
        attributes.insert(Name::RedrivePolicy, redrive.to_string());
        attributes.insert(Name::VisibilityTimeout, lease(binding).as_secs().to_string());
    }
    attributes
}

/// How long the queue of a binding keeps messages.
fn retention(binding: &Binding) -> Duration {
    let (least, most) = RETENTION;
    binding.topic.kept_for().unwrap_or(most).clamp(least, most)
}

/// Compares the attributes of the queue of a group. The operator may change the attributes that break no
/// promise: a longer retention, another queue for dead letters, the visibility timeout, which each request sets anew. `needs_policy`: SNS sends to the queue.
///
/// # Errors
/// [`BrokerError::Mismatch`] with the first attribute that breaks one.
pub(crate) fn compare(binding: &Binding, found: &Attributes, needs_policy: bool) -> Result<(), BrokerError> {
    let text = |name: &Name| found.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let number = |name: &Name| text(name).and_then(|value| value.parse::<u64>().ok());
    let kept = retention(binding).as_secs();
    let checks = [
        (
            Name::RedrivePolicy,
            deliveries(text(&Name::RedrivePolicy)) == Some(MAX_DELIVERIES.into()),
            format!("with maxReceiveCount {MAX_DELIVERIES}"),
            "set it: with a lower count a message leaves its key, without one a message that ends its consumer comes for ever",
        ),
        (
            Name::MessageRetentionPeriod,
            number(&Name::MessageRetentionPeriod).is_none_or(|found| found >= kept),
            format!("{kept} or more"),
            "set it, or declare the topic with a shorter `keep_for`: older messages are gone",
        ),
        (
            Name::DelaySeconds,
            number(&Name::DelaySeconds).is_none_or(|found| found == 0),
            "0".to_owned(),
            "set it: every message comes late",
        ),
        (
            Name::ContentBasedDeduplication,
            text(&Name::ContentBasedDeduplication) != Some("true"),
            "false".to_owned(),
            "set it: two messages with equal bodies count as one",
        ),
        (
            Name::Policy,
            !needs_policy || text(&Name::Policy).is_some(),
            "that lets the SNS topic send to the queue".to_owned(),
            "set it: SNS discards the messages of the group. A queue that was declared with `fanout=sqs` has none",
        ),
    ];
    for (name, fits, wanted, cure) in checks {
        if !fits {
            return Err(BrokerError::Mismatch {
                object: queue_object(&names::queue(binding)),
                expected: format!("{name} {wanted}"),
                actual: text(&name).map_or_else(|| format!("no {name}"), |value| format!("{name} {value}")),
                cure: cure.to_owned(),
            });
        }
    }
    Ok(())
}

/// The greatest number of deliveries in a redrive policy. Servers write it as a number or a text.
fn deliveries(policy: Option<&str>) -> Option<u64> {
    let policy: Value = serde_json::from_str(policy?).ok()?;
    let count = policy.get("maxReceiveCount")?;
    count.as_u64().or_else(|| count.as_str()?.parse().ok())
}
