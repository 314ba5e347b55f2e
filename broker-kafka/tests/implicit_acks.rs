//! A message counts as stored only once the server says so of this message.
//!
//! A server that knows nothing of a producer in a partition takes its first batch with any sequence number. If the partition has no
//! leader for the first batch yet, and one for the next, the client library takes the success of the second one for that of both
//! (`rd_kafka_dr_implicit_ack` of librdkafka 2.12), and the first one is stored nowhere. Reported as KAFKA-15591, KAFKA-14312 and
//! confluent-kafka-go 921.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::num::NonZeroU16;
use std::time::Duration;

use common::message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use recount_broker_kafka::KafkaBroker;
use recount_messaging::{Broker, Topic};
use tokio::time::{Instant, sleep};

const TOPIC: &str = "implicit";
/// An answer takes as long: requests are under way together.
const ROUND_TRIP: Duration = Duration::from_millis(200);

/// The data of the messages that the topic has, in their order.
fn stored(hosts: &str, count: usize) -> Vec<String> {
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", hosts).set("group.id", "reader").create().unwrap();
    let mut start = TopicPartitionList::new();
    start.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
    client.assign(&start).unwrap();
    let (mut read, until) = (Vec::new(), Instant::now() + Duration::from_secs(5));
    while read.len() < count && Instant::now() < until {
        if let Some(Ok(record)) = client.poll(Duration::from_millis(100)) {
            read.push(String::from_utf8(record.payload().unwrap().to_vec()).unwrap());
        }
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_no_leader_took_is_stored_before_the_next_one() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let hosts = cluster.bootstrap_servers();
    let broker = KafkaBroker::connect(&format!("kafka://{hosts}")).await.unwrap();
    let topic = Topic::new(TOPIC).unwrap().with_lanes(NonZeroU16::MIN);
    let publish = async |n: usize| broker.publish(&topic, vec![message("key", n).into()]).await.remove(0);
    assert!(publish(0).await.is_stored(), "the producer is connected");
    cluster.broker_round_trip_time(1, ROUND_TRIP).unwrap();
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
    cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
    let later = async {
        sleep(ROUND_TRIP / 4).await;
        publish(2).await
    };
    let (first, second) = tokio::join!(publish(1), later);
    assert!(first.is_stored() && second.is_stored(), "{first:?}, {second:?}");
    assert_eq!(stored(&hosts, 3), ["0", "1", "2"]);
}
