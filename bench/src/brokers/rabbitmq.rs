//! The adapter of RabbitMQ beside lapin.

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};
use recount::messaging::Binding;
use recount::rabbitmq::RabbitBroker;

use super::compare::{self, Chain, Raw};
use crate::figures::Figures;

const MESSAGES: usize = 6_400;
/// As the adapter's.
const PREFETCH: u16 = 100;
const PERSISTENT: u8 = 2;

pub async fn measure(figures: &mut Figures, url: &str) -> Result<()> {
    let broker = RabbitBroker::connect(url).await?;
    let (ours, raw) = (compare::binding("ours")?, compare::binding("raw")?);
    compare::declare(&broker, &[&ours, &raw]).await?;
    let mut raw = Client::open(url, &raw).await?;
    compare::play(
        figures,
        (Some("rabbitmq_publish"), "rabbitmq_consume"),
        (&broker, &ours),
        &mut raw,
        MESSAGES,
        compare::FLOOR,
    )
    .await
}

/// Publishes with confirms and `mandatory`, and consumes each lane's quorum queue; a channel for each lane.
struct Client {
    /// It stays open.
    _connections: [Connection; 2],
    exchange: ShortString,
    publishing: Vec<Channel>,
    lanes: Vec<Consumer>,
}

impl Client {
    async fn open(url: &str, binding: &Binding) -> Result<Self> {
        let publisher = Connection::connect(url, ConnectionProperties::default()).await?;
        let consumer = Connection::connect(url, ConnectionProperties::default()).await?;
        let (mut publishing, mut lanes) = (Vec::new(), Vec::new());
        for lane in 0..binding.topic.lanes().get() {
            let channel = publisher.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            publishing.push(channel);
            let channel = consumer.create_channel().await?;
            channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
            let queue = format!("recount.{}.{}.{lane}", binding.topic, binding.group);
            let options = BasicConsumeOptions::default();
            lanes.push(channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?);
        }
        let exchange = format!("recount.{}", binding.topic).into();
        Ok(Self { _connections: [publisher, consumer], exchange, publishing, lanes })
    }
}

/// The properties and headers that the adapter writes.
fn envelope(id: &str) -> BasicProperties {
    const NAMES: [&str; 6] = [
        "cloudEvents:specversion",
        "cloudEvents:id",
        "cloudEvents:source",
        "cloudEvents:type",
        "cloudEvents:schemaversion",
        "cloudEvents:partitionkey",
    ];
    let mut headers = FieldTable::default();
    for (name, value) in NAMES.into_iter().zip(compare::envelope(id)) {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    BasicProperties::default().with_content_type("application/json".into()).with_headers(headers)
}

impl Raw for Client {
    async fn publish(&mut self, chains: Vec<Chain>) -> Result<()> {
        let (exchange, channels) = (&self.exchange, &self.publishing);
        let publishing = chains.into_iter().map(|chain| async move {
            let lane = ShortString::from(chain.lane.to_string());
            let channel = &channels[usize::from(chain.lane)];
            let options = BasicPublishOptions { mandatory: true, immediate: false };
            for (id, body) in chain.messages {
                let properties = envelope(&id).with_delivery_mode(PERSISTENT).with_message_id(id.into());
                let published = channel.basic_publish(exchange.clone(), lane.clone(), options, &body, properties);
                let confirmation = published.await?.await?;
                ensure!(matches!(confirmation, Confirmation::Ack(None)), "not stored: {confirmation:?}");
            }
            anyhow::Ok(())
        });
        try_join_all(publishing).await?;
        Ok(())
    }

    async fn consume(&mut self, lanes: &[usize]) -> Result<()> {
        let consuming = self.lanes.iter_mut().zip(lanes).map(|(lane, messages)| async move {
            for _ in 0..*messages {
                let delivery = lane.next().await.context("the consumer has ended")??;
                delivery.ack(BasicAckOptions::default()).await?;
            }
            anyhow::Ok(())
        });
        try_join_all(consuming).await?;
        Ok(())
    }
}
