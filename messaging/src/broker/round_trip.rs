//! An answer of the broker, which shows that it can be reached.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{Broker, BrokerError};

/// How long the broker has for it.
const LIMIT: Duration = Duration::from_secs(10);

/// Asks the broker for an answer, within a time limit.
pub(crate) async fn round_trip(broker: Arc<dyn Broker>) -> Result<(), BrokerError> {
    let timed_out = BrokerError::TimedOut { operation: "a round trip", limit: LIMIT };
    match timeout(LIMIT, broker.health()).await.unwrap_or(Err(timed_out)) {
        // Consuming needs fewer rights than the round trip at some brokers, and a refusal is an answer too.
        Err(BrokerError::NotAllowed { .. }) => Ok(()),
        answer => answer,
    }
}
