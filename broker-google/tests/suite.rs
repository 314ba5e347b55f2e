//! The conformance suite on Google's own fake.

mod common;

use common::Server;

recount_testing::broker_suite!(Server::start().await);
