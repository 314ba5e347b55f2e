//! The way to aggregates of other services, for the commands of processes.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use super::record::{CommandRecord, Record, RefusedRecord, RequestId, WithdrawnRecord};
use super::sender::{Errand, Sender, Sent, is_archived};
use super::{Process, counts::RequestEnd, desk::request_key};
use crate::dispatch::KeyOutcome;
use crate::store::error_chain;
use crate::{AppendError, BoxError, Idempotency, IdempotencyKey, Metadata};

/// The answer of another service.
pub type GatewayAnswer<'a> = Pin<Box<dyn Future<Output = Result<KeyOutcome, BoxError>> + Send + 'a>>;

/// Carries the commands of processes to aggregates of other services, and their outcomes back.
///
/// The other service records the outcome under the request's idempotency key, in its own store. So a request that is sent
/// again has the first outcome, and a withdrawn request never takes effect.
pub trait Gateway: Send + Sync + 'static {
    /// Whether the aggregate is in another service.
    fn reaches(&self, aggregate: &str) -> bool;

    /// Sends a request, and waits for its outcome.
    ///
    /// # Errors
    /// An error that time heals, see [`is_transient`](crate::is_transient), is tried again without limit. Another one parks
    /// the instance.
    ///
    /// # Cancel safety
    /// After a dropped call the outcome is unknown. The request is sent again.
    fn request<'a>(&'a self, request: &'a GatewayRequest) -> GatewayAnswer<'a>;
}

/// A request to another service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GatewayRequest {
    /// The key under which the other service records the outcome.
    pub key: IdempotencyKey,
    /// The aggregate.
    pub aggregate: String,
    /// The command among those of its aggregate.
    pub command: String,
    /// The command as JSON; `None` to withdraw it if it has no outcome.
    pub json: Option<Bytes>,
    /// The metadata of its events.
    pub metadata: Metadata,
}

impl GatewayRequest {
    fn new(key: IdempotencyKey, command: &CommandRecord, metadata: Metadata) -> Self {
        let json = Some(Bytes::copy_from_slice(command.json.get().as_bytes()));
        Self { key, aggregate: command.aggregate.clone(), command: command.name.clone(), json, metadata }
    }
}

impl<P: Process> Sender<P> {
    /// The way to a command's aggregate, if that is in another service.
    pub(super) fn gateway(&self, command: &CommandRecord) -> Option<&dyn Gateway> {
        self.desk.gateway.as_deref().filter(|gateway| gateway.reaches(&command.aggregate))
    }

    /// Sends a command to another service.
    pub(super) async fn send_away(
        &self,
        gateway: &dyn Gateway,
        errand: Errand<'_>,
        (id, undo): (RequestId, Option<u32>),
        command: &CommandRecord,
    ) -> Result<Sent, BoxError> {
        let key = request_key(errand.stream, id, undo)?;
        let request = GatewayRequest::new(key.clone(), command, errand.metadata());
        let outcome = match gateway.request(&request).await {
            Ok(outcome) => outcome,
            Err(error) if crate::is_transient(&*error) => return Err(error),
            Err(error) => return Ok(Sent::Failed(error_chain(&*error))),
        };
        match outcome {
            KeyOutcome::Effect | KeyOutcome::Nothing => {
                let end = if undo.is_some() { RequestEnd::Undone } else { RequestEnd::Accepted };
                self.desk.counts.request(&command.name, end);
                Ok(Sent::Done)
            }
            KeyOutcome::Refused(refusal) => {
                let (kind, message, json) = (refusal.kind, refusal.message, refusal.json);
                let record = Record::Refused(RefusedRecord { request: id, undo, kind, message, json });
                self.refuse(errand, key, command, record).await
            }
            KeyOutcome::Withdrawn => Ok(Sent::Void),
        }
    }

    /// Withdraws a command in another service if it has no outcome there. Returns whether it took effect.
    pub(super) async fn withdraw_away(
        &self,
        gateway: &dyn Gateway,
        errand: Errand<'_>,
        id: RequestId,
        command: &CommandRecord,
    ) -> Result<bool, BoxError> {
        let key = request_key(errand.stream, id, None)?;
        let mut request = GatewayRequest::new(key.clone(), command, errand.metadata());
        request.json = None;
        match gateway.request(&request).await? {
            KeyOutcome::Effect => return Ok(true),
            KeyOutcome::Nothing | KeyOutcome::Refused(_) => return Ok(false),
            KeyOutcome::Withdrawn => {}
        }
        // The key has no other outcome in this store: the command was never dispatched here.
        let record = Record::Withdrawn(WithdrawnRecord { request: id });
        match self.record(errand, Idempotency::new(key, b"withdrawn"), &record).await {
            Ok(()) => self.desk.counts.request(&command.name, RequestEnd::Withdrawn),
            Err(AppendError::KeyReused { .. }) => {}
            Err(error) if is_archived(&error, errand) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(false)
    }
}
