//! A broker of a program that dies at the worst moments: a publish or an acknowledgement takes place and never returns.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, Drained, Fate, Outgoing, Plan, Room, Seek,
    Settle, Settled, Signal, Ticket, Topic, TopicPattern,
};
use tokio::sync::Notify;

use super::history::History;

/// When a program dies.
#[derive(Debug, Default)]
pub(super) struct Death {
    /// The program dies at this call from now. Zero: never.
    calls: AtomicU32,
    came: Notify,
}

impl Death {
    pub(super) fn at(call: u32) -> Arc<Self> {
        Arc::new(Self { calls: AtomicU32::new(call), came: Notify::new() })
    }

    /// Waits until the program is to be dropped.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }

    /// Counts a call. At the last one it never returns.
    async fn pass(&self) {
        let left = self.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left == Ok(1) {
            self.came.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// A broker in a program that dies after a publish that was stored, or before acknowledgements are sent.
pub(super) struct Mortal {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) death: Arc<Death>,
    pub(super) history: Arc<History>,
}

#[async_trait]
impl Broker for Mortal {
    fn system(&self) -> &'static str {
        self.broker.system()
    }

    fn capabilities(&self, binding: &Binding) -> Capabilities {
        self.broker.capabilities(binding)
    }

    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        self.broker.ensure(plan, dry_run).await
    }

    async fn topics(&self, pattern: &TopicPattern) -> Result<Vec<Topic>, BrokerError> {
        self.broker.topics(pattern).await
    }

    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        let fates = self.broker.publish(topic, batch.clone()).await;
        self.history.published(&batch, &fates);
        if fates.iter().any(Fate::is_stored) {
            self.death.pass().await;
        }
        fates
    }

    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
        let consumer = self.broker.subscribe(binding).await?;
        let (death, history) = (Arc::clone(&self.death), Arc::clone(&self.history));
        Ok(Box::new(MortalConsumer { consumer, death, history, held: HashMap::new() }))
    }

    async fn health(&self) -> Result<(), BrokerError> {
        self.broker.health().await
    }

    async fn close(&self, within: Duration) {
        self.broker.close(within).await;
    }
}

struct MortalConsumer {
    consumer: Box<dyn BrokerConsumer>,
    death: Arc<Death>,
    history: Arc<History>,
    /// The names of the messages of tickets, by the text of a ticket.
    held: HashMap<String, String>,
}

#[async_trait]
impl BrokerConsumer for MortalConsumer {
    async fn next(&mut self, room: &Room) -> Result<Signal, BrokerError> {
        let signal = self.consumer.next(room).await?;
        match &signal {
            Signal::Deliveries(deliveries) => {
                let held = deliveries.iter().map(|one| (format!("{:?}", one.ticket), self.history.delivered(one)));
                self.held.extend(held);
            }
            Signal::Idle => {}
            news => self.history.told(news),
        }
        Ok(signal)
    }

    async fn settle(&mut self, marks: Vec<(Ticket, Settle)>) -> Vec<Settled> {
        self.death.pass().await;
        let asked: Vec<_> =
            marks.iter().map(|(ticket, settle)| (self.held.remove(&format!("{ticket:?}")), settle.clone())).collect();
        let settled = self.consumer.settle(marks).await;
        for ((name, settle), outcome) in asked.into_iter().zip(&settled) {
            self.history.settled(name.unwrap_or_default(), settle, outcome);
        }
        settled
    }

    async fn extend(&mut self, held: &[Ticket], by: Duration) -> Vec<Settled> {
        self.consumer.extend(held, by).await
    }

    async fn seek(&mut self, to: Seek) -> Result<(), BrokerError> {
        self.consumer.seek(to).await
    }

    async fn drain(self: Box<Self>, within: Duration) -> Drained {
        self.consumer.drain(within).await
    }
}
