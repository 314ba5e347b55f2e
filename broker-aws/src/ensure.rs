//! Declares topics, queues and subscriptions, and compares existing ones with the declaration.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use recount_messaging::{Binding, BrokerError, Change, Plan, Topic};

use crate::connection::Connection;
use crate::error::CallError;
use crate::group::GroupState;
use crate::settings::Attributes;
use crate::{expiry, names, subscription};

pub(crate) const OPERATION: &str = "declaring topics and groups";
/// The tag of a topic with its number of lanes.
const LANES: &str = "recount-lanes";
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

/// Creates a queue, and returns its URL.
pub(crate) async fn create_queue(
    connection: &Connection,
    name: &str,
    attributes: Attributes,
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
