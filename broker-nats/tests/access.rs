//! Encryption and credentials.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::time::Duration;

use common::{ensure, message, publish, take_all, unique};
use recount_broker_nats::NatsBroker;
use recount_messaging::{Broker, BrokerError};
use recount_servers::{Authority, Nats, NatsSettings};
use tokio::task::block_in_place;

const PASSWORD: &str = "hunter2-s3cret/@";

fn start(settings: NatsSettings) -> Nats {
    block_in_place(|| Nats::start_with(settings).unwrap())
}

async fn assert_works(broker: &NatsBroker) {
    let binding = unique(2);
    ensure(broker, &binding).await;
    publish(broker, &binding.topic, &[message("key", 1)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert_eq!(take_all(&mut *consumer, Duration::from_millis(500)).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_password_gets_in_and_a_wrong_one_is_refused_without_the_secret() {
    let login = Some(("shop".to_owned(), PASSWORD.to_owned()));
    let server = start(NatsSettings { login, ..NatsSettings::default() });
    let address = format!("127.0.0.1:{}", server.port());
    assert_works(&NatsBroker::connect(&format!("nats://shop:hunter2-s3cret%2F%40@{address}")).await.unwrap()).await;
    let options = NatsBroker::options(&format!("nats://{address}")).unwrap().password("shop", PASSWORD);
    let broker = options.connect().await.unwrap();
    assert!(!format!("{broker:?}").contains("hunter2"), "{broker:?}");
    for url in [format!("nats://shop:hunter3@{address}"), format!("nats://hunter3@{address}")] {
        let error = NatsBroker::connect(&url).await.unwrap_err();
        assert!(matches!(error, BrokerError::NotAllowed { .. }), "{error:?}");
        let source = std::error::Error::source(&error).unwrap();
        let text = format!("{error} {error:?} {source} {source:?}");
        assert!(!text.contains("hunter3") && !text.contains("shop"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_connection_needs_a_trusted_certificate() {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let certificate = Some(authority.certificate(&["127.0.0.1"]).unwrap());
    let server = start(NatsSettings { certificate, ..NatsSettings::default() });
    let address = format!("127.0.0.1:{}", server.port());
    let ca = authority.file.display();
    assert_works(&NatsBroker::connect(&format!("tls://{address}?ca={ca}")).await.unwrap()).await;
    let options = NatsBroker::options(&format!("nats://{address}")).unwrap();
    assert_works(&options.clone().root_certificates(&authority.file).connect().await.unwrap()).await;
    assert!(options.clone().root_certificates(&other.file).connect().await.is_err(), "a foreign authority");
    assert!(options.tls().connect().await.is_err(), "an authority that the system does not know");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_server_gets_no_password_if_encryption_is_demanded() {
    let server = start(NatsSettings::default());
    let options = NatsBroker::options(&format!("tls://shop:{PASSWORD}@127.0.0.1:{}", server.port()));
    // The password has to be escaped in an address; nothing of it is shown.
    let text = format!("{:?}", options.unwrap_err());
    assert!(!text.contains("hunter2"), "{text}");
    let options = NatsBroker::options(&format!("tls://127.0.0.1:{}", server.port())).unwrap();
    assert!(options.password("shop", PASSWORD).connect().await.is_err());
    assert!(!server.log().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_unavailable() {
    let server = start(NatsSettings::default());
    let url = server.url();
    drop(server);
    let error = NatsBroker::connect(&url).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_ends_connecting_in_time() {
    let server = start(NatsSettings::default());
    server.freeze();
    let options = NatsBroker::options(&server.url()).unwrap().call_timeout(Duration::from_secs(1));
    let started = std::time::Instant::now();
    let error = options.connect().await.unwrap_err();
    server.resume();
    assert!(error.is_transient() && started.elapsed() < Duration::from_secs(3), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_the_server_is_followed() {
    let lines = vec!["max_payload: 8192".to_owned()];
    let server = start(NatsSettings { lines, ..NatsSettings::default() });
    let (broker, binding) = (NatsBroker::connect(&server.url()).await.unwrap(), unique(2));
    assert_eq!(broker.capabilities(&binding).max_message.bytes, 8192);
    ensure(&broker, &binding).await;
    let mut large = message("key", 1);
    large.data = vec![b'1'; 8000].into();
    let fate = broker.publish(&binding.topic, vec![large.into()]).await.pop().unwrap();
    assert!(
        matches!(&fate, recount_messaging::Fate::Refused(refusal) if refusal.to_string().contains("8192")),
        "{fate:?}"
    );
}
