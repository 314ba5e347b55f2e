//! An adapter and the raw client of its broker in turn, on topics of the same layout.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use recount::messaging::{
    Binding, Broker, BrokerConsumer, Group, Message, MessageId, Outgoing, Plan, Room, Settle, Signal, Topic,
};
use tokio::time::timeout;

use super::unique;
use crate::figures::{Figures, Floor};
use crate::rounds::Rounds;

pub const KEYS: usize = 64;
const BODY: usize = 200;
const ROUNDS: usize = 9;
pub const FLOOR: Floor = Floor::AtLeast(0.7);
/// How long one round of one side may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Messages of one key for a raw client.
pub struct Chain {
    pub lane: u16,
    /// Id and body of each.
    pub messages: Vec<(String, Bytes)>,
}

/// The values of the attributes that the adapters write, for a raw client that does the same: `specversion`, `id`, `source`,
/// `type`, `schemaversion`, `partitionkey`.
pub fn envelope(id: &str) -> [&str; 6] {
    ["1.0", id, "bench", "bench.sent", "1", "key-17"]
}

/// The raw client of a broker, written as one who knows it would.
pub trait Raw {
    /// Publishes chains side by side, each message confirmed before the next one of its chain.
    async fn publish(&mut self, chains: Vec<Chain>) -> Result<()>;

    /// Takes and acknowledges so many messages of each lane.
    async fn consume(&mut self, lanes: &[usize]) -> Result<()>;
}

/// The topic and group of one side.
pub fn binding(side: &str) -> Result<Binding> {
    Ok(Binding::new(Topic::new(&unique(side))?, Group::new(side)?))
}

pub async fn declare(broker: &dyn Broker, bindings: &[&Binding]) -> Result<()> {
    let plan = Plan { topics: Vec::new(), bindings: bindings.iter().map(|&binding| binding.clone()).collect() };
    broker.ensure(&plan, false).await?;
    Ok(())
}

/// The rates of both sides, and their ratios.
#[derive(Default)]
struct Game {
    ours: Rounds,
    raw: Rounds,
    ratios: Rounds,
}

impl Game {
    fn push(&mut self, messages: usize, ours: Duration, raw: Duration) {
        let rate = |time: Duration| messages as f64 / time.as_secs_f64();
        self.ours.push(rate(ours));
        self.raw.push(rate(raw));
        self.ratios.push(rate(ours) / rate(raw));
    }

    fn add(&self, figures: &mut Figures, name: &'static str, floor: Floor) {
        let detail =
            format!("{:.0}/s, raw client {:.0}/s; {}", self.ours.median(), self.raw.median(), self.ratios.spread(2));
        figures.add(name, self.ratios.median(), floor, detail);
    }
}

/// Plays all rounds, and adds the figure of consuming and, if it has a name, that of publishing. In each, both sides publish so many messages and then consume them; the sides take turns in starting.
pub async fn play(
    figures: &mut Figures,
    (publish, consume): (Option<&'static str>, &'static str),
    (broker, ours): (&dyn Broker, &Binding),
    raw: &mut impl Raw,
    messages: usize,
    floor: Floor,
) -> Result<()> {
    let mut consumer = broker.subscribe(ours).await?;
    let (mut published, mut consumed) = (Game::default(), Game::default());
    for round in 0..=ROUNDS {
        let raw_first = round % 2 == 0;
        let (chains, lanes) = chains(&ours.topic, messages);
        let batch = batch(messages)?;
        let (one, other) = if raw_first {
            let other = timed(raw.publish(chains)).await?;
            (timed(publish_all(broker, &ours.topic, batch)).await?, other)
        } else {
            let one = timed(publish_all(broker, &ours.topic, batch)).await?;
            (one, timed(raw.publish(chains)).await?)
        };
        let (taken, raw_taken) = if raw_first {
            let raw_taken = timed(raw.consume(&lanes)).await?;
            (timed(consume_all(&mut *consumer, messages)).await?, raw_taken)
        } else {
            let taken = timed(consume_all(&mut *consumer, messages)).await?;
            (taken, timed(raw.consume(&lanes)).await?)
        };
        // The first round warms up.
        if round > 0 {
            published.push(messages, one, other);
            consumed.push(messages, taken, raw_taken);
        }
    }
    consumer.drain(Duration::from_secs(5)).await;
    if let Some(publish) = publish {
        published.add(figures, publish, floor);
    }
    consumed.add(figures, consume, floor);
    Ok(())
}

async fn timed(side: impl Future<Output = Result<()>>) -> Result<Duration> {
    let started = Instant::now();
    timeout(LIMIT, side).await.context("a round takes minutes")??;
    Ok(started.elapsed())
}

fn key(number: usize) -> String {
    format!("key-{}", number % KEYS)
}

fn body(number: usize) -> Bytes {
    format!("\"{number:0>width$}\"", width = BODY - 2).into()
}

/// The chains of a raw client, and how many messages come in each lane.
fn chains(topic: &Topic, messages: usize) -> (Vec<Chain>, Vec<usize>) {
    let mut lanes = vec![0; usize::from(topic.lanes().get())];
    let mut chains: Vec<Chain> =
        (0..KEYS).map(|number| Chain { lane: topic.lane_of(&key(number)), messages: Vec::new() }).collect();
    for number in 0..messages {
        let chain = &mut chains[number % KEYS];
        chain.messages.push((uuid::Uuid::now_v7().to_string(), body(number)));
        lanes[usize::from(chain.lane)] += 1;
    }
    (chains, lanes)
}

fn batch(messages: usize) -> Result<Vec<Outgoing>> {
    let message = |number| {
        let id = MessageId::new(uuid::Uuid::now_v7().to_string())?;
        Ok(Outgoing::new(Message::new(id, "bench", "bench.sent", body(number)).with_key(&key(number))))
    };
    (0..messages).map(message).collect()
}

async fn publish_all(broker: &dyn Broker, topic: &Topic, batch: Vec<Outgoing>) -> Result<()> {
    let fates = broker.publish(topic, batch).await;
    let lost = fates.iter().find(|fate| !fate.is_stored());
    ensure!(lost.is_none(), "not stored: {lost:?}");
    Ok(())
}

async fn consume_all(consumer: &mut dyn BrokerConsumer, messages: usize) -> Result<()> {
    let mut taken = 0;
    while taken < messages {
        let Signal::Deliveries(deliveries) = consumer.next(&Room::of(256)).await? else { continue };
        let mut marks = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            ensure!(delivery.message?.data.len() == BODY, "another message came");
            marks.push((delivery.ticket, Settle::Ack));
        }
        taken += marks.len();
        for settled in consumer.settle(marks).await {
            if !settled.is_done() {
                bail!("not settled: {settled:?}");
            }
        }
    }
    Ok(())
}
