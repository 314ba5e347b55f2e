//! What Pulsar declares is what the documentation says, and probes of the limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use common::{Server, ensure, message, publish, single, take, unique};
use recount_broker_pulsar::PulsarBroker;
use recount_messaging::{Broker, Fate, Order, Refusal};
use recount_testing::broker::documented;

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_says_what_is_declared() {
    let broker = Server::shared().await.broker().await;
    let text = include_str!("../../docs/capabilities.md");
    documented(text, "## In order per key", "Pulsar", &broker.capabilities(&unique()));
    documented(text, "## Without order", "Pulsar", &broker.capabilities(&unique().order(Order::Unordered)));
}

/// The server's own limit is 5 MiB with the metadata: a message that is as large as declared, in headers or in data, is
/// stored and comes, and one byte more is refused here. A server that is sent more never answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_exactly_the_limit_comes_also_if_it_is_all_headers() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, single());
    ensure(&broker, &binding).await;
    let limit = broker.capabilities(&binding).max_message.bytes;
    let mut large = message("k", 0);
    large.metadata.headers.insert("x-large".to_owned(), "x".repeat(limit));
    let Fate::Refused(Refusal::TooLarge { size, .. }) =
        publish(&broker, &binding.topic, &[large.clone()]).await.remove(0)
    else {
        panic!("it is too large")
    };
    let header = large.metadata.headers.get_mut("x-large").unwrap();
    header.truncate(limit - (size - limit));
    let mut over = large.clone();
    over.metadata.headers.get_mut("x-large").unwrap().push('x');
    let fates = publish(&broker, &binding.topic, &[over, message("l", 1)]).await;
    assert!(matches!(fates[0], Fate::Refused(Refusal::TooLarge { .. })) && fates[1].is_stored(), "{fates:?}");
    let mut data = message("m", 2);
    data.data = vec![b'1'; limit - 500].into();
    let fates = publish(&broker, &binding.topic, &[large.clone(), data.clone()]).await;
    assert!(fates.iter().all(Fate::is_stored), "{fates:?}");
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let came: Vec<_> = take(&mut consumer, 3).await.into_iter().map(|delivery| delivery.message.unwrap()).collect();
    assert!(came.contains(&large) && came.contains(&data));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_was_set_is_the_declared_one() {
    let server = Server::shared().await;
    let broker = PulsarBroker::options(server.url()).unwrap().max_message(1000).connect().await.unwrap();
    let binding = single();
    ensure(&broker, &binding).await;
    assert_eq!(broker.capabilities(&binding).max_message.bytes, 1000);
    let mut large = message("k", 0);
    large.data = vec![b'1'; 1000].into();
    let fates = publish(&broker, &binding.topic, &[large]).await;
    assert!(matches!(fates[0], Fate::Refused(Refusal::TooLarge { limit: 1000, .. })), "{fates:?}");
}
