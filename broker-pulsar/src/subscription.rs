//! The subscription of a group to one partition, as a member sees it: the library's consumer, and questions at the server.

use std::sync::Arc;

use hyper::Method;
use pulsar::consumer::InitialPosition;
use pulsar::{Consumer, ConsumerOptions, Pulsar, SubType};
use recount_messaging::{Binding, BrokerError, Order, StartFrom};
use serde_json::Value;

use crate::acknowledged::Acknowledged;
use crate::admin::request;
use crate::error::bounded;
use crate::lane::OPERATION;
use crate::sequence::Answer;
use crate::tasks::Tasks;
use crate::{PulsarOptions, names};

/// A group's subscription to one partition, and the member that uses it.
pub(crate) struct Subscription {
    pub(crate) options: Arc<PulsarOptions>,
    pub(crate) client: Pulsar<Tasks>,
    pub(crate) binding: Binding,
    /// The server spreads partitions over members by their names: a member has the same one in all lanes.
    pub(crate) member: Arc<str>,
    pub(crate) lane: u16,
}

impl Subscription {
    pub(crate) fn partition(&self) -> String {
        names::partition(&self.options, &self.binding.topic, self.lane)
    }

    /// Opens a consumer.
    pub(crate) async fn consumer(&self) -> Result<Consumer<Vec<u8>, Tasks>, BrokerError> {
        let kind = match self.binding.order {
            Order::PerKey => SubType::Failover,
            Order::Unordered => SubType::Shared,
        };
        let start = match self.binding.start {
            StartFrom::Earliest => InitialPosition::Earliest,
            StartFrom::Latest => InitialPosition::Latest,
        };
        // The library's task handles acknowledgements behind the messages that it has asked for. With room for all of
        // these it comes to the order to close, also if nothing is read any more.
        let ahead = (self.options.prefetch / 2).max(1);
        let settings = ConsumerOptions::default().with_initial_position(start).with_receiver_queue_size(ahead);
        let building = self.client.consumer().with_topic(self.partition());
        let building = building.with_subscription(self.binding.group.name()).with_subscription_type(kind);
        let building = building.with_consumer_name(&*self.member).with_batch_size(ahead).with_options(settings);
        bounded(OPERATION, self.options.call_timeout, building.build::<Vec<u8>>()).await
    }

    /// Asks the server which messages are acknowledged, and if wanted whether this member is the active one.
    pub(crate) async fn ask(&self, for_active: bool) -> Result<Answer, BrokerError> {
        let group = self.binding.group.name();
        let is_active = for_active && {
            let stats = self.look("stats").await?;
            let active = stats.pointer(&format!("/subscriptions/{group}/activeConsumerName"));
            active.and_then(Value::as_str) == Some(&*self.member)
        };
        if for_active && !is_active {
            return Ok(Answer { known: None, is_active });
        }
        let stats = self.look("internalStats").await?;
        Ok(Answer { known: Acknowledged::read(&stats, group), is_active })
    }

    /// The statistics of the partition under this name.
    async fn look(&self, name: &str) -> Result<Value, BrokerError> {
        let path = format!("{}-partition-{}/{name}", names::path(&self.options, &self.binding.topic), self.lane);
        let answer = request(&self.options, OPERATION, Method::GET, &path, None).await?;
        let stats = || serde_json::from_slice(&answer.body).ok();
        answer.status.is_success().then(stats).flatten().ok_or_else(|| answer.error(OPERATION))
    }
}
