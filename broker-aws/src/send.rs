//! One request that sends a batch: to an SNS topic, or to a queue. Each entry has a fate of its own.

use std::collections::HashMap;

use aws_sdk_sns::types as sns;
use aws_sdk_sqs::types as sqs;
use recount_messaging::{BrokerError, Fate, Refusal};

use crate::connection::Connection;
use crate::envelope::{Encoded, TEXT};
use crate::error::{Answer, CallError};

pub(crate) const OPERATION: &str = "publishing";
/// How many messages a request has at most.
pub(crate) const MAX_COUNT: usize = 10;

/// Where a batch goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An SNS topic, by its ARN.
    Topic(String),
    /// A queue, by its URL.
    Queue { url: String, fifo: bool },
}

/// The answer about one entry.
pub(crate) type Outcome = Result<(), CallError>;

impl Target {
    /// Sends a batch of [`MAX_COUNT`] messages at most, with different message groups: a server may store one and refuse
    /// the one before it.
    pub(crate) async fn send(&self, connection: &Connection, batch: &[Encoded]) -> Vec<Outcome> {
        let answered = match (self, &connection.sns) {
            (Self::Topic(arn), Some(client)) => {
                let request = client.publish_batch().topic_arn(arn);
                let request = request.set_publish_batch_request_entries(Some(entries(batch, topic_entry)));
                connection.call(request.send()).await.map(|answer| {
                    let stored = answer.successful.unwrap_or_default().into_iter().filter_map(|entry| entry.id);
                    let failed = answer.failed.unwrap_or_default().into_iter().map(|entry| {
                        let answer = Answer::of_entry(&entry.code, entry.message.as_deref(), entry.sender_fault);
                        (entry.id, answer)
                    });
                    (stored.collect(), failed.collect())
                })
            }
            (Self::Topic(_), None) => Err(CallError::Closed),
            (Self::Queue { url, fifo }, _) => {
                let request = connection.sqs.send_message_batch().queue_url(url);
                let request = request.set_entries(Some(entries(batch, |id, one| queue_entry(id, one, *fifo))));
                connection.call(request.send()).await.map(|answer| {
                    let stored = answer.successful.into_iter().map(|entry| entry.id);
                    let failed = answer.failed.into_iter().map(|entry| {
                        let answer = Answer::of_entry(&entry.code, entry.message.as_deref(), entry.sender_fault);
                        (entry.id, answer)
                    });
                    (stored.collect(), failed.collect())
                })
            }
        };
        let (stored, mut failed): (Vec<String>, HashMap<String, Answer>) = match answered {
            Ok(outcomes) => outcomes,
            Err(error) => return batch.iter().map(|_| Err(error.clone())).collect(),
        };
        let outcome = |number: usize| {
            let id = number.to_string();
            match failed.remove(&id) {
                Some(answer) => Err(CallError::Answer(answer)),
                None if stored.contains(&id) => Ok(()),
                None => Err(CallError::Answer(Answer::of_entry("Unanswered", Some("the answer leaves it out"), false))),
            }
        };
        (0..batch.len()).map(outcome).collect()
    }
}

fn entries<T>(batch: &[Encoded], entry: impl Fn(String, &Encoded) -> Option<T>) -> Vec<T> {
    batch.iter().enumerate().filter_map(|(number, one)| entry(number.to_string(), one)).collect()
}

/// An entry that can't be built is left out, and so counts as unanswered: all its parts are set here.
fn topic_entry(id: String, one: &Encoded) -> Option<sns::PublishBatchRequestEntry> {
    let mut entry = sns::PublishBatchRequestEntry::builder()
        .id(id)
        .message(&one.body)
        .message_group_id(&one.group)
        .message_deduplication_id(&one.dedupe);
    for (name, value) in &one.attributes {
        let value = sns::MessageAttributeValue::builder().data_type(TEXT).string_value(value).build().ok()?;
        entry = entry.message_attributes(*name, value);
    }
    entry.build().ok()
}

fn queue_entry(id: String, one: &Encoded, fifo: bool) -> Option<sqs::SendMessageBatchRequestEntry> {
    let mut entry = sqs::SendMessageBatchRequestEntry::builder().id(id).message_body(&one.body);
    if fifo {
        entry = entry.message_group_id(&one.group).message_deduplication_id(&one.dedupe);
    }
    for (name, value) in &one.attributes {
        let value = sqs::MessageAttributeValue::builder().data_type(TEXT).string_value(value).build().ok()?;
        entry = entry.message_attributes(*name, value);
    }
    entry.build().ok()
}

/// The fate of a message with these outcomes, one for each queue that it was sent to.
pub(crate) fn fate(one: &Encoded, outcomes: Vec<Outcome>, object: &str) -> Fate {
    let sent = outcomes.len();
    let failed: Vec<CallError> = outcomes.into_iter().filter_map(Result::err).collect();
    let Some(error) = failed.iter().find(|error| error.is_uncertain()).or(failed.first()) else {
        return Fate::Stored(None);
    };
    if let CallError::Answer(answer) = error
        && answer.is_refusal()
        && failed.len() == sent
    {
        return Fate::Refused(Refusal::Broker { id: one.id.clone(), reason: answer.to_string() });
    }
    let told: BrokerError = error.about(OPERATION, object);
    // One queue may have it while another has not.
    if error.is_uncertain() || failed.len() < sent { Fate::Unknown(told) } else { Fate::NotSent(Some(told)) }
}
