//! Tokens and encryption.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{Server, ensure, message, numbers, publish, take, unique};
use recount_broker_pulsar::PulsarBroker;
use recount_messaging::{Broker, BrokerError};
use recount_servers::{Authority, PulsarSettings};

/// For how long the first message of a lane waits without an answer of the admin interface.
const WAIT: Duration = Duration::from_millis(2500);
const SECRET: &str = "a-secret-key-of-at-least-32-bytes-for-tests";

/// A server that takes connections with tokens only, and the tokens of these roles. The first one is the superuser.
async fn secured(roles: [&str; 2]) -> (Server, [String; 2]) {
    let (key, tokens) = tokens(roles);
    let tokens = <[String; 2]>::try_from(tokens).unwrap();
    let (secret_key, admin_token) = (Some(key), Some(tokens[0].clone()));
    let settings = PulsarSettings { secret_key, admin_token, ..PulsarSettings::default() };
    (Server::with(settings).await, tokens)
}

/// The key in base64, and a token for each of these roles.
fn tokens(roles: [&str; 2]) -> (String, Vec<String>) {
    const SIGNER: &str = r#"
import base64, hashlib, hmac, json, sys
url = lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=")
secret = sys.argv[1].encode()
print(base64.b64encode(secret).decode())
for role in sys.argv[2:]:
    text = url(json.dumps({"alg": "HS256"}).encode()) + b"." + url(json.dumps({"sub": role}).encode())
    print((text + b"." + url(hmac.new(secret, text, hashlib.sha256).digest())).decode())
"#;
    let output = Command::new("python3").args(["-c", SIGNER, SECRET]).args(roles).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().map(str::to_owned);
    (lines.next().unwrap(), lines.collect())
}

/// All texts of an error.
fn texts(error: &BrokerError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    text
}

async fn works(broker: &PulsarBroker) {
    let binding = unique();
    ensure(broker, &binding).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    assert!(publish(broker, &binding.topic, &[message("k", 1)]).await[0].is_stored());
    assert_eq!(take(&mut consumer, 1).await.len(), 1);
    broker.health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_server_and_stays_secret() {
    let (server, [admin, guest]) = secured(["admin", "guest"]).await;
    let place = server.url().strip_prefix("pulsar://").unwrap();
    for url in [format!("pulsar://{admin}@{place}"), format!("pulsar://{place}&token={admin}")] {
        let broker = PulsarBroker::connect(&url).await.unwrap();
        works(&broker).await;
        assert!(!format!("{broker:?}").contains(&admin));
    }
    works(&PulsarBroker::options(server.url()).unwrap().token(&admin).connect().await.unwrap()).await;

    let forged = format!("{}x", guest.rsplit_once('.').unwrap().0);
    for wrong in [format!("pulsar://{forged}@{place}"), server.url().to_owned()] {
        let error = PulsarBroker::connect(&wrong).await.unwrap_err();
        assert!(matches!(error, BrokerError::NotAllowed { .. }), "{error:?}");
        assert!(!texts(&error).contains(&forged), "{error:?}");
    }
    // A role without rights gets in, and may do nothing.
    let broker = PulsarBroker::connect(&format!("pulsar://{guest}@{place}")).await;
    let error = match broker {
        Ok(broker) => {
            let plan = recount_messaging::Plan { topics: vec![unique().topic], bindings: Vec::new() };
            broker.ensure(&plan, false).await.unwrap_err()
        }
        Err(error) => error,
    };
    assert!(matches!(error, BrokerError::NotAllowed { .. }), "{error:?}");
    assert!(!texts(&error).contains(&guest), "{error:?}");
}

/// Topics and groups that another role has declared can be used with the rights to produce and to consume. These rights suffice for
/// the questions that keep the order, so the first message comes at once.
#[tokio::test(flavor = "multi_thread")]
async fn the_rights_to_produce_and_consume_suffice_for_declared_objects() {
    let (server, [admin, service]) = secured(["admin", "service"]).await;
    server.call(|server| server.grant("service").unwrap()).await;
    let connect =
        async |token: &str| PulsarBroker::options(server.url()).unwrap().token(token).connect().await.unwrap();
    let (binding, broker) = (unique(), connect(&service).await);
    ensure(&connect(&admin).await, &binding).await;
    assert!(publish(&broker, &binding.topic, &[message("k", 1)]).await[0].is_stored());
    // A busy machine takes longer, too, but not each time.
    let mut times = Vec::new();
    while times.len() < 5 && times.iter().all(|time| *time >= WAIT) {
        let mut consumer = broker.subscribe(&binding).await.unwrap();
        let started = Instant::now();
        assert_eq!(numbers(&take(&mut consumer, 1).await), [1]);
        times.push(started.elapsed());
    }
    assert!(times.last().unwrap() < &WAIT, "it waited for {times:?}: the server does not say what is acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_connection_needs_a_certificate_that_is_trusted() {
    let authority = Authority::new().unwrap();
    let files = authority.certificate(&["localhost", "127.0.0.1"]).unwrap();
    let settings = PulsarSettings { certificate: Some(files), ..PulsarSettings::default() };
    let server = Server::with(settings).await;
    let url = server.call(|server| server.tls_url().unwrap()).await;
    works(&PulsarBroker::options(&url).unwrap().root_certificates(&authority.file).connect().await.unwrap()).await;
    works(&PulsarBroker::connect(&format!("{url}&ca={}", authority.file.display())).await.unwrap()).await;

    let untrusted = PulsarBroker::options(&url).unwrap().call_timeout(Duration::from_secs(3));
    let error = untrusted.connect().await.unwrap_err();
    assert!(matches!(error, BrokerError::Unavailable { .. }), "{error:?}");
    let missing = PulsarBroker::options(&url).unwrap().root_certificates("/no/such/file.pem").connect().await;
    assert!(matches!(missing.unwrap_err(), BrokerError::Invalid { .. }));
}
