//! Commits: the positions of lanes, written on threads of their own. While a server is frozen a commit may hang for minutes.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};
use recount_messaging::{BrokerError, LaneId};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::spawn;
use crate::consumer::KafkaConsumer;
use crate::error::meaning;
use crate::member::Member;

const OPERATION: &str = "committing";
/// How often positions are committed.
const TICK: Duration = Duration::from_millis(500);
/// The pause before the last commit is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// Positions of lanes, each with its generation.
type Positions = Vec<(LaneId, u32, i64)>;

/// A commit under way.
struct Pending {
    outcome: oneshot::Receiver<KafkaResult<()>>,
    positions: Positions,
    /// After that it is given up.
    until: Instant,
}

/// The commits of a consumer.
#[derive(Default)]
pub(crate) struct Commits {
    pending: Option<Pending>,
    last: Option<Instant>,
}

impl Commits {
    /// When the next one is due.
    pub(crate) fn due(&self, now: Instant) -> Instant {
        self.last.map_or(now, |last| last + TICK)
    }
}

impl Member {
    /// Starts to commit the positions of these lanes, if there is something to commit.
    pub(crate) fn start_commit(&self, ids: &[LaneId]) -> Option<(oneshot::Receiver<KafkaResult<()>>, Positions)> {
        let (mut list, mut positions) = (TopicPartitionList::new(), Positions::new());
        for lane in ids.iter().filter_map(|id| self.lanes.get(id)) {
            let Some(position) = lane.to_commit() else { continue };
            let partition = i32::try_from(lane.id.0).unwrap_or_default();
            if list.add_partition_offset(&self.topic, partition, Offset::Offset(position)).is_ok() {
                positions.push((lane.id, lane.generation, position));
            }
        }
        if positions.is_empty() {
            return None;
        }
        let client = Arc::clone(&self.client);
        let commit = spawn(OPERATION, move || {
            let committed = client.commit(&list, CommitMode::Sync);
            client.context().wake.notify_one();
            committed
        });
        Some((commit.ok()?, positions))
    }

    /// Commits the settled positions, once a tick.
    pub(crate) fn commit_settled(&mut self) {
        let now = Instant::now();
        if let Some(mut pending) = self.commits.pending.take() {
            match pending.outcome.try_recv() {
                Err(TryRecvError::Empty) if now < pending.until => self.commits.pending = Some(pending),
                Ok(Ok(())) => self.note_committed(&pending.positions),
                Ok(Err(error)) => tracing::debug!(%error, "a commit has failed, and the next one follows"),
                Err(_) => tracing::debug!("a commit is not answered, and the next one follows"),
            }
        }
        if self.commits.pending.is_some() || now < self.commits.due(now) {
            return;
        }
        self.commits.last = Some(now);
        let ids: Vec<LaneId> = self.lanes.values().filter(|lane| !lane.leaves).map(|lane| lane.id).collect();
        let until = now + self.options.call_timeout;
        let started = self.start_commit(&ids);
        self.commits.pending = started.map(|(outcome, positions)| Pending { outcome, positions, until });
    }

    pub(crate) fn note_committed(&mut self, positions: &Positions) {
        for (id, generation, position) in positions {
            if let Some(lane) = self.lanes.get_mut(id).filter(|lane| lane.generation == *generation) {
                lane.committed = Some(*position);
            }
        }
    }
}

impl KafkaConsumer {
    /// Commits all settled positions, before the consumer ends. While partitions move to other members, the server refuses
    /// commits for a moment.
    pub(crate) async fn commit_last(&mut self, until: Instant) -> Result<(), BrokerError> {
        loop {
            match self.commit_all(until).await {
                Err(Uncommitted::Moving(_)) if Instant::now() < until => sleep(PAUSE).await,
                Err(Uncommitted::Moving(error) | Uncommitted::Failed(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn commit_all(&mut self, until: Instant) -> Result<(), Uncommitted> {
        let limit = until.saturating_duration_since(Instant::now());
        let started = {
            let member = self.member();
            let ids: Vec<LaneId> = member.lanes.keys().copied().collect();
            member.start_commit(&ids)
        };
        let Some((outcome, positions)) = started else { return Ok(()) };
        match timeout_at(until, outcome).await {
            Ok(Ok(Ok(()))) => {
                self.member().note_committed(&positions);
                Ok(())
            }
            Ok(Ok(Err(error))) => {
                let moving = matches!(
                    error.rdkafka_error_code(),
                    Some(Code::IllegalGeneration | Code::RebalanceInProgress | Code::UnknownMemberId)
                );
                let error = meaning(OPERATION, limit, error);
                Err(if moving { Uncommitted::Moving(error) } else { Uncommitted::Failed(error) })
            }
            Ok(Err(_)) => {
                let source = "its thread has panicked".into();
                Err(Uncommitted::Failed(BrokerError::Failed { operation: OPERATION, source }))
            }
            Err(_) => Err(Uncommitted::Failed(BrokerError::TimedOut { operation: OPERATION, limit })),
        }
    }
}

/// Why positions are not committed.
enum Uncommitted {
    /// The partitions may be another member's.
    Moving(BrokerError),
    Failed(BrokerError),
}
