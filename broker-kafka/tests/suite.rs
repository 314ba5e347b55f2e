//! The conformance suite on a real server.

mod common;

use common::Server;

/// The server that the environment names serves all tests but those of outages, which kill and freeze one of their own.
async fn server() -> Server {
    let of_outages = std::thread::current().name().is_some_and(|test| test.contains("outages::"));
    if of_outages { Server::private().await } else { Server::any().await }
}

recount_testing::broker_suite!(server().await);
