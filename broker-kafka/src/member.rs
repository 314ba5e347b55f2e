//! The member of a group: the state that the calls of a consumer share with the task that answers events. Nothing here waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use recount_messaging::{BrokerError, Delivery, LaneId, Returns, Room, Settle, Settled, Signal, TicketParts};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::KafkaOptions;
use crate::client::{DropElsewhere, spawn};
use crate::commit::Commits;
use crate::ensure::topic_name;
use crate::error::{is_lasting, is_missing, is_refusal, meaning};
use crate::lane::{Held, Lane};
use crate::rebalance::{self, Events, Leaving};

pub(crate) const OPERATION: &str = "consuming";
/// How many events are read at once.
const EVENTS: usize = 8;

pub(crate) struct Member {
    pub(crate) options: KafkaOptions,
    pub(crate) topic: Arc<str>,
    /// The last one that drops the client waits until the group was left.
    pub(crate) client: DropElsewhere<Arc<BaseConsumer<Events>>>,
    pub(crate) lanes: BTreeMap<LaneId, Lane>,
    /// Counts assignments of lanes.
    pub(crate) generation: u32,
    /// News that were not returned yet.
    pub(crate) signals: VecDeque<Signal>,
    /// An error that was not returned yet.
    pub(crate) trouble: Option<BrokerError>,
    pub(crate) leaving: Option<Leaving>,
    pub(crate) commits: Commits,
    pub(crate) returns: Returns,
    /// Wakes the consumer.
    pub(crate) news: Arc<Notify>,
    /// When the consumer was last called.
    pub(crate) called: Instant,
    /// The lane that is read first.
    turn: usize,
    /// How many messages were given out last.
    usual: usize,
}

impl Member {
    pub(crate) fn new(options: KafkaOptions, topic: &str, client: Arc<BaseConsumer<Events>>) -> Self {
        Self {
            options,
            topic: topic.into(),
            client: DropElsewhere::new(client),
            lanes: BTreeMap::new(),
            generation: 0,
            signals: VecDeque::new(),
            trouble: None,
            leaving: None,
            commits: Commits::default(),
            returns: Returns::default(),
            news: Arc::default(),
            called: Instant::now(),
            turn: 0,
            usual: 0,
        }
    }

    /// Handles the events of the client, and dropped tickets.
    pub(crate) fn serve(&mut self) {
        let client = Arc::clone(&self.client);
        for _ in 0..EVENTS {
            match client.poll(Duration::ZERO) {
                None => {}
                Some(Ok(stray)) => {
                    let lane = u32::try_from(stray.partition()).ok().and_then(|id| self.lanes.get_mut(&LaneId(id)));
                    if let Some(lane) = lane {
                        lane.receive(&stray, &mut self.generation);
                    }
                }
                Some(Err(error)) => self.note(error),
            }
        }
        for parts in self.returns.take() {
            self.take_back(&parts, Settle::Release);
        }
        self.rebalance();
        self.commit_settled();
    }

    /// Keeps an error of the client or a lane that the caller must hear. The client has logged it.
    fn note(&mut self, error: KafkaError) {
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        match error.rdkafka_error_code() {
            Some(code) if is_missing(code) => {
                self.trouble = Some(BrokerError::Missing { object: topic_name(&self.topic) });
            }
            Some(code) if fatal || is_refusal(code) || is_lasting(code) || code == Code::AllBrokersDown => {
                self.trouble = Some(meaning(OPERATION, self.options.call_timeout, error));
            }
            _ => {}
        }
    }

    /// Gives out the records that there is room for.
    pub(crate) fn take(&mut self, room: &Room) -> Vec<Delivery> {
        // A batch is often as great as the one before, and its deliveries are large to move.
        let (mut taken, mut bytes) = (Vec::with_capacity(self.usual.min(room.messages)), 0);
        let count = self.lanes.len();
        let ids: Vec<LaneId> = self.lanes.keys().copied().cycle().skip(self.turn).take(count).collect();
        'lanes: for id in ids {
            let Some(lane) = self.lanes.get_mut(&id).filter(|lane| !lane.leaves && !room.full.contains(&id)) else {
                continue;
            };
            while taken.len() < room.messages {
                let held = match lane.next(&mut self.generation) {
                    Some(Ok(held)) => held,
                    Some(Err(error)) => {
                        self.note(error);
                        continue 'lanes;
                    }
                    None => continue 'lanes,
                };
                let size = held.record.size();
                if !taken.is_empty() && bytes + size > room.bytes {
                    lane.put_back(held);
                    break 'lanes;
                }
                bytes += size;
                let tag = held.record.offset.unsigned_abs();
                let parts = TicketParts { lane: id, generation: lane.generation, tag, handle: Bytes::new() };
                taken.push(held.record.deliver(&self.topic, parts, &self.returns, held.repeated));
                lane.give_out(held);
            }
            break;
        }
        self.usual = taken.len();
        self.turn = if count == 0 { 0 } else { (self.turn + 1) % count };
        taken
    }

    /// Settles a delivery, if it is still this member's.
    pub(crate) fn take_back(&mut self, parts: &TicketParts, settle: Settle) -> Settled {
        let lane = self.lanes.get_mut(&parts.lane).filter(|lane| lane.generation == parts.generation);
        let offset = i64::try_from(parts.tag).unwrap_or_default();
        let Some((lane, held)) = lane.and_then(|lane| lane.settle(offset).map(|held| (lane, held))) else {
            return Settled::Stale;
        };
        let release = || lane.put_back(Held { repeated: true, ..held });
        match settle {
            Settle::Ack | Settle::Reject(_) => Settled::Sent,
            Settle::Release => {
                release();
                Settled::Sent
            }
            Settle::Retry { .. } => {
                release();
                Settled::Unsupported
            }
        }
    }
}

/// The client ends on a thread of its own, which first commits the settled positions.
impl Drop for Member {
    fn drop(&mut self) {
        let ids: Vec<LaneId> = self.lanes.keys().copied().collect();
        let commit = self.start_commit(&ids);
        let (lanes, leaving) = (std::mem::take(&mut self.lanes), self.leaving.take());
        let client = Arc::clone(&self.client);
        let _ = spawn(OPERATION, move || {
            rebalance::end(&client, leaving, commit.map(|(committed, _)| committed));
            drop(lanes);
            drop(client);
        });
    }
}
