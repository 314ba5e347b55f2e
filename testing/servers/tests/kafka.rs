//! A private Kafka starts, survives its kill, and starts again.

use std::io::Write;
use std::net::TcpStream;

use anyhow::Result;
use recount_servers::{Kafka, KafkaSettings};

#[test]
fn a_private_kafka_with_a_login_starts_and_starts_again() -> Result<()> {
    let login = Some(("app".to_owned(), "secret".to_owned()));
    let mut kafka = Kafka::start_with(KafkaSettings { login, ..KafkaSettings::default() })?;
    assert!(kafka.login_url().is_some() && kafka.tls_url().is_none());
    kafka.kill();
    assert!(TcpStream::connect(("127.0.0.1", kafka.port())).is_err());
    kafka.restart()?;
    TcpStream::connect(("127.0.0.1", kafka.port()))?.write_all(b"")?;
    Ok(())
}
