//! Reading from another place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::{Offset, TopicPartitionList};
use recount_messaging::{BrokerError, LaneId, Seek};
use tokio::time::{Instant, sleep};

use crate::client::blocking;
use crate::consumer::KafkaConsumer;
use crate::error::{answer_of, meaning};
use crate::member::Member;
use crate::rebalance::Events;

const OPERATION: &str = "seeking";
/// How often it is looked whether the member has lanes.
const LOOK: Duration = Duration::from_millis(20);

/// The lanes of a seek, each with its generation.
type Lanes = Vec<(LaneId, u32)>;

impl KafkaConsumer {
    /// Continues from another place in the partitions that this member has, or will have in a moment.
    pub(crate) async fn seek_to(&mut self, to: Seek) -> Result<(), BrokerError> {
        let limit = self.options.call_timeout;
        let until = Instant::now() + limit;
        self.check_open()?;
        while self.member().lanes.is_empty() {
            if Instant::now() > until {
                return Err(BrokerError::TimedOut { operation: OPERATION, limit });
            }
            sleep(LOOK).await;
            self.check_open()?;
        }
        let member = Arc::clone(&self.member);
        // If this call is dropped, the thread finishes the seek.
        blocking(OPERATION, limit * 2, move || seek(&member, to, limit)).await?
    }
}

fn lock(member: &Mutex<Member>) -> MutexGuard<'_, Member> {
    member.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seeks while the lanes give out no records. Their open records are forgotten only after the client has moved.
fn seek(member: &Mutex<Member>, to: Seek, limit: Duration) -> Result<(), BrokerError> {
    let (client, topic, lanes) = lock(member).start_seek(to);
    if lanes.is_empty() {
        return Err(BrokerError::Missing { object: "the lane, at this member of the group".to_owned() });
    }
    let failed = |error| meaning(OPERATION, limit, error);
    let places = places(&client, &topic, &lanes, to, limit);
    let sought = places.map(|places| client.seek_partitions(places, limit));
    let mut member = lock(member);
    match sought {
        Err(error) => {
            member.end_seek(&lanes, |_| false);
            Err(error)
        }
        Ok(Ok(sought)) => {
            let moved = |id: LaneId| {
                let place = i32::try_from(id.0).ok().and_then(|number| sought.find_partition(&topic, number));
                place.is_some_and(|place| place.error().is_ok())
            };
            member.end_seek(&lanes, moved);
            sought.elements().iter().try_for_each(|element| element.error().map_err(failed))
        }
        Ok(Err(error)) => {
            // The client may move later, so it is sent back behind that.
            let back = member.finished(&lanes);
            member.end_seek(&lanes, |_| true);
            client.seek_partitions(back, Duration::ZERO).map_err(failed)?;
            Err(failed(error))
        }
    }
}

/// The offsets to continue from.
fn places(
    client: &BaseConsumer<Events>,
    topic: &str,
    lanes: &Lanes,
    to: Seek,
    limit: Duration,
) -> Result<TopicPartitionList, BrokerError> {
    let failed = |error| meaning(OPERATION, limit, error);
    let mut places = TopicPartitionList::new();
    for (id, _) in lanes {
        let partition = i32::try_from(id.0).unwrap_or_default();
        let offset = match to {
            Seek::Start => Offset::Beginning,
            Seek::End => Offset::End,
            // The server takes a negative time for one of its special offsets.
            Seek::Time(time) => Offset::Offset(time.as_millisecond().max(0)),
            Seek::After(_, position) => {
                let end = end_of(client, OPERATION, limit, topic, partition)?;
                // The library would go to the first message instead.
                let next = i64::try_from(position.0).ok().filter(|offset| *offset < end);
                Offset::Offset(next.ok_or_else(|| beyond_end(position.0, *id, end))? + 1)
            }
        };
        places.add_partition_offset(topic, partition, offset).map_err(failed)?;
    }
    match to {
        Seek::Time(_) => client.offsets_for_times(places, limit).map_err(failed),
        _ => Ok(places),
    }
}

fn beyond_end(position: u64, lane: LaneId, end: i64) -> BrokerError {
    BrokerError::Invalid {
        kind: "position of a message",
        value: position.to_string(),
        cure: format!("the next message of {lane} will have {end}"),
    }
}

impl Member {
    /// Stops the lanes that are sought in.
    fn start_seek(&mut self, to: Seek) -> (Arc<BaseConsumer<Events>>, Arc<str>, Lanes) {
        let mut lanes = Lanes::new();
        for lane in self.lanes.values_mut() {
            if matches!(to, Seek::After(only, _) if only != lane.id) {
                continue;
            }
            lane.seeking = true;
            lanes.push((lane.id, lane.generation));
        }
        (Arc::clone(&self.client), Arc::clone(&self.topic), lanes)
    }

    /// Goes on in the lanes, and forgets the records of the moved lanes.
    fn end_seek(&mut self, lanes: &Lanes, moved: impl Fn(LaneId) -> bool) {
        for (id, generation) in lanes {
            let Some(lane) = self.lanes.get_mut(id).filter(|lane| lane.generation == *generation) else { continue };
            lane.seeking = false;
            if moved(*id) {
                self.generation = self.generation.wrapping_add(1);
                lane.start_over(self.generation);
            }
        }
    }

    /// The offsets behind the finished records. A lane that has given out none starts at its first one.
    fn finished(&self, lanes: &Lanes) -> TopicPartitionList {
        let mut places = TopicPartitionList::new();
        for lane in lanes.iter().filter_map(|(id, _)| self.lanes.get(id)) {
            let partition = i32::try_from(lane.id.0).unwrap_or_default();
            let offset = lane.finished().map_or(Offset::Beginning, Offset::Offset);
            // It fails for invalid offsets only.
            let _ = places.add_partition_offset(&self.topic, partition, offset);
        }
        places
    }
}

/// The offset behind the last message of a partition.
pub(crate) fn end_of<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    operation: &'static str,
    limit: Duration,
    topic: &str,
    partition: i32,
) -> Result<i64, BrokerError> {
    answer_of(operation, limit, |left| client.fetch_watermarks(topic, partition, left)).map(|(_, end)| end)
}
