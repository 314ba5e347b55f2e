//! Consumers at the server that are made anew: after they were deleted, and to seek.

use recount_core::Timestamp;
use recount_messaging::{BrokerError, Order, StartFrom};
use serde_json::{Value, json};

use crate::consumer::{NatsConsumer, OPERATION};
use crate::ensure;
use crate::error::{Answer, ApiError};

/// How often a seek deletes a consumer that another member has made anew meanwhile.
const SEEKS: usize = 5;

impl NatsConsumer {
    /// Makes the consumers anew that are gone.
    pub(crate) async fn remake_lost(&mut self) -> Result<(), BrokerError> {
        for place in 0..self.lanes.len() {
            if !self.lanes[place].lost {
                continue;
            }
            let durable = self.lanes[place].durable.clone();
            let object = || ensure::consumer_name(&self.binding.topic, &durable);
            if ensure::has_consumer(&self.connection, &self.binding.topic, &durable).await? {
                // The server had not loaded it yet.
                self.lanes[place].found();
                continue;
            }
            tracing::warn!(consumer = durable.name, topic = %self.binding.topic, "the consumer is gone from the server: it is made anew");
            let start = self.start_anew(place);
            match ensure::create_consumer(&self.connection, &self.binding, &durable, &start).await {
                Err(ApiError::Answer(answer)) if Answer::CONSUMER_EXISTS.contains(&answer.code) => {}
                created => created.map_err(|error| error.about(OPERATION, object))?,
            }
            self.restart(place);
        }
        Ok(())
    }

    /// Where a consumer that is gone goes on: messages may come again, and none is left out.
    fn start_anew(&self, place: usize) -> Value {
        match (self.lanes[place].settled, self.binding.start) {
            (Some(settled), _) if self.binding.order == Order::PerKey => after(settled),
            (_, StartFrom::Latest) => at_time(self.subscribed),
            (_, StartFrom::Earliest) => json!({ "deliver_policy": "all" }),
        }
    }

    fn restart(&mut self, place: usize) {
        self.lanes[place].remade();
        self.ready.retain(|arrival| arrival.lane != place);
    }

    /// Deletes the consumer of a lane and makes it anew from another place.
    pub(crate) async fn seek_lane(&mut self, place: usize, start: &Value) -> Result<(), BrokerError> {
        let durable = self.lanes[place].durable.clone();
        let object = || ensure::consumer_name(&self.binding.topic, &durable);
        for attempt in 1.. {
            let deleted = ensure::delete_consumer(&self.connection, &self.binding.topic, &durable).await;
            deleted.map_err(|error| error.about(OPERATION, object))?;
            match ensure::create_consumer(&self.connection, &self.binding, &durable, start).await {
                Err(ApiError::Answer(answer)) if attempt < SEEKS && Answer::CONSUMER_EXISTS.contains(&answer.code) => {}
                created => {
                    created.map_err(|error| error.about(OPERATION, object))?;
                    break;
                }
            }
        }
        self.receive_all();
        self.restart(place);
        self.lanes[place].settled = None;
        Ok(())
    }
}

/// The settings of a consumer that starts behind a message.
pub(crate) fn after(sequence: u64) -> Value {
    json!({ "deliver_policy": "by_start_sequence", "opt_start_seq": sequence.saturating_add(1) })
}

/// The settings of a consumer that starts at a time.
pub(crate) fn at_time(time: Timestamp) -> Value {
    json!({ "deliver_policy": "by_start_time", "opt_start_time": time.to_string() })
}
