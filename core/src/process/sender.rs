//! The sender: sends the commands of recorded steps, and keeps the index of timers.
//!
//! The stream of an instance is the outbox: a step is one append, and its commands follow from it. Each is sent under a key
//! of its own, which can have one outcome: the command's effect, its refusal, or its withdrawal.

use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

use super::counts::RequestEnd;
use super::desk::{Desk, is_closed, request_key};
use super::ledger::{Ledger, Mode};
use super::record::{CommandRecord, Next, Record, RefusedRecord, RequestId, StepRecord, WithdrawnRecord, types};
use super::{Process, ProcessCommand, timers};
use crate::dispatch::{self, Request};
use crate::run::{TIME_LIMIT, guarded};
use crate::store::error_chain;
use crate::{
    Append, AppendError, BoxError, DispatchError, EventType, ExpectedVersion, Idempotency, IdempotencyKey, Metadata,
    NamedAppend, Query, QueryItem, RecordedEvent, Refusal, Sink, StreamId, TransientError,
};

/// How long the commands of a step may take, if some of them go to other services.
const AWAY: Duration = Duration::from_secs(15 * 60);

/// The events that the sender follows: the steps of the process, and the events after which it tries again.
pub(super) fn query<P: Process>() -> Query {
    let names = [types::STEP, types::RESUMED, types::REDRIVE, types::RESOLVED];
    let event_types = names.map(EventType::from_static).to_vec();
    Query::item(QueryItem { event_types, category: Some(P::NAME.into()), ..QueryItem::default() })
}

/// Sends the commands of a process.
pub(super) struct Sender<P> {
    pub(super) desk: Arc<Desk<P>>,
    commands: Vec<ProcessCommand>,
}

/// An instance with commands to send, and the event that is the reason.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub(super) stream: &'a StreamId,
    pub(super) recorded: &'a RecordedEvent,
}

impl Errand<'_> {
    pub(super) fn instance(&self) -> SmolStr {
        SmolStr::new(self.stream.id())
    }

    pub(super) fn metadata(&self) -> Metadata {
        Metadata::caused_by(self.recorded)
    }
}

/// The outcome of a command that was sent.
pub(super) enum Sent {
    /// It took effect, or had nothing to do.
    Done,
    /// It was refused. Nothing can take effect under its key any more.
    Refused,
    /// It was withdrawn before, or refused.
    Void,
    /// It can't be sent.
    Failed(String),
}

impl<P: Process> Sender<P> {
    pub(super) fn new(desk: Arc<Desk<P>>) -> Self {
        Self { desk, commands: P::commands() }
    }

    async fn follow(&self, recorded: &RecordedEvent) -> Result<(), BoxError> {
        let errand = Errand { stream: &recorded.stream, recorded };
        let data = &recorded.data;
        match Record::decode(data.event_type.as_str(), data.schema_version, &data.payload)? {
            Record::Step(step) => self.step(errand, &step).await,
            Record::Resumed(_) => self.resume(errand).await,
            Record::Redrive(_) => self.redrive(errand).await,
            Record::Resolved(_) => self.compensate(errand).await,
            _ => Ok(()),
        }
    }

    async fn step(&self, errand: Errand<'_>, step: &StepRecord) -> Result<(), BoxError> {
        let (store, instance) = (&*self.desk.engine.store, errand.instance());
        timers::put(store, P::NAME, &instance, &step.timers).await?;
        if !step.timers.is_empty() {
            self.desk.timer_set.notify_one();
        }
        timers::remove(store, P::NAME, &instance, &step.cancelled).await?;
        if step.next == Next::Compensate {
            return self.compensate(errand).await;
        }
        if !step.undos.is_empty() {
            self.compensate(errand).await?;
        }
        let version = errand.recorded.version.get();
        for (index, request) in (0..).zip(&step.requests) {
            // Spares commands that would be undone at once, or that wait for an operator. They are sent when the instance
            // goes on, so the newest state decides.
            if !self.desk.seems_to_send(errand.stream) {
                let loaded = self.desk.load_or_park(&instance, &errand.metadata()).await?;
                if loaded.is_none_or(|loaded| !loaded.ledger.sends()) {
                    return Ok(());
                }
            }
            let id = RequestId { step: version, index };
            if !self.request(errand, id, &request.command).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends a request. Returns whether the next may follow.
    async fn request(&self, errand: Errand<'_>, id: RequestId, command: &CommandRecord) -> Result<bool, BoxError> {
        match self.send(errand, id, None, command).await? {
            Sent::Done | Sent::Refused | Sent::Void => Ok(true),
            Sent::Failed(error) => {
                self.desk.park(&errand.instance(), None, &error, &errand.metadata()).await?;
                Ok(false)
            }
        }
    }

    /// An operator has ordered to try again. The commands that wait are sent before those of the steps that follow from the
    /// inputs that wait: these steps come later in the stream.
    async fn redrive(&self, errand: Errand<'_>) -> Result<(), BoxError> {
        let loaded = self.desk.load_or_park(&errand.instance(), &errand.metadata()).await?;
        let Some(ledger) = loaded.map(|loaded| loaded.ledger) else { return Ok(()) };
        if ledger.mode == Mode::Compensating {
            return self.compensate(errand).await;
        }
        self.send_open(errand, &ledger).await
    }

    /// An instance was parked and goes on: its commands and timers may be missing.
    async fn resume(&self, errand: Errand<'_>) -> Result<(), BoxError> {
        let instance = errand.instance();
        let loaded = self.desk.load_or_park(&instance, &errand.metadata()).await?;
        let Some(ledger) = loaded.map(|loaded| loaded.ledger) else { return Ok(()) };
        timers::put(&*self.desk.engine.store, P::NAME, &instance, &ledger.pending_timers()).await?;
        self.desk.timer_set.notify_one();
        if !ledger.sends() {
            return self.compensate(errand).await;
        }
        self.send_open(errand, &ledger).await
    }

    /// Sends the commands of all steps that may have no outcome, in order. Commands with an outcome repeat it.
    async fn send_open(&self, errand: Errand<'_>, ledger: &Ledger) -> Result<(), BoxError> {
        for (request, settled) in &ledger.requests {
            if let Some(command) = request.command.as_ref().filter(|_| !settled.refused && !settled.withdrawn)
                && !self.request(errand, request.id, command).await?
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends a command under the key of its request.
    ///
    /// # Errors
    /// Only errors that time heals.
    pub(super) async fn send(
        &self,
        errand: Errand<'_>,
        id: RequestId,
        undo: Option<u32>,
        command: &CommandRecord,
    ) -> Result<Sent, BoxError> {
        if let Some(gateway) = self.gateway(command) {
            return self.send_away(gateway, errand, (id, undo), command).await;
        }
        let Some(route) = self.commands.iter().find(|route| route.is(command)) else {
            return Ok(Sent::Failed(format!(
                "the process no longer declares the command {command}: add it to its `commands(…)`"
            )));
        };
        let key = request_key(errand.stream, id, undo)?;
        let metadata = errand.metadata();
        let request = Request { metadata: metadata.clone(), key: Some(key.clone()), ..Request::new() };
        let sending = async { Ok(route.send(&self.desk.engine, command, request).await) };
        let error = match guarded(sending).await {
            Ok(Ok(())) => {
                let end = if undo.is_some() { RequestEnd::Undone } else { RequestEnd::Accepted };
                self.desk.counts.request(&command.name, end);
                return Ok(Sent::Done);
            }
            Ok(Err(error)) => error,
            Err(panic) => return Ok(Sent::Failed(error_chain(&*panic))),
        };
        let refusal = match error {
            DispatchError::Rejected(refusal) => refusal,
            DispatchError::AlreadyExists { .. } => Refusal::kept("AlreadyExists".to_owned(), error.to_string(), None),
            ref closed if is_closed(closed) => Refusal::kept("Closed".to_owned(), error_chain(closed), None),
            DispatchError::Append(AppendError::KeyReused { .. }) => return self.settled(errand, &key).await,
            error if error.is_transient() => return Err(TransientError::new(error).into()),
            error => return Ok(Sent::Failed(error_chain(&error))),
        };
        let Refusal { kind, message, json, .. } = refusal;
        let record = Record::Refused(RefusedRecord { request: id, undo, kind, message, json });
        self.refuse(errand, key, command, record).await
    }

    /// Records a refusal as the outcome of the request's key, unless it has another one.
    pub(super) async fn refuse(
        &self,
        errand: Errand<'_>,
        key: IdempotencyKey,
        command: &CommandRecord,
        record: Record,
    ) -> Result<Sent, BoxError> {
        match self.record(errand, Idempotency::new(key.clone(), b"refused"), &record).await {
            Ok(()) => {
                self.desk.counts.request(&command.name, RequestEnd::Refused);
                Ok(Sent::Refused)
            }
            Err(AppendError::KeyReused { .. }) => self.settled(errand, &key).await,
            Err(error) if is_archived(&error, errand) => Ok(Sent::Void),
            Err(error) => Err(error.into()),
        }
    }

    /// The outcome of a request that has one.
    async fn settled(&self, errand: Errand<'_>, key: &IdempotencyKey) -> Result<Sent, BoxError> {
        match self.desk.engine.store.find_append(key).await? {
            Some(first) if is_of(&first, errand.stream) => Ok(Sent::Void),
            Some(_) => Ok(Sent::Done),
            None => Err(TransientError::new(format!("the outcome of request {key} can't be found")).into()),
        }
    }

    /// Makes sure that a request has an outcome: withdraws it if it has none. Returns whether it took effect.
    pub(super) async fn withdraw(
        &self,
        errand: Errand<'_>,
        id: RequestId,
        command: &CommandRecord,
    ) -> Result<bool, BoxError> {
        if let Some(gateway) = self.gateway(command) {
            return self.withdraw_away(gateway, errand, id, command).await;
        }
        let key = request_key(errand.stream, id, None)?;
        let store = &self.desk.engine.store;
        let mut first = store.find_append(&key).await?;
        if first.is_none() {
            let record = Record::Withdrawn(WithdrawnRecord { request: id });
            match self.record(errand, Idempotency::new(key.clone(), b"withdrawn"), &record).await {
                Ok(()) => {
                    self.desk.counts.request(&command.name, RequestEnd::Withdrawn);
                    return Ok(false);
                }
                Err(AppendError::KeyReused { .. }) => first = store.find_append(&key).await?,
                Err(error) if is_archived(&error, errand) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        let first = first.ok_or_else(|| TransientError::new(format!("the outcome of request {key} can't be found")))?;
        let events: u64 = first.appended.streams.iter().map(|part| part.count).sum();
        Ok(events > 0 && !is_of(&first, errand.stream))
    }

    /// Appends one of the runtime's events to the stream of the instance, as the outcome of a key.
    pub(super) async fn record(
        &self,
        errand: Errand<'_>,
        idempotency: Idempotency,
        record: &Record,
    ) -> Result<(), AppendError> {
        let mut event = record.encode().map_err(|error| crate::StoreError::Backend {
            operation: "record the outcome of a request",
            source: error.into(),
        })?;
        event.metadata = errand.metadata();
        let append = Append::to(errand.stream.clone(), ExpectedVersion::StreamExists, vec![event]);
        self.desk.engine.append(Append { idempotency: Some(idempotency), ..append }).await.map(drop)
    }
}

/// Whether the stream of the instance takes no more events. An operator has archived it while a request was open.
pub(super) fn is_archived(error: &AppendError, errand: Errand<'_>) -> bool {
    let closed = dispatch::is_closed(error);
    if closed {
        let (stream, position) = (errand.stream, errand.recorded.position);
        tracing::error!(%stream, %position, %error, "the outcome of a request can't be recorded");
    }
    closed
}

/// Whether the first outcome of a key is an event of the instance: the request was refused or withdrawn.
fn is_of(first: &NamedAppend, stream: &StreamId) -> bool {
    first.appended.streams.iter().any(|part| part.stream == *stream)
}

impl<P: Process> Sink for Sender<P> {
    type Item = RecordedEvent;

    async fn take(&self, recorded: &RecordedEvent) -> Result<(), BoxError> {
        self.follow(recorded).await
    }

    /// Another service may be away: its gateway repeats a request less and less often, which takes longer than a local call.
    fn time_limit(&self) -> Duration {
        if self.desk.gateway.is_some() { AWAY } else { TIME_LIMIT }
    }
}
