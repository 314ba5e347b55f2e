//! The adapter of SNS and SQS beside the SDK.

use anyhow::{Context as _, Result, ensure};
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use futures_util::future::try_join_all;
use recount::aws::AwsBroker;
use recount::messaging::Binding;

use super::compare::{self, Chain, Raw};
use crate::figures::{Figures, Floor};

const MESSAGES: usize = 6_400;
/// The server, which stands in for AWS, takes most of the time of both sides.
const FLOOR: Floor = Floor::AtLeast(0.6);
/// How many messages a request has at most.
const MAX_COUNT: usize = 10;
/// How many requests for messages are under way at once, as the adapter's.
const PARALLEL: usize = 4;

pub async fn measure(figures: &mut Figures, url: &str) -> Result<()> {
    let broker = AwsBroker::connect(url).await?;
    let (ours, raw) = (compare::binding("ours")?, compare::binding("raw")?);
    compare::declare(&broker, &[&ours, &raw]).await?;
    let mut raw = Client::open(url, &raw).await?;
    let names = (Some("aws_publish"), "aws_consume");
    compare::play(figures, names, (&broker, &ours), &mut raw, MESSAGES, FLOOR).await
}

/// Publishes batches of ten keys to the topic, and takes and deletes batches of ten from the queue.
struct Client {
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
    topic: String,
    queue: String,
}

impl Client {
    async fn open(url: &str, binding: &Binding) -> Result<Self> {
        let endpoint = super::endpoint(url)?;
        let credentials = Credentials::new("key", "secret", None, None, "bench");
        let http: SharedHttpClient = Builder::new().tls_provider(Provider::rustls(CryptoMode::Ring)).build_https();
        let (region, version) = (Region::new("us-east-1"), BehaviorVersion::v2026_01_12());
        let sns = aws_sdk_sns::Config::builder()
            .behavior_version(version)
            .http_client(http.clone())
            .credentials_provider(credentials.clone())
            .region(region.clone())
            .endpoint_url(endpoint)
            .build();
        let sqs = aws_sdk_sqs::Config::builder()
            .behavior_version(version)
            .http_client(http)
            .credentials_provider(credentials)
            .region(region)
            .endpoint_url(endpoint)
            .build();
        let (sns, sqs) = (aws_sdk_sns::Client::from_conf(sns), aws_sdk_sqs::Client::from_conf(sqs));
        let topic = format!("arn:aws:sns:us-east-1:000000000000:recount-{}.fifo", binding.topic);
        let subscriptions = sns.list_subscriptions_by_topic().topic_arn(&topic).send().await?;
        let subscription = subscriptions.subscriptions.unwrap_or_default().pop().context("the topic has no queue")?;
        let arn = subscription.endpoint.unwrap_or_default();
        let name = arn.rsplit(':').next().unwrap_or_default();
        let queue = sqs.get_queue_url().queue_name(name).send().await?.queue_url.unwrap_or_default();
        Ok(Self { sns, sqs, topic, queue })
    }

    async fn take(&self, count: usize) -> Result<()> {
        let mut taken = 0;
        while taken < count {
            let request = self.sqs.receive_message().queue_url(&self.queue);
            let wanted = i32::try_from((count - taken).min(MAX_COUNT))?;
            let answer = request
                .max_number_of_messages(wanted)
                .wait_time_seconds(5)
                .message_attribute_names("All")
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .send()
                .await?;
            let messages = answer.messages.unwrap_or_default();
            let mut delete = self.sqs.delete_message_batch().queue_url(&self.queue);
            for (number, message) in messages.iter().enumerate() {
                let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
                delete = delete.entries(entry.set_receipt_handle(message.receipt_handle.clone()).build()?);
            }
            taken += messages.len();
            if !messages.is_empty() {
                ensure!(delete.send().await?.failed.is_empty(), "messages were not deleted");
            }
        }
        Ok(())
    }
}

/// A message with the envelope that the adapter writes: a JSON document, and two attributes for filters.
fn entry(number: usize, id: String, key: String, body: &[u8]) -> Result<PublishBatchRequestEntry> {
    let text = |value: &str| MessageAttributeValue::builder().data_type("String").string_value(value).build();
    let document = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"bench\",\"type\":\"bench.sent\",\"schemaversion\":1,\
         \"datacontenttype\":\"application/json\",\"partitionkey\":\"{key}\",\"data\":{}}}",
        std::str::from_utf8(body)?
    );
    let entry = PublishBatchRequestEntry::builder().id(number.to_string()).message(document);
    let entry = entry.message_attributes("type", text("bench.sent")?).message_attributes("partitionkey", text(&key)?);
    Ok(entry.message_group_id(key).message_deduplication_id(id).build()?)
}

impl Raw for Client {
    async fn publish(&mut self, mut chains: Vec<Chain>) -> Result<()> {
        let (sns, topic) = (&self.sns, &self.topic);
        let parts = chains.chunks_mut(MAX_COUNT).enumerate().map(|(place, part)| async move {
            let mut keys: Vec<_> =
                part.iter_mut().map(|chain| std::mem::take(&mut chain.messages).into_iter()).collect();
            loop {
                let mut request = sns.publish_batch().topic_arn(topic);
                let mut any = false;
                for (number, key) in keys.iter_mut().enumerate() {
                    let Some((id, body)) = key.next() else { continue };
                    any = true;
                    // Each chain is of one key.
                    let group = format!("key-{}", place * MAX_COUNT + number);
                    request = request.publish_batch_request_entries(entry(number, id, group, &body)?);
                }
                if !any {
                    return anyhow::Ok(());
                }
                ensure!(request.send().await?.failed.unwrap_or_default().is_empty(), "messages were not stored");
            }
        });
        try_join_all(parts).await?;
        Ok(())
    }

    async fn consume(&mut self, lanes: &[usize]) -> Result<()> {
        let all: usize = lanes.iter().sum();
        let share = all / PARALLEL;
        let parts = (0..PARALLEL).map(|part| if part == 0 { all - share * (PARALLEL - 1) } else { share });
        try_join_all(parts.map(|count| self.take(count))).await?;
        Ok(())
    }
}
