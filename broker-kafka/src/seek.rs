//! Reading from another place.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use recount_messaging::{BrokerError, Seek};
use tokio::time::{Instant, sleep};

use crate::client::blocking;
use crate::consumer::KafkaConsumer;
use crate::error::meaning;
use crate::member::Member;
use crate::rebalance::Events;

const OPERATION: &str = "seeking";
/// How often it is looked whether the member has lanes.
const LOOK: Duration = Duration::from_millis(20);

impl KafkaConsumer {
    /// Continues from another place in the partitions that this member has, or will have in a moment.
    pub(crate) async fn seek_to(&mut self, to: Seek) -> Result<(), BrokerError> {
        let limit = self.options.call_timeout;
        let until = Instant::now() + limit;
        while self.member().lanes.is_empty() {
            if Instant::now() > until {
                return Err(BrokerError::TimedOut { operation: OPERATION, limit });
            }
            self.check_open()?;
            sleep(LOOK).await;
        }
        let offset = match to {
            Seek::Start => Offset::Beginning,
            Seek::End => Offset::End,
            Seek::Time(time) => Offset::Offset(time.as_millisecond()),
            Seek::After(_, position) => Offset::Offset(i64::try_from(position.0).unwrap_or(i64::MAX - 1) + 1),
        };
        let places = self.member().start_over(to, offset).map_err(|error| meaning(OPERATION, limit, error))?;
        if places.count() == 0 {
            return Err(BrokerError::Missing { object: "the lane, at this member of the group".to_owned() });
        }
        let (client, by_time) = (Arc::clone(&self.member().client), matches!(to, Seek::Time(_)));
        blocking(OPERATION, limit * 2, move || seek(&client, places, by_time, limit)).await?
    }
}

impl Member {
    /// Forgets the records of the lanes that are sought in, and returns their places.
    fn start_over(&mut self, to: Seek, offset: Offset) -> KafkaResult<TopicPartitionList> {
        let mut places = TopicPartitionList::new();
        for lane in self.lanes.values_mut() {
            if matches!(to, Seek::After(only, _) if only != lane.id) {
                continue;
            }
            self.generation = self.generation.wrapping_add(1);
            lane.start_over(self.generation);
            places.add_partition_offset(&self.topic, i32::try_from(lane.id.0).unwrap_or_default(), offset)?;
        }
        Ok(places)
    }
}

fn seek(
    client: &BaseConsumer<Events>,
    mut places: TopicPartitionList,
    by_time: bool,
    limit: Duration,
) -> Result<(), BrokerError> {
    let failed = |error| meaning(OPERATION, limit, error);
    if by_time {
        places = client.offsets_for_times(places, limit).map_err(failed)?;
    }
    let sought = client.seek_partitions(places, limit).map_err(failed)?;
    sought.elements().iter().try_for_each(|element| element.error().map_err(failed))
}
