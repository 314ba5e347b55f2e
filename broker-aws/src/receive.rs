//! Requests for messages. Each lives in its consumer until it is answered: the server counts the messages of a dropped
//! one as delivered, and would hide them until their lease ends.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::config::Builder;
use aws_sdk_sqs::types::{Message as Native, MessageSystemAttributeName};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::connection::{Connection, times, within};
use crate::error::CallError;

/// How many messages a request can have.
pub(crate) const MAX_COUNT: usize = 10;

/// A request for messages.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) url: Arc<str>,
    pub(crate) count: usize,
    pub(crate) lease: Duration,
    pub(crate) wait: Duration,
    /// When it was first sent. No lease of its messages began before.
    pub(crate) sent: Instant,
    /// The server answers a request with the attempt id of an earlier one in the same way, so that messages of a lost
    /// answer are not hidden. Only queues with order take one.
    pub(crate) attempt: Option<String>,
}

/// The answer of a request.
pub(crate) struct Answered {
    pub(crate) request: Request,
    pub(crate) outcome: Result<Vec<Native>, CallError>,
}

pub(crate) type Receiving = BoxFuture<'static, Answered>;

impl Request {
    pub(crate) fn send(self, connection: &Connection) -> Receiving {
        // The answer may take as long as the server waits for messages, and a call more.
        let limit = self.wait + connection.options.call_timeout;
        let request = connection
            .sqs
            .receive_message()
            .queue_url(&*self.url)
            .max_number_of_messages(number(self.count as u64))
            .visibility_timeout(number(self.lease.as_secs()))
            .wait_time_seconds(number(self.wait.as_secs()))
            .set_receive_request_attempt_id(self.attempt.clone())
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .customize()
            .config_override(Builder::new().timeout_config(times(limit)));
        async move {
            let answer = within(limit, request.send()).await;
            Answered { request: self, outcome: answer.map(|answer| answer.messages.unwrap_or_default()) }
        }
        .boxed()
    }

    /// The same request once more, if its messages would still have most of their lease.
    pub(crate) fn again(self) -> Option<Self> {
        (self.attempt.is_some() && self.sent.elapsed() < self.lease / 2).then_some(self)
    }
}

/// An id that no other request has.
pub(crate) fn attempt_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// A number for the SDK.
pub(crate) fn number(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
