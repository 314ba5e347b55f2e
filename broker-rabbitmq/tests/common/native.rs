//! The driver without the adapter: what another program does.

use lapin::message::Delivery;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use recount_messaging::Topic;

/// A connection and its channel, with publisher confirms.
pub struct Native {
    _connection: Connection,
    pub channel: Channel,
}

impl Native {
    pub async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { _connection: connection, channel }
    }

    /// Publishes to the lane of a key, with headers as text.
    pub async fn publish(&self, topic: &Topic, key: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        let lane = topic.lane_of(key).to_string();
        self.publish_to(format!("recount.{topic}"), lane, headers, body).await;
    }

    /// Sends to a queue, with headers as text.
    pub async fn send(&self, queue: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        self.publish_to(String::new(), queue.to_owned(), headers, body).await;
    }

    async fn publish_to(&self, exchange: String, key: String, headers: &[(&str, &[u8])], body: &[u8]) {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), AMQPValue::LongString(value.to_vec().into()));
        }
        let properties = BasicProperties::default().with_headers(table);
        let options = BasicPublishOptions::default();
        let confirm = self.channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.unwrap();
        assert!(confirm.await.unwrap().is_ack());
    }

    /// Takes one message from a queue, if there is one.
    pub async fn get(&self, queue: &str) -> Option<Delivery> {
        let got = self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap();
        got.map(|got| got.delivery)
    }
}
