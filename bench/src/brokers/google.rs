//! The adapter of Pub/Sub beside Google's client library, on Google's own fake.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::client::{Publisher, Subscriber};
use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::subscriber::MessageStream;
use recount::google::GoogleBroker;
use recount::messaging::Binding;

use super::compare::{self, Chain, Raw};
use crate::figures::{Figures, Floor};

/// The fake hands out messages at its tick, which binds both sides.
const MESSAGES: usize = 640;
const PROJECT: &str = "bench";
const FLOOR: Floor = Floor::AtLeast(0.6);

pub async fn measure(figures: &mut Figures, url: &str) -> Result<()> {
    let broker = GoogleBroker::connect(url).await?;
    let (ours, raw) = (compare::binding("ours")?, compare::binding("raw")?);
    compare::declare(&broker, &[&ours, &raw]).await?;
    let mut raw = Client::open(url, &raw).await?;
    let names = (Some("google_publish"), "google_consume");
    compare::play(figures, names, (&broker, &ours), &mut raw, MESSAGES, FLOOR).await
}

struct Client {
    publisher: Publisher,
    stream: MessageStream,
}

impl Client {
    async fn open(url: &str, binding: &Binding) -> Result<Self> {
        let endpoint = super::endpoint(url)?;
        let credentials = || anonymous::Builder::new().build();
        let topic = format!("projects/{PROJECT}/topics/recount-{}", binding.topic);
        let publisher = Publisher::builder(topic).with_endpoint(endpoint).with_credentials(credentials());
        let subscriber = Subscriber::builder().with_endpoint(endpoint).with_credentials(credentials()).build().await?;
        let subscription = format!("projects/{PROJECT}/subscriptions/recount-{}.{}", binding.topic, binding.group);
        let stream = subscriber.subscribe(subscription).set_max_lease_extension(Duration::from_secs(10)).build();
        Ok(Self { publisher: publisher.build().await?, stream })
    }
}

/// The attributes that the adapter writes.
const NAMES: [&str; 6] = ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-schemaversion", "ce-partitionkey"];

impl Raw for Client {
    /// The library sends the messages of one key in requests of their own, one after the other.
    async fn publish(&mut self, chains: Vec<Chain>) -> Result<()> {
        let published = chains.into_iter().enumerate().flat_map(|(number, chain)| {
            let publisher = &self.publisher;
            chain.messages.into_iter().map(move |(id, body)| {
                let attributes = NAMES.into_iter().zip(compare::envelope(&id));
                let attributes = attributes.chain([("content-type", "application/json")]);
                let message = Message::new().set_data(body).set_attributes(attributes);
                publisher.publish(message.set_ordering_key(format!("key-{number}")))
            })
        });
        let published: Vec<_> = published.collect();
        self.publisher.flush().await;
        try_join_all(published).await?;
        Ok(())
    }

    async fn consume(&mut self, lanes: &[usize]) -> Result<()> {
        for _ in 0..lanes.iter().sum() {
            let (_, handler) = self.stream.next().await.context("the stream has ended")??;
            handler.ack();
        }
        Ok(())
    }
}
