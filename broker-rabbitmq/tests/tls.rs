//! Encrypted connections: the certificate of the server is checked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::path::PathBuf;

use common::{ensure, message, publish, take, unique};
use rcgen::{CertificateParams, KeyPair};
use recount_broker_rabbitmq::RabbitOptions;
use recount_messaging::{Broker, BrokerError};
use recount_servers::RabbitMq;

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_connection_needs_a_certificate_that_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let (trusted, key) = (directory.path().join("certificate.pem"), directory.path().join("key.pem"));
    let of_server = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&of_server).unwrap();
    std::fs::write(&trusted, certificate.pem()).unwrap();
    std::fs::write(&key, of_server.serialize_pem()).unwrap();
    let start = (trusted.clone(), key);
    let server =
        tokio::task::spawn_blocking(move || RabbitMq::start_with_tls(&start.0, &start.1).unwrap()).await.unwrap();
    let url = format!("{}?timeout=5", server.tls_url().unwrap());
    let options = RabbitOptions::new(&url).unwrap();

    let with_file = RabbitOptions::new(&format!("{url}&ca={}", trusted.display())).unwrap();
    let broker = with_file.connect().await.unwrap();
    let binding = unique();
    ensure(&broker, &binding).await;
    let sent = message("k", 1);
    assert!(publish(&broker, &binding.topic, std::slice::from_ref(&sent)).await[0].is_stored());
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let delivery = take(&mut *consumer, 1).await.remove(0);
    assert_eq!(delivery.message.unwrap(), sent);

    let error = options.clone().connect().await.unwrap_err();
    assert!(matches!(error, BrokerError::Unavailable { .. }), "{error:?}");
    let cause = format!("{:?}", std::error::Error::source(&error));
    assert!(cause.contains("ertificate") || cause.contains("Issuer"), "{cause}");
    for file in [directory.path().join("key.pem"), PathBuf::from("missing.pem")] {
        let error = options.clone().root_certificates(&file).connect().await.unwrap_err();
        assert!(matches!(error, BrokerError::Invalid { .. }), "{error:?}");
    }
}
