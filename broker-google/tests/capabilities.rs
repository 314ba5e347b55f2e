//! What Pub/Sub declares is what the documentation says, and settings that are refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::time::Duration;

use common::{PROJECT, Server, ensure, unique};
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::client::SubscriptionAdmin;
use google_cloud_pubsub::model::{DeadLetterPolicy, ExpirationPolicy};
use recount_broker_google::GoogleBroker;
use recount_messaging::{BrokerError, Order, Plan};
use recount_testing::broker::documented;

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_says_what_is_declared() {
    let server = Server::start().await;
    let (broker, binding) = (server.connect().await, unique());
    let text = include_str!("../../docs/capabilities.md");
    documented(text, "## In order per key", "Pub/Sub", &broker.capabilities(&binding));
    documented(text, "## Without order", "Pub/Sub", &broker.capabilities(&binding.order(Order::Unordered)));
}

async fn admin(server: &Server) -> SubscriptionAdmin {
    let endpoint = format!("http://127.0.0.1:{}", server.with(|fake| fake.admin_port()));
    let builder = SubscriptionAdmin::builder().with_endpoint(endpoint);
    builder.with_credentials(anonymous::Builder::new().build()).build().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_never_expires_unless_its_binding_says_so() {
    let server = Server::start().await;
    let (broker, binding) = (server.connect().await, unique());
    ensure(&*broker, &binding).await;
    let expiring = unique().expires_after(Duration::from_secs(3600));
    ensure(&*broker, &expiring).await;
    let admin = admin(&server).await;
    for (binding, ttl) in [(binding, None), (expiring, Some(24 * 60 * 60))] {
        let path = format!("projects/{}/subscriptions/recount-{}.{}", PROJECT, binding.topic, binding.group);
        let found = admin.get_subscription().set_subscription(path).send().await.unwrap();
        // Without a policy the service removes a subscription after 31 days without use.
        let policy = found.expiration_policy.expect("a policy");
        assert_eq!(policy.ttl.map(|ttl| ttl.seconds()), ttl);
        assert!(found.enable_message_ordering && found.dead_letter_policy.is_none());
    }
}

/// googleapis/google-cloud-dotnet#11793: a key of an ordered subscription is silent after one of its messages became a dead
/// letter. googleapis/java-pubsub#1974: with exactly-once delivery, acknowledgements out of order are refused, and messages wait
/// for their deadline.
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_lose_messages_or_their_order_are_refused() {
    let server = Server::start().await;
    let (broker, admin) = (server.connect().await, admin(&server).await);
    let topics = Plan { topics: vec![unique().topic, unique().topic], ..Plan::default() };
    broker.ensure(&topics, false).await.unwrap();
    let [topic, dead] =
        [0, 1].map(|index: usize| format!("projects/{}/topics/recount-{}", PROJECT, topics.topics[index]));
    for setting in ["dead letters", "a filter", "exactly once", "without order", "an expiry"] {
        let mut binding = unique();
        binding.topic = topics.topics[0].clone();
        let path = format!("projects/{}/subscriptions/recount-{}.{}", PROJECT, binding.topic, binding.group);
        let day = google_cloud_wkt::Duration::clamp(24 * 60 * 60, 0);
        let mut create = admin.create_subscription().set_name(path).set_topic(&topic);
        create = create.set_enable_message_ordering(setting != "without order");
        create = match setting {
            "dead letters" => create.set_dead_letter_policy(DeadLetterPolicy::new().set_dead_letter_topic(&dead)),
            "a filter" => create.set_filter("attributes.tenant = \"north\""),
            "an expiry" => create.set_expiration_policy(ExpirationPolicy::new().set_ttl(day)),
            "exactly once" => create.set_enable_exactly_once_delivery(true),
            _ => create,
        };
        create.send().await.unwrap();
        let plan = Plan { bindings: vec![binding.clone()], ..Plan::default() };
        let error = broker.ensure(&plan, false).await.unwrap_err();
        assert!(matches!(error, BrokerError::Mismatch { .. }), "{setting}: {error:?}");
        assert!(error.to_string().contains(binding.group.name()), "{error}");
        assert!(broker.subscribe(&binding).await.is_err(), "{setting}");
    }
}

/// Both endpoints count: the admin interface gets the credentials as well.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_a_file_are_not_sent_without_encryption() {
    // The key itself is read when the first token is signed.
    let account = serde_json::json!({
        "type": "service_account", "project_id": "p", "private_key_id": "1", "client_id": "1",
        "private_key": "none", "client_email": "a@p.iam.gserviceaccount.com",
        "token_uri": "https://127.0.0.1:1/token",
    });
    let file = std::env::temp_dir().join(format!("recount-google-key-{}.json", uuid::Uuid::now_v7()));
    std::fs::write(&file, account.to_string()).unwrap();
    for places in ["endpoint=http://127.0.0.1:1", "endpoint=https://127.0.0.1:1&admin=http://127.0.0.1:1"] {
        let url = format!("pubsub://{PROJECT}?{places}&credentials={}&timeout=5", file.display());
        let error = GoogleBroker::connect(&url).await.unwrap_err();
        assert!(matches!(error, BrokerError::Invalid { kind: "address for credentials", .. }), "{places}: {error:?}");
    }
    std::fs::remove_file(&file).unwrap();
}

/// The parts of an address are checked as those of a URL, also if they are set one by one.
#[tokio::test(flavor = "multi_thread")]
async fn places_that_are_none_are_refused_without_their_secrets() {
    let options = || GoogleBroker::options(&format!("pubsub://{PROJECT}")).unwrap();
    for options in [
        options().endpoint("https://ada:hunter2@host"),
        options().endpoint("https://host").admin_endpoint("https://ada:hunter2@host"),
        options().endpoint("host:8085"),
        options().admin_endpoint("http://127.0.0.1:1"),
    ] {
        let shown = format!("{options:?}");
        let error = options.connect().await.unwrap_err();
        assert!(matches!(error, BrokerError::Invalid { .. }), "{shown}: {error:?}");
        assert!(!format!("{shown} {error} {error:?}").contains("hunter2"), "{shown}: {error:?}");
    }
    for url in ["pubsub://localhost:8085", "pubsub://127.0.0.1", "pubsub://127.0.0.1:8085"] {
        let error = GoogleBroker::options(url).unwrap_err().to_string();
        assert!(error.contains("?endpoint=http://HOST:PORT"), "{error}");
    }
    assert!(GoogleBroker::options("pubsub://example.com:my-project").is_ok());
}
