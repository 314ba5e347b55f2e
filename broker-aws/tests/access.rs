//! Encryption: the stand-in behind an end of TLS, with certificates of an authority of our own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Kind, Server, ensure, message, publish, take_all, unique};
use recount_broker_aws::{AwsBroker, AwsOptions};
use recount_messaging::{Broker, BrokerError};
use recount_servers::Authority;
use recount_testing::broker::accept;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

/// An end of TLS before a server.
struct Encrypted {
    port: u16,
    /// How many connections were encrypted.
    handshakes: Arc<AtomicUsize>,
    /// How many were not: their first bytes were no handshake, or the client trusted the certificate not.
    failures: Arc<AtomicUsize>,
}

impl Encrypted {
    /// Before a port of this machine, with a certificate for this host.
    async fn before(server: u16, host: &str, authority: &Authority) -> Self {
        let (certificate, key) = authority.certificate(&[host]).unwrap();
        let certificate = CertificateDer::from_pem_file(certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (handshakes, failures) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counts = (Arc::clone(&handshakes), Arc::clone(&failures));
        tokio::spawn(async move {
            loop {
                let client = accept(&listener).await;
                let (acceptor, counts) = (acceptor.clone(), counts.clone());
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else {
                        counts.1.fetch_add(1, Ordering::Relaxed);
                        return;
                    };
                    counts.0.fetch_add(1, Ordering::Relaxed);
                    let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { port, handshakes, failures }
    }

    fn options(&self, scheme: &str) -> AwsOptions {
        let url = format!("sqs://AKIA:hunter2@us-east-1?endpoint={scheme}://127.0.0.1:{}", self.port);
        AwsBroker::options(&url).unwrap().wait(Duration::from_secs(1)).call_timeout(Duration::from_secs(4))
    }
}

async fn refused(options: AwsOptions) -> BrokerError {
    let error = options.connect().await.unwrap_err();
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    assert!(!text.contains("hunter2"), "{text}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_endpoint_needs_a_trusted_certificate_of_its_host() {
    let server = Server::shared(Kind::Sns).await;
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let encrypted = Encrypted::before(server.port(), "127.0.0.1", &authority).await;
    let broker = encrypted.options("https").root_certificates(&authority.file).connect().await.unwrap();
    let binding = unique();
    ensure(&broker, &binding).await;
    publish(&broker, &binding.topic, &[message("key", 1), message("other", 2)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert_eq!(take_all(&mut *consumer, Duration::from_secs(2)).await.len(), 2);
    consumer.drain(Duration::from_secs(5)).await;
    let handshakes = encrypted.handshakes.load(Ordering::Relaxed);
    assert!(handshakes > 0 && encrypted.failures.load(Ordering::Relaxed) == 0);

    for options in [encrypted.options("https").root_certificates(&other.file), encrypted.options("https")] {
        let error = refused(options).await;
        assert!(error.is_transient(), "{error:?}");
    }
    let elsewhere = Encrypted::before(server.port(), "sqs.example", &authority).await;
    refused(elsewhere.options("https").root_certificates(&authority.file)).await;
    assert_eq!(encrypted.handshakes.load(Ordering::Relaxed), handshakes, "nothing was sent without trust");
    assert_eq!(elsewhere.handshakes.load(Ordering::Relaxed), 0, "the certificate is another host's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_request_to_an_encrypted_endpoint_fails_without_the_secret() {
    let server = Server::shared(Kind::Sns).await;
    let authority = Authority::new().unwrap();
    let encrypted = Encrypted::before(server.port(), "127.0.0.1", &authority).await;
    refused(encrypted.options("http")).await;
    assert_eq!(encrypted.handshakes.load(Ordering::Relaxed), 0);
}

#[test]
fn a_file_without_certificates_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let [empty, none] = ["empty.pem", "none.pem"].map(|name| directory.path().join(name));
    std::fs::write(&empty, "hunter2").unwrap();
    // A block whose content is an empty sequence.
    std::fs::write(&none, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n").unwrap();
    for file in [empty, none, directory.path().join("missing.pem")] {
        let options = AwsBroker::options("sqs://AKIA:x@us-east-1?endpoint=https://127.0.0.1:1").unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let error = runtime.block_on(options.root_certificates(&file).connect()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&file.display().to_string()) && !text.contains("hunter2"), "{text}");
    }
}
