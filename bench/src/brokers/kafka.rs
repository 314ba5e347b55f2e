//! The adapter of Kafka beside rdkafka.

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use recount::kafka::KafkaBroker;
use recount::messaging::Binding;

use super::compare::{self, Chain, Raw};
use crate::figures::Figures;

const MESSAGES: usize = 12_800;

pub async fn measure(figures: &mut Figures, url: &str) -> Result<()> {
    let broker = KafkaBroker::connect(url).await?;
    let (ours, raw) = (compare::binding("ours")?, compare::binding("raw")?);
    compare::declare(&broker, &[&ours, &raw]).await?;
    let mut raw = Client::open(url, &raw)?;
    compare::play(
        figures,
        (Some("kafka_publish"), "kafka_consume"),
        (&broker, &ours),
        &mut raw,
        MESSAGES,
        compare::FLOOR,
    )
    .await
}

/// An idempotent producer, and a consumer that commits its position at the end of a round. Both have the adapter's settings.
struct Client {
    topic: String,
    producer: FutureProducer,
    consumer: StreamConsumer,
}

impl Client {
    fn open(url: &str, binding: &Binding) -> Result<Self> {
        let hosts = url.rsplit(['/', '@']).next().context("an address")?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", hosts).set("socket.nagle.disable", "true");
        let mut producer = config.clone();
        producer.set("enable.idempotence", "true").set("linger.ms", "0").set("message.timeout.ms", "0");
        config.set("group.id", format!("{}.{}", binding.group, binding.topic));
        config.set("enable.auto.commit", "false").set("partition.assignment.strategy", "cooperative-sticky");
        config.set("queued.max.messages.kbytes", "8192").set("fetch.queue.backoff.ms", "5");
        config.set("fetch.wait.max.ms", "250");
        let consumer: StreamConsumer = config.create()?;
        consumer.subscribe(&[binding.topic.name()])?;
        Ok(Self { topic: binding.topic.name().to_owned(), producer: producer.create()?, consumer })
    }
}

/// The headers that the adapter writes.
fn envelope(id: &str) -> OwnedHeaders {
    let names = ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_schemaversion", "ce_partitionkey"];
    let headers = names.into_iter().zip(compare::envelope(id));
    let headers = headers.chain([("content-type", "application/json")]);
    headers.fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }))
}

impl Raw for Client {
    async fn publish(&mut self, chains: Vec<Chain>) -> Result<()> {
        // The idempotent producer keeps the order of a partition, so nothing waits for the message before.
        let mut sent = Vec::new();
        for chain in chains {
            for (id, body) in chain.messages {
                let record = FutureRecord::to(&self.topic).partition(chain.lane.into()).key(&id).payload(&body[..]);
                let record = record.headers(envelope(&id));
                sent.push(self.producer.send_result(record).map_err(|(error, _)| error)?);
            }
        }
        for delivery in try_join_all(sent).await? {
            delivery.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    async fn consume(&mut self, lanes: &[usize]) -> Result<()> {
        for _ in 0..lanes.iter().sum() {
            // With its headers, in memory of its own.
            std::hint::black_box(self.consumer.recv().await?.detach());
        }
        let consumer = &self.consumer;
        Ok(tokio::task::block_in_place(|| consumer.commit_consumer_state(CommitMode::Sync))?)
    }
}
