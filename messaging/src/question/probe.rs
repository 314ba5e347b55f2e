//! Whether the broker of an inbox answers: an inbox hears nothing both of a dead broker and of one without news.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use crate::broker::round_trip;
use crate::{Broker, BrokerError};

/// After so long without a message the broker is asked for an answer.
const INTERVAL: Duration = Duration::from_secs(5);

/// The next round trip to the broker.
pub(crate) struct Probe {
    due: Instant,
    /// Kept when a wait for it is dropped.
    under_way: Option<BoxFuture<'static, Result<(), BrokerError>>>,
}

impl Probe {
    pub(crate) fn new() -> Self {
        Self { due: Instant::now() + INTERVAL, under_way: None }
    }

    /// The broker has answered: by a message, or a new connection.
    pub(crate) fn answered(&mut self) {
        *self = Self::new();
    }

    /// Asks the broker again and again, until it does not answer.
    ///
    /// # Cancel safety
    /// The next call goes on with the same round trip.
    pub(crate) async fn failure(&mut self, broker: &Arc<dyn Broker>) -> BrokerError {
        loop {
            if self.under_way.is_none() {
                sleep_until(self.due).await;
            }
            let answer = self.under_way.get_or_insert_with(|| Box::pin(round_trip(Arc::clone(broker)))).await;
            self.answered();
            if let Err(error) = answer {
                return error;
            }
        }
    }
}
