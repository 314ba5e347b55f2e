//! Groups that exist in part, with other settings, or that several programs declare at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName as Name;
use common::{Kind, Server, ensure, message, numbers, publish, take, take_all, unique};
use recount_broker_aws::Fanout;
use recount_messaging::{Attempts, Binding, BrokerError, Order, Plan, Settle, Topic};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The quiet time after which no more messages are expected.
const QUIET: Duration = Duration::from_secs(2);

fn plan(binding: &Binding) -> Plan {
    Plan { bindings: vec![binding.clone()], ..Plan::default() }
}

async fn queue(server: &Server, binding: &Binding) -> String {
    server.native().queues(&binding.topic).await.pop().expect("a queue")
}

async fn attributes(server: &Server, url: &str) -> HashMap<Name, String> {
    let native = server.native();
    let request = native.sqs.get_queue_attributes().queue_url(url).attribute_names(Name::All);
    request.send().await.unwrap().attributes.unwrap()
}

async fn set(server: &Server, url: &str, name: Name, value: &str) {
    server.native().sqs.set_queue_attributes().queue_url(url).attributes(name, value).send().await.unwrap();
}

async fn unsubscribe_all(server: &Server, topic: &Topic) {
    let sns = server.native().sns;
    let arn = format!("arn:aws:sns:us-east-1:000000000000:recount-{topic}.fifo");
    let listed = sns.list_subscriptions_by_topic().topic_arn(&arn).send().await.unwrap();
    for subscription in listed.subscriptions.unwrap_or_default() {
        sns.unsubscribe().subscription_arn(subscription.subscription_arn.unwrap()).send().await.unwrap();
    }
}

/// A removal that was cut off leaves the queue of a group without its subscription. Declared again, the group gets all
/// that is published from then on: a message that is *stored* would be lost for it. Its old messages are gone.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_group_without_its_parts_is_declared_as_a_whole() {
    let mut cases = JoinSet::new();
    for kind in [Kind::Sqs, Kind::Sns] {
        cases.spawn(async move {
            let server = Server::shared(kind).await;
            let (broker, binding) = (server.connect().await, unique().expires_after(Duration::from_secs(1)));
            ensure(&*broker, &binding).await;
            publish(&*broker, &binding.topic, &[message("key", 0)]).await;
            if kind == Kind::Sns {
                unsubscribe_all(&server, &binding.topic).await;
            }
            let dead = queue(&server, &binding).await.replace(".fifo", "-dead.fifo");
            server.native().sqs.delete_queue().queue_url(dead).send().await.unwrap();
            sleep(Duration::from_secs(13)).await;
            let changes = broker.ensure(&plan(&binding), true).await.unwrap();
            assert_eq!(changes.len(), if kind == Kind::Sns { 3 } else { 2 }, "{kind:?}: {changes:?}");
            assert_eq!(broker.ensure(&plan(&binding), false).await.unwrap(), changes, "{kind:?}");
            assert_eq!(broker.ensure(&plan(&binding), true).await.unwrap(), [], "{kind:?}");
            publish(&*broker, &binding.topic, &[message("key", 1)]).await;
            let mut consumer = broker.subscribe(&binding).await.unwrap();
            assert_eq!(numbers(&take_all(&mut *consumer, QUIET).await), [1], "{kind:?}");
        });
    }
    cases.join_all().await;
}

/// Settings of a queue that break a promise are a mismatch that names the queue, the setting and both values. Others are the
/// operator's, and stay.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_settings_that_break_a_promise_is_a_mismatch() {
    for kind in [Kind::Sqs, Kind::Sns] {
        let server = Server::shared(kind).await;
        let (broker, binding) = (server.connect().await, unique());
        ensure(&*broker, &binding).await;
        let url = queue(&server, &binding).await;
        let name = url.rsplit('/').next().unwrap();
        let declared = attributes(&server, &url).await;
        let redrive = declared[&Name::RedrivePolicy].clone();
        let mut cases = vec![
            (Name::RedrivePolicy, redrive.replace("1000", "2"), redrive),
            (Name::DelaySeconds, "900".to_owned(), "0".to_owned()),
        ];
        if kind == Kind::Sns {
            cases.push((Name::Policy, String::new(), declared[&Name::Policy].clone()));
            cases.push((Name::RedrivePolicy, String::new(), declared[&Name::RedrivePolicy].clone()));
            // ElasticMQ has no retention, and does not let the other one be set.
            cases.push((Name::MessageRetentionPeriod, "3600".to_owned(), "1209600".to_owned()));
            cases.push((Name::ContentBasedDeduplication, "true".to_owned(), "false".to_owned()));
        }
        for (setting, bad, good) in cases {
            set(&server, &url, setting.clone(), &bad).await;
            for dry_run in [true, false] {
                let outcome = broker.ensure(&plan(&binding), dry_run).await;
                let Err(error) = outcome else {
                    panic!("{kind:?}, {setting}: {outcome:?} of {:?}", attributes(&server, &url).await)
                };
                assert!(matches!(error, BrokerError::Mismatch { .. }), "{kind:?}, {setting}: {error:?}");
                let text = error.to_string();
                assert!(text.contains(name) && text.contains(setting.as_str()) && text.contains(&bad), "{text}");
            }
            set(&server, &url, setting.clone(), &good).await;
            assert_eq!(broker.ensure(&plan(&binding), false).await.unwrap(), [], "{kind:?}, {setting}");
        }
        set(&server, &url, Name::VisibilityTimeout, "77").await;
        assert_eq!(broker.ensure(&plan(&binding), false).await.unwrap(), [], "{kind:?}");
        // A topic that keeps its messages for less than the queue does.
        let mut shorter = binding.clone();
        shorter.topic = shorter.topic.keep_for(Duration::from_secs(3600));
        assert_eq!(broker.ensure(&plan(&shorter), false).await.unwrap(), [], "{kind:?}");
        assert_eq!(attributes(&server, &url).await[&Name::VisibilityTimeout], "77");
    }
}

/// A queue that was declared without SNS has no policy that lets SNS send to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_was_declared_without_sns_is_a_mismatch_with_it() {
    let server = Server::shared(Kind::Sns).await;
    let (broker, binding) = (server.options().fanout(Fanout::Sqs).connect().await.unwrap(), unique());
    ensure(&broker, &binding).await;
    let error = server.connect().await.ensure(&plan(&binding), false).await.unwrap_err();
    assert!(matches!(&error, BrokerError::Mismatch { .. }) && error.to_string().contains("no Policy"), "{error}");
}

/// Instances of a service start at once: each declares its groups, and none fails. The tags of a group that expires have the
/// time, which differs.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_declared_by_several_programs_at_once() {
    for kind in [Kind::Sqs, Kind::Sns] {
        let server = Server::shared(kind).await;
        for expires_after in [None, Some(Duration::from_secs(3600))] {
            for order in [Order::PerKey, Order::Unordered] {
                let mut binding = unique().order(order);
                binding.expires_after = expires_after;
                let mut programs = JoinSet::new();
                for _ in 0..6 {
                    let (broker, plan) = (server.connect().await, plan(&binding));
                    programs.spawn(async move { broker.ensure(&plan, false).await });
                }
                for outcome in programs.join_all().await {
                    assert!(outcome.is_ok(), "{kind:?}, {binding:?}: {outcome:?}");
                }
                let broker = server.connect().await;
                assert_eq!(broker.ensure(&plan(&binding), true).await.unwrap(), [], "{kind:?}");
                publish(&*broker, &binding.topic, &[message("key", 1)]).await;
                let mut consumer = broker.subscribe(&binding).await.unwrap();
                assert_eq!(numbers(&take_all(&mut *consumer, QUIET).await), [1], "{kind:?}, {binding:?}");
            }
        }
    }
}

/// The lease is no setting of a queue: each request has it. So another one is no hindrance when a part is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_subscription_is_declared_again_with_another_lease() {
    let server = Server::shared(Kind::Sns).await;
    let (broker, binding) = (server.connect().await, unique());
    ensure(&*broker, &binding).await;
    unsubscribe_all(&server, &binding.topic).await;
    let other = binding.clone().lease(Duration::from_secs(60));
    let changes = broker.ensure(&plan(&other), false).await.unwrap();
    assert!(changes.len() == 1 && changes[0].object.starts_with("subscription"), "{changes:?}");
    publish(&*broker, &binding.topic, &[message("key", 1)]).await;
    let mut consumer = broker.subscribe(&other).await.unwrap();
    assert_eq!(numbers(&take_all(&mut *consumer, QUIET).await), [1]);
}

/// A server counts messages that came along with an earlier one of their key, and were not handed out. So a count above one is
/// not exact.
#[tokio::test(flavor = "multi_thread")]
async fn the_count_of_a_message_that_came_along_is_not_exact() {
    let server = Server::shared(Kind::Sqs).await;
    let (broker, binding) = (server.connect().await, unique());
    ensure(&*broker, &binding).await;
    publish(&*broker, &binding.topic, &[message("key", 0), message("key", 1)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    for release in 0..3 {
        let first = take(&mut *consumer, 10).await.remove(0);
        assert_eq!(first.attempts, if release == 0 { Attempts::Exact(0) } else { Attempts::AtLeast(release) });
        assert!(consumer.settle(vec![(first.ticket, Settle::Release)]).await[0].is_done());
    }
    let rest = take_all(&mut *consumer, QUIET).await;
    assert_eq!(numbers(&rest), [0, 1]);
    assert!(rest.iter().all(|delivery| matches!(delivery.attempts, Attempts::AtLeast(_))), "{rest:?}");
}
