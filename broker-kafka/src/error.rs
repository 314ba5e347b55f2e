//! Errors of the client library and the server, as those of the contract.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use recount_messaging::BrokerError;

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

/// Whether the servers have not agreed on the leader of a partition yet.
pub(crate) fn is_about_leader(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(Code::LeaderNotAvailable | Code::NotLeaderForPartition))
}

/// Whether the server that keeps a group is not known yet.
pub(crate) fn is_about_coordinator(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(
            Code::NotCoordinator
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
