//! The adapter of Pulsar beside the client library that it uses.

use anyhow::{Context as _, Result};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use pulsar::consumer::InitialPosition;
use pulsar::producer::Message;
use pulsar::{Consumer, ConsumerOptions, Producer, ProducerOptions, Pulsar, SubType, TokioExecutor};
use recount::messaging::Binding;
use recount::pulsar::PulsarBroker;
use tokio::sync::Mutex;

use super::compare::{self, Chain, Raw};
use crate::figures::{Figures, Floor};

/// Several times the prefetch of both sides: prefetched messages are taken at no cost.
const MESSAGES: usize = 25_600;
/// The prefetch of a lane: half of the adapter's buffer for it.
const AHEAD: u32 = 250;
const FLOOR: Floor = Floor::AtLeast(0.6);

pub async fn measure(figures: &mut Figures, url: &str) -> Result<()> {
    let broker = PulsarBroker::connect(url).await?;
    let (ours, raw) = (compare::binding("ours")?, compare::binding("raw")?);
    compare::declare(&broker, &[&ours, &raw]).await?;
    let mut raw = Client::open(url, &raw).await?;
    let names = (Some("pulsar_publish"), "pulsar_consume");
    compare::play(figures, names, (&broker, &ours), &mut raw, MESSAGES, FLOOR).await
}

/// A producer and a consumer for each partition, on connections of their own for both.
struct Client {
    publishing: Vec<Mutex<Producer<TokioExecutor>>>,
    lanes: Vec<Consumer<Vec<u8>, TokioExecutor>>,
}

impl Client {
    async fn open(url: &str, binding: &Binding) -> Result<Self> {
        let service = url.split('?').next().unwrap_or(url);
        let publisher = Pulsar::builder(service, TokioExecutor).with_outbound_channel_size(1024).build().await?;
        let subscriber = Pulsar::builder(service, TokioExecutor).build().await?;
        let (mut publishing, mut lanes) = (Vec::new(), Vec::new());
        for lane in 0..binding.topic.lanes().get() {
            let partition = format!("persistent://public/default/{}-partition-{lane}", binding.topic);
            let options = ProducerOptions { block_queue_if_full: true, ..ProducerOptions::default() };
            let producer = publisher.producer().with_topic(&partition).with_options(options).build().await?;
            publishing.push(Mutex::new(producer));
            let options = ConsumerOptions::default().with_initial_position(InitialPosition::Earliest);
            let options = options.with_receiver_queue_size(AHEAD);
            let consumer = subscriber.consumer().with_topic(&partition).with_subscription(binding.group.name());
            let consumer = consumer.with_subscription_type(SubType::Failover).with_options(options);
            let consumer = consumer.with_batch_size(AHEAD);
            lanes.push(consumer.build().await?);
        }
        Ok(Self { publishing, lanes })
    }
}

impl Raw for Client {
    async fn publish(&mut self, chains: Vec<Chain>) -> Result<()> {
        let producers = &self.publishing;
        let publishing = chains.into_iter().map(|chain| async move {
            let producer = &producers[usize::from(chain.lane)];
            for (id, body) in chain.messages {
                let properties = [("id".to_owned(), id)].into();
                let message = Message { payload: body.to_vec(), properties, ..Message::default() };
                let receipt = producer.lock().await.send_non_blocking(message).await?;
                receipt.await?;
            }
            anyhow::Ok(())
        });
        try_join_all(publishing).await?;
        Ok(())
    }

    async fn consume(&mut self, lanes: &[usize]) -> Result<()> {
        let consuming = self.lanes.iter_mut().zip(lanes).map(|(lane, messages)| async move {
            for _ in 0..*messages {
                let message = lane.next().await.context("the consumer has ended")??;
                lane.ack(&message).await?;
            }
            anyhow::Ok(())
        });
        try_join_all(consuming).await?;
        Ok(())
    }
}
