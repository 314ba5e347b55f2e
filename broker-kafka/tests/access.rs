//! Encryption and credentials.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::time::Duration;

use common::{ensure, message, publish, take_all, unique};
use recount_broker_kafka::KafkaBroker;
use recount_messaging::{Broker, BrokerError};
use recount_servers::{Authority, Kafka, KafkaSettings};
use tokio::task::block_in_place;

async fn assert_works(url: &str) {
    let broker = KafkaBroker::connect(url).await.unwrap();
    assert!(!format!("{broker:?}").contains("hunter2"), "{broker:?}");
    let binding = unique(2);
    ensure(&broker, &binding).await;
    publish(&broker, &binding.topic, &[message("key", 1)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert_eq!(take_all(&mut *consumer, Duration::from_secs(2)).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_and_encrypted_connections_work_and_wrong_ones_are_refused_without_the_secret() {
    let authority = Authority::new().unwrap();
    let settings = KafkaSettings {
        certificate: Some(authority.certificate(&["localhost"]).unwrap()),
        login: Some(("app".to_owned(), "hunter2".to_owned())),
        ..KafkaSettings::default()
    };
    let kafka = block_in_place(|| Kafka::start_with(settings).unwrap());
    let ca = format!("&ca={}", authority.file.display());
    let (login, both) = (kafka.login_url().unwrap(), kafka.tls_login_url().unwrap() + &ca);
    assert_works(&(kafka.tls_url().unwrap() + &ca)).await;
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        assert_works(&format!("{login}?sasl={mechanism}")).await;
        assert_works(&format!("{both}&sasl={mechanism}")).await;
    }
    for url in [login.replace("hunter2", "hunter3"), both.replace("hunter2", "hunter3") + "&sasl=SCRAM-SHA-512"] {
        let error = KafkaBroker::connect(&url).await.unwrap_err();
        assert!(matches!(error, BrokerError::NotAllowed { .. }), "{error:?}");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hunter3"), "{text}");
    }
    // A certificate of an unknown authority.
    let error = KafkaBroker::connect(&format!("{}&timeout=5", kafka.tls_url().unwrap())).await.unwrap_err();
    assert!(matches!(error, BrokerError::Failed { .. }), "{error:?}");
}
