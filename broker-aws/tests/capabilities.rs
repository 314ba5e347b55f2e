//! What SQS and SNS declare is what the documentation says, and probes of the limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use common::{Kind, Server, ensure, message, publish, take_all, unique};
use recount_messaging::{Fate, LimitSource, Message, Order, Outgoing, Refusal};
use recount_testing::broker::documented;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_says_what_is_declared() {
    let text = include_str!("../../docs/capabilities.md");
    for (kind, name) in [(Kind::Sns, "SNS and SQS"), (Kind::Sqs, "SQS")] {
        let broker = Server::shared(kind).await.connect().await;
        documented(text, "## In order per key", name, &broker.capabilities(&unique()));
        documented(text, "## Without order", name, &broker.capabilities(&unique().order(Order::Unordered)));
    }
}

/// A limit that none of these servers enforces is declared as assumed.
#[tokio::test(flavor = "multi_thread")]
async fn limits_are_assumed() {
    for kind in [Kind::Sns, Kind::Sqs] {
        let broker = Server::shared(kind).await.connect().await;
        assert_eq!(broker.capabilities(&unique()).max_message.source, LimitSource::Assumed);
    }
}

/// The adapter and the server accept and refuse the same sizes: the adapter's limits are the server's.
#[tokio::test(flavor = "multi_thread")]
async fn the_servers_limit_is_the_declared_one() {
    for kind in [Kind::Sns, Kind::Sqs] {
        let server = Server::shared(kind).await;
        let (broker, binding) = (server.connect().await, unique());
        ensure(&*broker, &binding).await;
        let limit = broker.capabilities(&binding).max_message.bytes;
        let sized = |bytes: usize| Message { data: format!("\"{}\"", "a".repeat(bytes)).into(), ..message("k", 0) };
        let fate = broker.publish(&binding.topic, vec![Outgoing::new(sized(limit))]).await.pop();
        let Some(Fate::Refused(Refusal::TooLarge { size, .. })) = fate else { panic!("{fate:?}") };
        let greatest = sized(limit - (size - limit));
        publish(&*broker, &binding.topic, std::slice::from_ref(&greatest)).await;
        let mut consumer = broker.subscribe(&binding).await.unwrap();
        let arrived = take_all(&mut *consumer, Duration::from_secs(1)).await;
        assert_eq!(arrived[0].message.as_ref().unwrap(), &greatest);
        let (body, attributes) = (arrived[0].raw.body.len(), &arrived[0].raw.headers);
        let counted: usize = attributes.iter().map(|(name, value)| name.len() + "String".len() + value.len()).sum();
        assert_eq!(body + counted, limit, "the greatest message is as large as the limit");
        // The server itself refuses a byte more.
        let native = server.native();
        let over = "a".repeat(limit + 1);
        let refused = match kind {
            Kind::Sns => {
                let arn = format!("arn:aws:sns:us-east-1:000000000000:recount-{}.fifo", binding.topic);
                let request = native.sns.publish().topic_arn(arn).message(over);
                request.message_group_id("k").message_deduplication_id("k").send().await.is_err()
            }
            Kind::Sqs => {
                let url = native.queues(&binding.topic).await.remove(0);
                let request = native.sqs.send_message().queue_url(url).message_body(over);
                request.message_group_id("k").message_deduplication_id("k").send().await.is_err()
            }
        };
        assert!(refused, "{kind:?}");
    }
}
