//! Requests to other services, and their replies.
//!
//! A request is a message with a command, a key and the address of a reply. The other service carries it out once for its
//! key, and replies with the outcome under that key, each time it is asked. So a request that is repeated has the first
//! outcome. Replies come by a topic of the requester's own, so that they wait for a requester that is away.

mod gateway;
mod outcome;
mod replier;
mod requester;

pub use gateway::{GatewayBuilder, ServiceGateway};
pub(crate) use outcome::{Answer, REPLY, WITHDRAW};
pub use outcome::{reply_schema, reply_type};
pub(crate) use replier::{REPLIES_EXPIRE, Replier, replies};
pub use requester::RequestError;
pub(crate) use requester::{Requester, Waiters};
