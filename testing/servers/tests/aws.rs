//! The private servers of SQS and SNS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use recount_servers::{Aws, AwsKind};

/// Creates a queue, and returns the server's answer.
fn create_queue(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let body = r#"{"QueueName":"probe"}"#;
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.0\r\n\
         x-amz-target: AmazonSQS.CreateQueue\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn is_created_before_and_after_a_restart(mut server: Aws) -> Result<()> {
    ensure!(create_queue(server.port())?.contains("probe"), "{}", server.log());
    server.freeze();
    server.resume();
    server.restart()?;
    ensure!(create_queue(server.port())?.contains("probe"), "{}", server.log());
    Ok(())
}

#[test]
fn elasticmq_starts_and_starts_again() -> Result<()> {
    is_created_before_and_after_a_restart(Aws::start(AwsKind::ElasticMq)?)
}

#[test]
fn fauxqs_starts_and_starts_again() -> Result<()> {
    is_created_before_and_after_a_restart(Aws::start(AwsKind::Fauxqs)?)?;
    is_created_before_and_after_a_restart(Aws::start(AwsKind::FauxqsInMemory)?)
}
