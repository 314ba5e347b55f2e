//! The adapter of NATS beside async-nats.

use anyhow::{Context as _, Result, anyhow};
use async_nats::header::{HeaderMap, HeaderName};
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use recount::messaging::Binding;
use recount::nats::NatsBroker;

use super::compare::{self, Chain, Raw};
use crate::figures::Figures;

const MESSAGES: usize = 12_800;

pub async fn measure(figures: &mut Figures, url: &str) -> Result<()> {
    let broker = NatsBroker::connect(url).await?;
    // The adapter waits for the server's confirmation of each acknowledgement. The raw client does so in the second game.
    for (names, confirms) in [((Some("nats_publish"), "nats_consume"), false), ((None, "nats_consume_confirmed"), true)]
    {
        let (ours, raw) = (compare::binding("ours")?, compare::binding("raw")?);
        compare::declare(&broker, &[&ours, &raw]).await?;
        let mut raw = Client::open(url, &raw, confirms).await?;
        compare::play(figures, names, (&broker, &ours), &mut raw, MESSAGES, compare::FLOOR).await?;
    }
    Ok(())
}

/// Publishes with confirmation, and consumes a lane by a consumer with one message at a time, which keeps its order.
struct Client {
    context: Context,
    topic: String,
    /// Whether it waits for the confirmations of acknowledgements.
    confirms: bool,
    /// The messages of each lane.
    lanes: Vec<pull::Stream>,
}

impl Client {
    async fn open(url: &str, binding: &Binding, confirms: bool) -> Result<Self> {
        let context = jetstream::new(async_nats::connect(url).await?);
        let topic = binding.topic.to_string();
        let stream = context.get_stream(format!("recount-{topic}")).await?;
        let mut lanes = Vec::new();
        for lane in 0..binding.topic.lanes().get() {
            let name = format!("lane-{lane}-{}", binding.group);
            let consumer: PullConsumer = stream.get_consumer(&name).await.map_err(|error| anyhow!(error))?;
            lanes.push(consumer.messages().await?);
        }
        Ok(Self { context, topic, confirms, lanes })
    }
}

/// The headers that the adapter writes.
fn envelope(id: &str) -> HeaderMap {
    const NAMES: [HeaderName; 6] = [
        HeaderName::from_static("ce-specversion"),
        HeaderName::from_static("ce-id"),
        HeaderName::from_static("ce-source"),
        HeaderName::from_static("ce-type"),
        HeaderName::from_static("ce-schemaversion"),
        HeaderName::from_static("ce-partitionkey"),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in NAMES.into_iter().zip(compare::envelope(id)) {
        headers.insert(name, value);
    }
    headers.insert(HeaderName::from_static("content-type"), "application/json");
    headers
}

impl Raw for Client {
    async fn publish(&mut self, chains: Vec<Chain>) -> Result<()> {
        let (context, topic) = (&self.context, &self.topic);
        let publishing = chains.into_iter().map(|chain| async move {
            let subject = format!("{topic}.{}", chain.lane);
            for (id, body) in chain.messages {
                let message = PublishMessage::build().headers(envelope(&id)).message_id(id).payload(body);
                context.send_publish(subject.clone(), message).await?.await?;
            }
            anyhow::Ok(())
        });
        try_join_all(publishing).await?;
        Ok(())
    }

    async fn consume(&mut self, lanes: &[usize]) -> Result<()> {
        let confirms = self.confirms;
        let consuming = self.lanes.iter_mut().zip(lanes).map(|(lane, messages)| async move {
            for _ in 0..*messages {
                let message = lane.next().await.context("the stream has ended")??;
                let acknowledged = if confirms { message.double_ack().await } else { message.ack().await };
                acknowledged.map_err(|error| anyhow!(error))?;
            }
            anyhow::Ok(())
        });
        try_join_all(consuming).await?;
        Ok(())
    }
}
