//! Encrypted connections: the certificate of the server is checked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{ensure, message, publish, unique};
use recount_broker_rabbitmq::RabbitOptions;
use recount_messaging::{Broker, BrokerError, Room, Signal};
use recount_servers::RabbitMq;

/// A certificate for `localhost` and its key, as files of PEM.
fn certificate(directory: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
    command.args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]);
    command.arg("-keyout").arg(&key).arg("-out").arg(&certificate).stderr(Stdio::null());
    assert!(command.status().unwrap().success(), "openssl is needed for a certificate");
    (certificate, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_connection_needs_a_certificate_that_is_trusted() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("rabbitmq-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (trusted, key) = certificate(&directory);
    let pem = std::fs::read_to_string(&trusted).unwrap();
    let server = tokio::task::spawn_blocking(move || RabbitMq::start_with_tls(&trusted, &key).unwrap()).await.unwrap();
    let options = RabbitOptions::new(&server.tls_url().unwrap()).unwrap().call_timeout(Duration::from_secs(5));

    let broker = options.clone().ca_certificates(&pem).connect().await.unwrap();
    let binding = unique();
    ensure(&broker, &binding).await;
    let sent = message("k", 1);
    assert!(publish(&broker, &binding.topic, std::slice::from_ref(&sent)).await[0].is_stored());
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let delivery = loop {
        if let Signal::Deliveries(mut deliveries) = consumer.next(&Room::of(1)).await.unwrap() {
            break deliveries.remove(0);
        }
    };
    assert_eq!(delivery.message.unwrap(), sent);

    let error = options.connect().await.unwrap_err();
    assert!(matches!(error, BrokerError::Unavailable { .. }), "{error:?}");
    let cause = format!("{:?}", std::error::Error::source(&error));
    assert!(cause.contains("ertificate") || cause.contains("Issuer"), "{cause}");
    std::fs::remove_dir_all(&directory).unwrap();
}
