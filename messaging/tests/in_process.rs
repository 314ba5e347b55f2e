//! The in-process broker keeps the promises of every broker, in each of its profiles. Time is virtual.
#![allow(clippy::unwrap_used, reason = "a test")]

mod in_process_common;

use std::time::Duration;

use in_process_common::harness::{Server, in_virtual_time, settings};
use recount_messaging::{InProcess, Profile};

fn memory(profile: Profile) -> Server {
    Server { broker: InProcess::with_settings(settings(profile)), patience: Duration::from_secs(24 * 60 * 60) }
}

mod own {
    use super::*;
    recount_testing::broker_suite!(memory(Profile::Own), by in_virtual_time);
}
mod kafka {
    use super::*;
    recount_testing::broker_suite!(memory(Profile::Kafka), by in_virtual_time);
}
mod pulsar {
    use super::*;
    recount_testing::broker_suite!(memory(Profile::Pulsar), by in_virtual_time);
}
mod rabbitmq {
    use super::*;
    recount_testing::broker_suite!(memory(Profile::RabbitMq), by in_virtual_time);
}
mod nats {
    use super::*;
    recount_testing::broker_suite!(memory(Profile::Nats), by in_virtual_time);
}
mod fifo {
    use super::*;
    recount_testing::broker_suite!(memory(Profile::Fifo), by in_virtual_time);
}
mod pubsub {
    use super::*;
    recount_testing::broker_suite!(memory(Profile::PubSub), by in_virtual_time);
}
