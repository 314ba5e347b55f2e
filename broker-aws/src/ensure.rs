//! Declares topics, queues and subscriptions, and compares existing ones with the declaration.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use recount_messaging::{Binding, BrokerError, Change, Order, Plan, Topic};
use serde_json::json;

use crate::capabilities::{MAX_DELIVERIES, lease};
use crate::connection::Connection;
use crate::error::CallError;
use crate::expiry::{self, EXPIRES_AFTER};
use crate::names;
use crate::subscription::{self, SUBSCRIPTION, is_subscribed, policy, subscribe};

pub(crate) const OPERATION: &str = "declaring topics and groups";
/// The tag of a topic with its number of lanes.
const LANES: &str = "recount-lanes";
/// The tags of a queue with the names of its topic and group.
const TOPIC: &str = "recount-topic";
const GROUP: &str = "recount-group";
/// How long a queue keeps messages: the longest and the shortest time that the server takes.
const RETENTION: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(14 * 24 * 3600));
/// How many topics or groups are declared at once.
const PARALLEL: usize = 8;

/// Tags by their names.
pub(crate) type Tags = HashMap<String, String>;

/// Declares the missing objects. Everything is compared before anything is declared.
pub(crate) async fn ensure(connection: &Connection, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
    let (mut topics, bindings) = plan.distinct()?;
    topics.sort_by_key(|topic| topic.name());
    let exist = all(topics.iter().map(|topic| has_topic(connection, topic).boxed())).await?;
    let missing_topics: Vec<&Topic> =
        topics.iter().zip(exist).filter(|(_, exists)| !exists).map(|(topic, _)| *topic).collect();
    let groups = all(bindings.into_iter().map(|binding| GroupState::read(connection, binding).boxed())).await?;
    let mut changes: Vec<Change> =
        missing_topics.iter().map(|topic| Change { object: topic_object(connection, topic) }).collect();
    changes.extend(groups.iter().flat_map(|group| group.missing(connection)).map(|object| Change { object }));
    if dry_run {
        return Ok(changes);
    }
    all(missing_topics.into_iter().map(|topic| create_topic(connection, topic).boxed())).await?;
    all(groups.into_iter().map(|group| group.declare(connection).boxed())).await?;
    for topic in topics {
        connection.forget_queues(topic);
    }
    expiry::sweep(connection, &plan.bindings).await;
    Ok(changes)
}

/// The results of calls, some of which are under way at once.
async fn all<'c, T>(calls: impl Iterator<Item = BoxFuture<'c, Result<T, BrokerError>>>) -> Result<Vec<T>, BrokerError> {
    stream::iter(calls.collect::<Vec<_>>()).buffered(PARALLEL).try_collect().await
}

/// The URL of the queue of a binding.
///
/// # Errors
/// [`BrokerError::Missing`] if it was not declared.
pub(crate) async fn queue_of(connection: &Connection, binding: &Binding) -> Result<Arc<str>, BrokerError> {
    let name = names::queue(binding);
    let missing = || BrokerError::Missing { object: queue_object(&name) };
    find_queue(connection, &name).await?.map(Arc::from).ok_or_else(missing)
}

/// The URL of a queue, if it exists.
pub(crate) async fn find_queue(connection: &Connection, name: &str) -> Result<Option<String>, BrokerError> {
    let found = found(connection.call(connection.sqs.get_queue_url().queue_name(name).send()).await, name)?;
    Ok(found.and_then(|found| found.queue_url))
}

/// The tags of a queue.
pub(crate) async fn tags(connection: &Connection, url: &str) -> Result<Tags, BrokerError> {
    let answer = connection.call(connection.sqs.list_queue_tags().queue_url(url).send()).await;
    Ok(found(answer, url)?.and_then(|answer| answer.tags).unwrap_or_default())
}

/// Sets a tag of a queue.
pub(crate) async fn tag(connection: &Connection, url: &str, name: &str, value: &str) -> Result<(), CallError> {
    connection.call(connection.sqs.tag_queue().queue_url(url).tags(name, value).send()).await.map(drop)
}

/// `None` if the object of a call does not exist.
pub(crate) fn found<T>(answer: Result<T, CallError>, object: &str) -> Result<Option<T>, BrokerError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error.about(OPERATION, object)),
    }
}

pub(crate) fn topic_object(connection: &Connection, topic: &Topic) -> String {
    match connection.sns {
        Some(_) => format!("topic {}", names::topic(topic)),
        None => queue_object(&names::marker(topic)),
    }
}

pub(crate) fn queue_object(name: &str) -> String {
    format!("queue {name}")
}

/// Whether a topic exists.
///
/// # Errors
/// [`BrokerError::Mismatch`] if it has another number of lanes.
async fn has_topic(connection: &Connection, topic: &Topic) -> Result<bool, BrokerError> {
    let object = topic_object(connection, topic);
    let declared = if let Some(sns) = &connection.sns {
        let arn = connection.topic_arn(topic);
        let answer = connection.call(sns.list_tags_for_resource().resource_arn(arn).send()).await;
        let Some(answer) = found(answer, &object)? else { return Ok(false) };
        let mut tags = answer.tags.unwrap_or_default().into_iter();
        tags.find(|tag| tag.key == LANES).map(|tag| tag.value)
    } else {
        let Some(url) = find_queue(connection, &names::marker(topic)).await? else { return Ok(false) };
        tags(connection, &url).await?.remove(LANES)
    };
    let lanes = topic.lanes().to_string();
    if declared.as_deref() == Some(&*lanes) {
        return Ok(true);
    }
    Err(BrokerError::Mismatch {
        object: format!("{object} of topic {topic}"),
        expected: format!("{lanes} lanes"),
        actual: declared.map_or_else(|| format!("no tag {LANES}"), |lanes| format!("{lanes} lanes")),
        cure: "use the number of lanes that the topic was declared with, or another topic".to_owned(),
    })
}

async fn create_topic(connection: &Connection, topic: &Topic) -> Result<(), BrokerError> {
    let (object, lanes) = (topic_object(connection, topic), topic.lanes().to_string());
    let created = if let Some(sns) = &connection.sns {
        let tag = aws_sdk_sns::types::Tag::builder().key(LANES).value(lanes).build();
        let tag = tag.map_err(|error| BrokerError::Failed { operation: OPERATION, source: error.into() })?;
        let request = sns
            .create_topic()
            .name(names::topic(topic))
            .attributes("FifoTopic", "true")
            .attributes("ContentBasedDeduplication", "false")
            .attributes("FifoThroughputScope", "MessageGroup")
            .tags(tag);
        connection.call(request.send()).await.map(drop)
    } else {
        let request = connection.sqs.create_queue().queue_name(names::marker(topic)).tags(LANES, lanes);
        connection.call(request.send()).await.map(drop)
    };
    created.map_err(|error| error.about(OPERATION, &object))
}

/// A group as it is at the server.
struct GroupState<'p> {
    binding: &'p Binding,
    /// The URL of its queue, if it exists.
    url: Option<String>,
    has_dead_letters: bool,
    is_subscribed: bool,
    /// It was not used for its time, and counts as removed.
    has_expired: bool,
}

impl<'p> GroupState<'p> {
    async fn read(connection: &Connection, binding: &'p Binding) -> Result<Self, BrokerError> {
        refuse_other_order(connection, binding).await?;
        let url = find_queue(connection, &names::queue(binding)).await?;
        let has_dead_letters = find_queue(connection, &names::dead_letters(binding)).await?.is_some();
        let mut this = Self { binding, url, has_dead_letters, is_subscribed: false, has_expired: false };
        if let Some(url) = &this.url {
            let tags = tags(connection, url).await?;
            this.check(&tags)?;
            this.is_subscribed = is_subscribed(connection, binding, &tags).await?;
            this.has_expired = expiry::has_expired(&tags);
        }
        Ok(this)
    }

    fn check(&self, tags: &Tags) -> Result<(), BrokerError> {
        let expiry = self.binding.expires_after.map(|time| time.as_millis().to_string());
        let wanted = [
            (TOPIC, Some(self.binding.topic.name())),
            (GROUP, Some(self.binding.group.name())),
            (EXPIRES_AFTER, expiry.as_deref()),
        ];
        for (name, wanted) in wanted {
            let found = tags.get(name).map(String::as_str);
            if found != wanted {
                let shown = |value: Option<&str>| {
                    value.map_or_else(|| format!("no tag {name}"), |v| format!("the tag {name} {v}"))
                };
                return Err(BrokerError::Mismatch {
                    object: queue_object(&names::queue(self.binding)),
                    expected: shown(wanted),
                    actual: shown(found),
                    cure: "bind all members of the group in the same way, or delete its queue".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The objects that are missing.
    fn missing(&self, connection: &Connection) -> Vec<String> {
        let name = names::queue(self.binding);
        let has_queue = self.url.is_some() && !self.has_expired;
        let objects = [
            (!self.has_dead_letters, queue_object(&names::dead_letters(self.binding))),
            (!has_queue, queue_object(&name)),
            (connection.sns.is_some() && !self.is_subscribed, format!("subscription of queue {name}")),
        ];
        objects.into_iter().filter_map(|(missing, object)| missing.then_some(object)).collect()
    }

    async fn declare(self, connection: &Connection) -> Result<(), BrokerError> {
        if self.has_expired
            && let Some(url) = &self.url
        {
            // A queue that is deleted can't be made anew for a minute.
            return expiry::revive(connection, url).await;
        }
        if self.missing(connection).is_empty() {
            return Ok(());
        }
        let name = names::queue(self.binding);
        let failed = |error: CallError| error.about(OPERATION, &queue_object(&name));
        let dead = names::dead_letters(self.binding);
        let dead_url = create_queue(connection, &dead, self.attributes(None), HashMap::new()).await.map_err(failed)?;
        let request = connection.sqs.get_queue_attributes().queue_url(dead_url);
        let answer = connection.call(request.attribute_names(QueueAttributeName::QueueArn).send()).await;
        let arns = answer.map_err(failed)?.attributes.unwrap_or_default();
        let dead_arn = arns.get(&QueueAttributeName::QueueArn).cloned().unwrap_or_default();
        let arn = dead_arn.strip_suffix(&*dead).map(|start| format!("{start}{name}")).unwrap_or_default();
        let mut attributes = self.attributes(Some(&dead_arn));
        if connection.sns.is_some() {
            let policy = policy(&arn, &connection.topic_arn(&self.binding.topic));
            attributes.insert(QueueAttributeName::Policy, policy.to_string());
        }
        let url = create_queue(connection, &name, attributes, self.tags()).await.map_err(failed)?;
        if !self.is_subscribed && connection.sns.is_some() {
            let subscription = subscribe(connection, self.binding, &arn).await?;
            tag(connection, &url, SUBSCRIPTION, &subscription).await.map_err(failed)?;
        }
        Ok(())
    }

    /// The attributes of its queue, or without dead letters those of the queue for them.
    fn attributes(&self, dead_letters: Option<&str>) -> HashMap<QueueAttributeName, String> {
        let binding = self.binding;
        let (least, most) = RETENTION;
        let kept = binding.topic.kept_for().filter(|_| dead_letters.is_some()).unwrap_or(most).clamp(least, most);
        let mut attributes = HashMap::from([(QueueAttributeName::MessageRetentionPeriod, kept.as_secs().to_string())]);
        if binding.order == Order::PerKey {
            attributes.insert(QueueAttributeName::FifoQueue, "true".to_owned());
            attributes.insert(QueueAttributeName::DeduplicationScope, "messageGroup".to_owned());
            attributes.insert(QueueAttributeName::FifoThroughputLimit, "perMessageGroupId".to_owned());
        }
        if let Some(arn) = dead_letters {
            let redrive = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": MAX_DELIVERIES });
            attributes.insert(QueueAttributeName::RedrivePolicy, redrive.to_string());
            attributes.insert(QueueAttributeName::VisibilityTimeout, lease(binding).as_secs().to_string());
        }
        attributes
    }

    fn tags(&self) -> Tags {
        let text = |text: &str| text.to_owned();
        let mut tags = Tags::from([
            (text(TOPIC), text(self.binding.topic.name())),
            (text(GROUP), text(self.binding.group.name())),
        ]);
        if let Some(time) = self.binding.expires_after {
            tags.extend(expiry::tags(time));
        }
        tags
    }
}

/// A group that changes its order would start over with another queue, and leave the old one behind.
async fn refuse_other_order(connection: &Connection, binding: &Binding) -> Result<(), BrokerError> {
    let order = if binding.order == Order::PerKey { Order::Unordered } else { Order::PerKey };
    let other = names::queue(&binding.clone().order(order));
    match find_queue(connection, &other).await? {
        None => Ok(()),
        Some(_) => Err(BrokerError::Mismatch {
            object: queue_object(&other),
            expected: format!("the order {:?}", binding.order),
            actual: "the other order".to_owned(),
            cure: "use another group, or delete the queue of this one".to_owned(),
        }),
    }
}

async fn create_queue(
    connection: &Connection,
    name: &str,
    attributes: HashMap<QueueAttributeName, String>,
    tags: Tags,
) -> Result<String, CallError> {
    let request = connection.sqs.create_queue().queue_name(name).set_attributes(Some(attributes));
    let answer = connection.call(request.set_tags((!tags.is_empty()).then_some(tags)).send()).await?;
    Ok(answer.queue_url.unwrap_or_default())
}

/// Removes the queue of a group, its dead letters and its subscription.
pub(crate) async fn remove(connection: &Connection, url: &str, tags: &Tags) -> Result<(), CallError> {
    subscription::remove(connection, tags).await?;
    let dead = match url.strip_suffix(".fifo") {
        Some(start) => format!("{start}-dead.fifo"),
        None => format!("{url}-dead"),
    };
    for url in [url, &dead] {
        match connection.call(connection.sqs.delete_queue().queue_url(url).send()).await {
            Err(error) if !error.is_missing() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
