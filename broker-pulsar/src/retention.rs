//! How long the server keeps the messages of a topic.

use std::time::Duration;

use hyper::Method;
use recount_messaging::{BrokerError, Topic};
use serde_json::{Value, json};

use crate::PulsarOptions;
use crate::admin::request;
use crate::ensure::{OPERATION, topic_name};

/// The settings of a topic itself, without those of its namespace and of the server.
pub(crate) struct Settings {
    /// Minutes for which messages stay that every group has handled.
    minutes: Option<i64>,
    /// Seconds after which messages go that a group has not handled.
    ttl: Option<i64>,
}

impl Settings {
    async fn of(options: &PulsarOptions, path: &str) -> Result<Self, BrokerError> {
        let retention = value(options, &format!("{path}/retention?applied=false")).await?;
        let ttl = value(options, &format!("{path}/messageTTL?applied=false")).await?;
        let minutes = retention.get("retentionTimeInMinutes").and_then(Value::as_i64);
        Ok(Self { minutes, ttl: ttl.as_i64() })
    }
}

/// Compares an existing topic with the time for which it is declared to keep messages, if it is. Returns its settings then; those
/// that are missing are made by [`apply`].
///
/// # Errors
/// [`BrokerError::Mismatch`] if it keeps them for another time.
pub(crate) async fn compare(
    options: &PulsarOptions,
    topic: &Topic,
    path: &str,
) -> Result<Option<Settings>, BrokerError> {
    let Some(age) = topic.kept_for() else { return Ok(None) };
    let settings = Settings::of(options, path).await?;
    for (name, actual, expected) in
        [("retention in minutes", settings.minutes, minutes(age)), ("TTL in seconds", settings.ttl, seconds(age))]
    {
        if let Some(actual) = actual.filter(|actual| *actual != expected) {
            return Err(BrokerError::Mismatch {
                object: topic_name(topic),
                expected: format!("{name} of {expected}"),
                actual: actual.to_string(),
                cure: "set it, or change the topic's `keep_for`".to_owned(),
            });
        }
    }
    Ok(Some(settings))
}

/// Lets the server keep messages that every group has handled: late groups get them. Settings of an operator stay, unless the
/// topic is declared with a time of its own. `compared`: from [`compare`].
pub(crate) async fn apply(
    options: &PulsarOptions,
    topic: &Topic,
    path: &str,
    is_new: bool,
    compared: Option<Settings>,
) -> Result<(), BrokerError> {
    let age = topic.kept_for().or(options.max_age.filter(|_| is_new));
    let Some(age) = age else {
        let applied = value(options, &format!("{path}/retention?applied=true")).await?;
        let is_set = |name: &str| applied.get(name).and_then(Value::as_i64).is_some_and(|value| value != 0);
        if is_set("retentionTimeInMinutes") && is_set("retentionSizeInMB") {
            return Ok(());
        }
        return retain(options, path, options.max_age).await;
    };
    let settings = match compared {
        Some(settings) => settings,
        None => Settings::of(options, path).await?,
    };
    if settings.minutes.is_none() || settings.ttl.is_none() { retain(options, path, Some(age)).await } else { Ok(()) }
}

async fn retain(options: &PulsarOptions, path: &str, age: Option<Duration>) -> Result<(), BrokerError> {
    let minutes = age.map_or(-1, minutes);
    let retention = json!({ "retentionTimeInMinutes": minutes, "retentionSizeInMB": -1 }).to_string();
    post(options, &format!("{path}/retention"), Some(retention)).await?;
    if let Some(age) = age {
        post(options, &format!("{path}/messageTTL?messageTTL={}", seconds(age)), None).await?;
    }
    Ok(())
}

fn minutes(age: Duration) -> i64 {
    i64::try_from(age.as_secs().div_ceil(60).max(1)).unwrap_or(-1)
}

fn seconds(age: Duration) -> i64 {
    i64::try_from(age.as_secs()).unwrap_or(i64::MAX).clamp(1, i32::MAX.into())
}

/// The answer to a question, or null if there is none.
async fn value(options: &PulsarOptions, path: &str) -> Result<Value, BrokerError> {
    let answer = request(options, OPERATION, Method::GET, path, None).await?;
    let is_known = answer.status.is_success();
    Ok(if is_known { serde_json::from_slice(&answer.body).unwrap_or_default() } else { Value::Null })
}

pub(crate) async fn post(options: &PulsarOptions, path: &str, body: Option<String>) -> Result<(), BrokerError> {
    let answer = request(options, OPERATION, Method::POST, path, body).await?;
    if answer.status.is_success() { Ok(()) } else { Err(answer.error(OPERATION)) }
}
