//! A broker that takes note of what was confirmed to a relay.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, Fate, InProcess, Outgoing, Plan, Topic,
};

/// A connection of one program, and the ids of the messages that are known to be stored.
pub(crate) struct Noted {
    pub(crate) broker: InProcess,
    pub(crate) stored: Arc<Mutex<BTreeSet<String>>>,
}

#[async_trait]
impl Broker for Noted {
    fn system(&self) -> &'static str {
        self.broker.system()
    }

    fn capabilities(&self, binding: &Binding) -> Capabilities {
        self.broker.capabilities(binding)
    }

    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        self.broker.ensure(plan, dry_run).await
    }

    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        let ids: Vec<String> = batch.iter().map(|outgoing| outgoing.message.id.to_string()).collect();
        let fates = self.broker.publish(topic, batch).await;
        let stored = ids.into_iter().zip(&fates).filter(|(_, fate)| fate.is_stored()).map(|(id, _)| id);
        self.stored.lock().unwrap().extend(stored);
        fates
    }

    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
        self.broker.subscribe(binding).await
    }

    async fn health(&self) -> Result<(), BrokerError> {
        self.broker.health().await
    }

    async fn close(&self, within: Duration) {
        self.broker.close(within).await;
    }
}
