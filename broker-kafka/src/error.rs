//! Errors of the client library and the server, as those of the contract.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use recount_messaging::BrokerError;

/// How often a question is asked again.
const LOOK: Duration = Duration::from_millis(20);

/// The meaning of an error.
pub(crate) fn meaning(operation: &'static str, limit: Duration, error: KafkaError) -> BrokerError {
    match error.rdkafka_error_code() {
        Some(Code::OperationTimedOut | Code::RequestTimedOut | Code::MessageTimedOut | Code::TimedOutQueue) => {
            BrokerError::TimedOut { operation, limit }
        }
        Some(code) if is_transient(code) => BrokerError::Unavailable { operation, source: error.into() },
        Some(code) if is_refusal(code) => BrokerError::NotAllowed { operation, source: error.into() },
        _ => BrokerError::Failed { operation, source: error.into() },
    }
}

/// The meaning of the code of one object in an answer.
pub(crate) fn answered(operation: &'static str, limit: Duration, code: Code) -> BrokerError {
    meaning(operation, limit, KafkaError::Global(code))
}

/// Whether time heals it.
fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::WaitingForCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
            | Code::NotController
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::NetworkException
            | Code::RebalanceInProgress
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::KafkaStorageError
            | Code::PurgeInflight
            | Code::PurgeQueue
            | Code::Fatal
            | Code::Retry
            | Code::ThrottlingQuotaExceeded
            | Code::UnstableOffsetCommit
    )
}

/// Whether the server refuses the credentials or the right.
pub(crate) fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}

/// Whether a consumer can't join its group, or can't read a batch, until its settings or those of the server are changed.
pub(crate) fn is_lasting(code: Code) -> bool {
    matches!(
        code,
        Code::NotImplemented
            | Code::BadMessage
            | Code::BadCompression
            | Code::UnsupportedCompressionType
            | Code::UnsupportedVersion
            | Code::InvalidSessionTimeout
            | Code::InvalidGroupId
            | Code::InconsistentGroupProtocol
            | Code::GroupMaxSizeReached
    )
}

/// Asks a blocking question, again within the limit while the servers don't agree yet which of them leads a new partition or
/// keeps a group.
pub(crate) fn answer_of<T>(
    operation: &'static str,
    limit: Duration,
    mut ask: impl FnMut(Duration) -> KafkaResult<T>,
) -> Result<T, BrokerError> {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match ask(left) {
            Err(error) if !left.is_zero() && is_undecided(&error) => std::thread::sleep(LOOK),
            answer => return answer.map_err(|error| meaning(operation, limit, error)),
        }
    }
}

/// Whether the servers don't agree yet which of them leads a partition or keeps a group.
fn is_undecided(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::NotCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::WaitingForCoordinator
        )
    )
}

/// Whether a topic or partition does not exist.
pub(crate) fn is_missing(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
}
