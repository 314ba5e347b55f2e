//! The conformance suite on the servers that stand in for AWS. Claims that none of them can show are declared as assumed.

mod common;

use common::{Kind, Server};

/// One server serves all tests but those of outages, which kill and freeze one of their own.
async fn server(kind: Kind) -> Server {
    let of_outages = std::thread::current().name().is_some_and(|test| test.contains("outages::"));
    if of_outages { Server::private(kind).await } else { Server::shared(kind).await }
}

/// By SNS, on fauxqs.
mod sns {
    use super::*;
    recount_testing::broker_suite!(server(Kind::Sns).await);
}

/// By the publisher, on `ElasticMQ`.
mod sqs {
    use super::*;
    recount_testing::broker_suite!(server(Kind::Sqs).await);
}
