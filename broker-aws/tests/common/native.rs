//! The clients of the SDK, as a program without recount uses them.

use aws_sdk_sns::types as sns;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_sdk_sqs::types as sqs;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use recount_messaging::Topic;

use super::Kind;

pub(crate) struct Native {
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) sns: aws_sdk_sns::Client,
}

fn http() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::rustls(CryptoMode::Ring)).build_https()
}

impl Native {
    /// Connects to the endpoint in an address of the tests.
    pub(crate) fn connect(url: &str) -> Self {
        let endpoint = url.split("endpoint=").nth(1).expect("an endpoint").split('&').next().unwrap();
        let credentials = Credentials::new("key", "secret", None, None, "tests");
        let (region, version) = (Region::new("us-east-1"), BehaviorVersion::v2026_01_12());
        let sqs = aws_sdk_sqs::Config::builder()
            .behavior_version(version)
            .http_client(http())
            .credentials_provider(credentials.clone())
            .region(region.clone())
            .endpoint_url(endpoint)
            .build();
        let sns = aws_sdk_sns::Config::builder()
            .behavior_version(version)
            .http_client(http())
            .credentials_provider(credentials)
            .region(region)
            .endpoint_url(endpoint)
            .build();
        Self { sqs: aws_sdk_sqs::Client::from_conf(sqs), sns: aws_sdk_sns::Client::from_conf(sns) }
    }

    /// The URLs of the queues of a topic that begin with this.
    pub(crate) async fn queues(&self, topic: &Topic) -> Vec<String> {
        let start: String = topic.name().chars().take(19).collect();
        let listed = self.sqs.list_queues().queue_name_prefix(format!("recount-{start}")).send().await.unwrap();
        let mut own = Vec::new();
        for url in listed.queue_urls.unwrap_or_default() {
            let tags = self.sqs.list_queue_tags().queue_url(&url).send().await.unwrap().tags.unwrap_or_default();
            if tags.get("recount-topic").is_some_and(|name| name == topic.name()) {
                own.push(url);
            }
        }
        own
    }

    /// Publishes a message that was not made by recount.
    pub(crate) async fn publish(&self, kind: Kind, topic: &Topic, key: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        let (body, id) = (std::str::from_utf8(body).unwrap(), uuid::Uuid::now_v7().to_string());
        let text = |value: &[u8]| std::str::from_utf8(value).unwrap().to_owned();
        if kind == Kind::Sns {
            let arn = format!("arn:aws:sns:us-east-1:000000000000:recount-{topic}.fifo");
            let mut request = self.sns.publish().topic_arn(arn).message(body);
            for (name, value) in headers {
                let value = sns::MessageAttributeValue::builder().data_type("String").string_value(text(value));
                request = request.message_attributes(*name, value.build().unwrap());
            }
            request.message_group_id(key).message_deduplication_id(id).send().await.unwrap();
            return;
        }
        for url in self.queues(topic).await {
            let mut request = self.sqs.send_message().queue_url(&url).message_body(body);
            for (name, value) in headers {
                let value = sqs::MessageAttributeValue::builder().data_type("String").string_value(text(value));
                request = request.message_attributes(*name, value.build().unwrap());
            }
            request.message_group_id(key).message_deduplication_id(&id).send().await.unwrap();
        }
    }
}
