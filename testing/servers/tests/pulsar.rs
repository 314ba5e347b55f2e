//! A private Pulsar starts, and starts again on its data.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

use recount_servers::Pulsar;

#[test]
fn a_server_starts_and_starts_again() {
    let mut server = Pulsar::start().unwrap();
    let url = server.url();
    server.restart().unwrap();
    assert_eq!(server.url(), url);
}
