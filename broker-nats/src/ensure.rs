//! Declares streams and consumers, and compares existing ones with the declaration.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use recount_messaging::{Binding, BrokerError, Change, Order, Plan, StartFrom, Topic};
use serde_json::{Value, json};

use crate::NatsOptions;
use crate::connection::Connection;
use crate::error::{Answer, ApiError};
use crate::names::{self, Durable};

const OPERATION: &str = "declaring topics and groups";
/// The key of the number of lanes in the metadata of a stream.
pub(crate) const LANES: &str = "recount.lanes";
/// The setting of a stream that says after how long it forgets messages, in nanoseconds.
const MAX_AGE: &str = "max_age";
/// The setting of a consumer that says after how long without use it is removed, in nanoseconds.
const EXPIRY: &str = "inactive_threshold";
/// How many requests are under way at once.
const PARALLEL: usize = 16;

/// Declares the missing streams and consumers. Everything is compared before anything is declared.
pub(crate) async fn ensure(connection: &Connection, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
    let (mut topics, bindings) = plan.distinct()?;
    topics.sort_by_key(|topic| topic.name());
    let objects = topics.into_iter().map(|topic| vec![Object::Stream(topic.clone())]);
    let objects = objects.chain(bindings.iter().map(|&binding| {
        names::durables(binding).into_iter().map(|durable| Object::Consumer(binding.clone(), durable)).collect()
    }));
    let mut missing = Vec::new();
    for &binding in &bindings {
        refuse_other_order(connection, binding).await?;
    }
    for objects in objects {
        let found = stream::iter(objects).map(|object| async move {
            let exists = object.compare(connection).await?;
            Ok::<_, BrokerError>((object, exists))
        });
        let found: Vec<_> = found.buffered(PARALLEL).try_collect().await?;
        missing.push(found.into_iter().filter(|(_, exists)| !exists).map(|(object, _)| object).collect::<Vec<_>>());
    }
    let mut changes = Vec::new();
    for objects in missing {
        changes.extend(objects.iter().map(|object| Change { object: object.name() }));
        if !dry_run {
            let created = stream::iter(objects).map(|object| async move { object.create(connection).await });
            created.buffer_unordered(PARALLEL).try_collect::<()>().await?;
        }
    }
    Ok(changes)
}

/// A group that changes its order would start over with other consumers, and leave the old ones behind.
async fn refuse_other_order(connection: &Connection, binding: &Binding) -> Result<(), BrokerError> {
    let other = names::of_other_order(binding);
    let object = consumer_name(&binding.topic, &other);
    match has_consumer(connection, &binding.topic, &other).await? {
        false => Ok(()),
        true => Err(BrokerError::Mismatch {
            object,
            expected: format!("the order {:?}", binding.order),
            actual: "the other order".to_owned(),
            cure: "use another group, or delete the consumers of this one".to_owned(),
        }),
    }
}

/// A stream or a consumer that a plan needs.
enum Object {
    Stream(Topic),
    Consumer(Binding, Durable),
}

impl Object {
    fn name(&self) -> String {
        match self {
            Self::Stream(topic) => stream_name(topic),
            Self::Consumer(binding, durable) => consumer_name(&binding.topic, durable),
        }
    }

    /// Whether it exists.
    ///
    /// # Errors
    /// [`BrokerError::Mismatch`] if it has other settings.
    async fn compare(&self, connection: &Connection) -> Result<bool, BrokerError> {
        let path = match self {
            Self::Stream(topic) => format!("STREAM.INFO.{}", names::stream(topic)),
            Self::Consumer(binding, durable) => consumer_path("INFO", &binding.topic, &durable.name),
        };
        let Some(found) = info(connection, &path, &self.name()).await? else { return Ok(false) };
        let (found, wanted) = (&found["config"], self.settings(connection));
        let compared: &[&str] = match self {
            Self::Stream(_) => &["subjects", "storage", "retention"],
            Self::Consumer(..) => &["filter_subject", "ack_policy", "ack_wait", "max_ack_pending", EXPIRY],
        };
        for setting in compared {
            self.check(setting, &wanted[setting], &found[setting], wanted[setting] == found[setting])?;
        }
        if let Self::Stream(topic) = self {
            let (lanes, declared) = (&wanted["metadata"][LANES], &found["metadata"][LANES]);
            self.check("lanes", lanes, declared, lanes == declared)?;
            // Unless the topic says it, operators may change it.
            if topic.kept_for().is_some() {
                self.check(MAX_AGE, &wanted[MAX_AGE], &found[MAX_AGE], wanted[MAX_AGE] == found[MAX_AGE])?;
            }
            for least in ["duplicate_window", "num_replicas"] {
                let (wanted, found) = (&wanted[least], &found[least]);
                self.check(least, wanted, found, found.as_u64() >= wanted.as_u64())?;
            }
        }
        Ok(true)
    }

    fn check(&self, setting: &str, wanted: &Value, found: &Value, fits: bool) -> Result<(), BrokerError> {
        if fits {
            return Ok(());
        }
        let cure = match setting {
            "lanes" => "use the number of lanes that the topic was declared with, or another topic",
            "ack_wait" => "bind all members of the group with the same lease, or delete its consumers",
            EXPIRY => "bind all members of the group with the same expiry, or delete its consumers",
            _ => "use this setting, or change the object by the tools of NATS",
        };
        Err(BrokerError::Mismatch {
            object: self.name(),
            expected: format!("{setting} {wanted}"),
            actual: format!("{setting} {found}"),
            cure: cure.to_owned(),
        })
    }

    fn settings(&self, connection: &Connection) -> Value {
        match self {
            Self::Stream(topic) => stream_settings(connection, topic),
            Self::Consumer(binding, durable) => consumer_settings(binding, durable, &start(binding)),
        }
    }

    async fn create(&self, connection: &Connection) -> Result<(), BrokerError> {
        let created = match self {
            Self::Stream(topic) => {
                let path = format!("STREAM.CREATE.{}", names::stream(topic));
                connection.api(OPERATION, &path, &self.settings(connection)).await.map(drop)
            }
            Self::Consumer(binding, durable) => create_consumer(connection, binding, durable, &start(binding)).await,
        };
        match created {
            // Another service was quicker.
            Err(ApiError::Answer(answer))
                if answer.code == Answer::STREAM_EXISTS || Answer::CONSUMER_EXISTS.contains(&answer.code) =>
            {
                self.compare(connection).await.map(drop)
            }
            created => created.map_err(|error| error.about(OPERATION, || self.name())),
        }
    }
}

/// The state of a stream or consumer, or `None` if it does not exist.
async fn info(connection: &Connection, path: &str, object: &str) -> Result<Option<Value>, BrokerError> {
    match connection.api(OPERATION, path, &Value::Null).await {
        Ok(found) => Ok(Some(found)),
        Err(ApiError::Answer(answer)) if answer.is_missing() => Ok(None),
        Err(error) => Err(error.about(OPERATION, || object.to_owned())),
    }
}

/// Where a new group starts, in the settings of a consumer.
fn start(binding: &Binding) -> Value {
    match binding.start {
        StartFrom::Earliest => json!({ "deliver_policy": "all" }),
        StartFrom::Latest => json!({ "deliver_policy": "new" }),
    }
}

fn stream_settings(connection: &Connection, topic: &Topic) -> Value {
    let options = &connection.options;
    let max_age = topic.kept_for().or(options.max_age);
    json!({
        "name": names::stream(topic),
        "subjects": [names::subjects(topic)],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msg_size": -1,
        "max_consumers": -1,
        "max_age": max_age.map_or(0, nanoseconds),
        "num_replicas": options.replicas,
        "duplicate_window": nanoseconds(duplicate_window(options, topic)),
        "metadata": { LANES: topic.lanes().to_string() },
    })
}

/// How long a new stream remembers ids: not longer than the messages of a topic that says how long these are kept.
pub(crate) fn duplicate_window(options: &NatsOptions, topic: &Topic) -> Duration {
    topic.kept_for().map_or(options.duplicate_window, |kept| kept.min(options.duplicate_window))
}

fn consumer_settings(binding: &Binding, durable: &Durable, start: &Value) -> Value {
    let mut settings = json!({
        "name": durable.name,
        "durable_name": durable.name,
        "filter_subject": durable.filter,
        "ack_policy": "explicit",
        "ack_wait": nanoseconds(binding.lease),
        "max_deliver": -1,
        // One message at a time keeps the order of a lane. Without order there is no limit, since messages that wait for a
        // delay count, and would keep all others back.
        "max_ack_pending": if binding.order == Order::PerKey { 1 } else { -1 },
        "replay_policy": "instant",
    });
    if let Some(time) = binding.expires_after {
        settings[EXPIRY] = nanoseconds(time).into();
    }
    for (name, value) in start.as_object().into_iter().flatten() {
        settings[name] = value.clone();
    }
    settings
}

/// Creates a consumer, which must not exist with other settings.
pub(crate) async fn create_consumer(
    connection: &Connection,
    binding: &Binding,
    durable: &Durable,
    start: &Value,
) -> Result<(), ApiError> {
    let path = format!("{}.{}", consumer_path("CREATE", &binding.topic, &durable.name), durable.filter);
    let settings = consumer_settings(binding, durable, start);
    let body = json!({ "stream_name": names::stream(&binding.topic), "config": settings, "action": "create" });
    connection.api(OPERATION, &path, &body).await.map(drop)
}

/// Deletes a consumer, if it exists.
pub(crate) async fn delete_consumer(connection: &Connection, topic: &Topic, durable: &Durable) -> Result<(), ApiError> {
    match connection.api(OPERATION, &consumer_path("DELETE", topic, &durable.name), &Value::Null).await {
        Err(ApiError::Answer(answer)) if answer.code == Answer::CONSUMER_NOT_FOUND => Ok(()),
        deleted => deleted.map(drop),
    }
}

/// Checks that the consumers of a binding exist.
///
/// # Errors
/// [`BrokerError::Missing`] names one that does not.
pub(crate) async fn check(connection: &Connection, binding: &Binding) -> Result<(), BrokerError> {
    let checked = stream::iter(names::durables(binding)).map(|durable| async move {
        match has_consumer(connection, &binding.topic, &durable).await? {
            true => Ok(()),
            false => Err(BrokerError::Missing { object: consumer_name(&binding.topic, &durable) }),
        }
    });
    checked.buffer_unordered(PARALLEL).try_collect().await
}

/// Whether a consumer exists.
pub(crate) async fn has_consumer(
    connection: &Connection,
    topic: &Topic,
    durable: &Durable,
) -> Result<bool, BrokerError> {
    let path = consumer_path("INFO", topic, &durable.name);
    Ok(info(connection, &path, &consumer_name(topic, durable)).await?.is_some())
}

/// Whether the stream of a topic exists.
pub(crate) async fn has_stream(connection: &Connection, topic: &Topic) -> Result<bool, BrokerError> {
    let path = format!("STREAM.INFO.{}", names::stream(topic));
    Ok(info(connection, &path, &stream_name(topic)).await?.is_some())
}

fn consumer_path(verb: &str, topic: &Topic, name: &str) -> String {
    format!("CONSUMER.{verb}.{}.{name}", names::stream(topic))
}

pub(crate) fn stream_name(topic: &Topic) -> String {
    format!("stream {}", names::stream(topic))
}

pub(crate) fn consumer_name(topic: &Topic, durable: &Durable) -> String {
    format!("consumer {} of stream {}", durable.name, names::stream(topic))
}

/// A time as the server takes it.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX >> 1)
}
