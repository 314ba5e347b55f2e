//! Encryption and credentials.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::{ensure, message, publish, take_all, unique};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use recount_broker_kafka::KafkaBroker;
use recount_messaging::{Broker, BrokerError};
use recount_servers::{Kafka, KafkaSettings};
use tokio::task::block_in_place;

/// PEM files of a certificate authority, and of a certificate of it for `localhost` with its key.
struct Certificates {
    _directory: tempfile::TempDir,
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        // Otherwise it has the name of the certificate, which then passes for one that has signed itself.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let write = |name: &str, text: String| {
            let file = directory.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        Self {
            authority: write("ca.pem", authority.pem()),
            certificate: write("server.pem", certificate.pem()),
            key: write("server.key", key.serialize_pem()),
            _directory: directory,
        }
    }
}

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
    let certificates = Certificates::new();
    let settings = KafkaSettings {
        certificate: Some((certificates.certificate.clone(), certificates.key.clone())),
        login: Some(("app".to_owned(), "hunter2".to_owned())),
        ..KafkaSettings::default()
    };
    let kafka = block_in_place(|| Kafka::start_with(settings).unwrap());
    let ca = format!("&ca={}", certificates.authority.display());
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
