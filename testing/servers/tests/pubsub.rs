//! The fake of Pub/Sub starts, answers, fails to order and ends.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::net::TcpStream;
use std::time::Duration;

use recount_servers::{PubSub, PubSubFault};

#[test]
fn the_fake_of_pub_sub_starts_takes_faults_and_starts_again() {
    let mut server = PubSub::start().unwrap();
    let ports = (server.port(), server.admin_port());
    let (method, key) = ("Publish", "a \"key\"".to_owned());
    server.fault(&PubSubFault { method, count: 1, code: 14, done: true, delay: Duration::ZERO, key }).unwrap();
    server.clear_faults().unwrap();
    server.restart().unwrap();
    assert_eq!((server.port(), server.admin_port()), ports);
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_ok());
    server.kill();
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
}
