//! The shared work of a process's three loops: deciding about an instance, parking it, and the keys of its requests.

use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::StreamExt;
use smol_str::SmolStr;
use tokio::sync::Notify;

use super::counts::Counts;
use super::decide::{Order, OrderKind};
use super::instance::{Instance, NoStep};
use super::ledger::{Ledger, Mode};
use super::record::{ParkedRecord, Record, RequestId};
use super::{Gateway, Process};
use crate::dispatch::{self, Engine, Load, Request};
use crate::run::guarded;
use crate::store::{RESERVED, error_chain};
use crate::{
    Aggregate, Append, BoxError, DispatchError, ExpectedVersion, IdempotencyKey, LoadError, Metadata, NameError,
    Position, ReadStream, Store, StoreError, StreamId, TransientError,
};

/// The shared parts of a running process.
pub(crate) struct Desk<P> {
    pub(super) engine: Arc<Engine>,
    pub(super) counts: Arc<Counts>,
    /// The way to aggregates of other services.
    pub(super) gateway: Option<Arc<dyn Gateway>>,
    /// Wakes the alarm: a timer may be due earlier than it knows.
    pub(super) timer_set: Notify,
    process: PhantomData<fn() -> P>,
}

/// An instance after something was recorded.
pub(super) struct After {
    /// Whether it has started.
    pub(super) started: bool,
    /// The inputs that were held until it started.
    pub(super) held: Vec<Position>,
}

impl<P: Process> Desk<P> {
    pub(super) fn new(engine: Arc<Engine>, gateway: Option<Arc<dyn Gateway>>) -> Self {
        let counts = Arc::new(Counts::new(engine.metrics.process(P::NAME)));
        Self { engine, counts, gateway, timer_set: Notify::new(), process: PhantomData }
    }

    pub(super) fn stream(instance: &SmolStr) -> Result<StreamId, NameError> {
        Instance::<P>::stream(instance)
    }

    /// Decides, and records the step.
    ///
    /// # Errors
    /// Only errors that time heals.
    pub(super) async fn decide(
        &self,
        instance: &SmolStr,
        kind: OrderKind<P>,
        metadata: &Metadata,
    ) -> Result<Result<After, NoStep>, BoxError> {
        let order = Order { instance: instance.clone(), kind };
        let request = Request { metadata: metadata.clone(), ..Request::new() };
        let run = async {
            let outcome = self.engine.run::<Instance<P>, _>(&order, &request, |instance| instance.map(after)).await;
            match outcome {
                Ok((_, Ok(after))) => Ok(Ok(after)),
                Ok((_, Err(error))) => Ok(Err(NoStep::Failed(error_chain(&error)))),
                Err(DispatchError::Rejected(no_step)) => Ok(Err(no_step)),
                Err(error) if error.is_transient() => Err(TransientError::new(error).into()),
                Err(error) if is_closed(&error) => Ok(Err(NoStep::Late)),
                Err(error) => Ok(Err(NoStep::Failed(error_chain(&error)))),
            }
        };
        // A panic is one of the process's own code, where it folds its facts.
        match guarded(run).await {
            Err(error) if !crate::is_transient(&*error) => Ok(Err(NoStep::Failed(error_chain(&*error)))),
            outcome => outcome,
        }
    }

    /// Parks the instance, so that its inputs wait for an operator. `input` is the position of the input that failed; none if a
    /// timer or a command did. Returns whether the instance is parked: another program may have handled the input meanwhile.
    pub(super) async fn park(
        &self,
        instance: &SmolStr,
        input: Option<Position>,
        error: &str,
        metadata: &Metadata,
    ) -> Result<bool, BoxError> {
        let park = OrderKind::Park { input, error: error.into() };
        match self.decide(instance, park, metadata).await? {
            Err(NoStep::Stale) => return Ok(false),
            Err(NoStep::Failed(_)) => self.park_unread(instance, input, error, metadata).await?,
            _ => {}
        }
        tracing::error!(process = P::NAME, %instance, ?input, error, "the instance is parked until it is redriven");
        Ok(true)
    }

    /// Parks an instance with a stream that this program can't read.
    async fn park_unread(
        &self,
        instance: &SmolStr,
        input: Option<Position>,
        error: &str,
        metadata: &Metadata,
    ) -> Result<(), BoxError> {
        let stream = Self::stream(instance)?;
        let ledger = ledger_of(&*self.engine.store, &stream).await?.unwrap_or_default();
        if ledger.parked.as_ref().is_some_and(|halt| !halt.redriven) {
            return Ok(());
        }
        let position = input.unwrap_or_else(|| ledger.next_input());
        let mut event = Record::Parked(ParkedRecord { position, error: error.to_owned() }).encode()?;
        event.metadata = metadata.clone();
        self.engine.append(Append::to(stream, ExpectedVersion::Any, vec![event])).await?;
        Ok(())
    }

    /// The newest state of an instance that exists.
    pub(super) async fn load(&self, instance: &SmolStr) -> Result<Instance<P>, BoxError> {
        let load = async { Load::<Instance<P>>::new(&self.engine, instance).await.map_err(BoxError::from) };
        guarded(load).await
    }

    /// The newest state of an instance that exists. An instance that this program can't read is parked: `None`.
    pub(super) async fn load_or_park(
        &self,
        instance: &SmolStr,
        metadata: &Metadata,
    ) -> Result<Option<Instance<P>>, BoxError> {
        match self.load(instance).await {
            Ok(loaded) => Ok(Some(loaded)),
            Err(error) if crate::is_transient(&*error) => Err(error),
            Err(error) => {
                self.park(instance, None, &error_chain(&*error), metadata).await?;
                Ok(None)
            }
        }
    }

    /// Whether the commands of the instance may be sent, as far as this program knows. Its knowledge may be old.
    pub(super) fn seems_to_send(&self, stream: &StreamId) -> bool {
        self.engine.peek::<Instance<P>, bool>(stream, |instance| instance.ledger.sends()).unwrap_or(true)
    }
}

fn after<P>(instance: &Instance<P>) -> After {
    let ledger = &instance.ledger;
    After { started: ledger.mode != Mode::New, held: ledger.held.clone() }
}

/// Whether the stream of an aggregate is archived or erased.
pub(super) fn is_closed<E: std::error::Error>(error: &DispatchError<E>) -> bool {
    match error {
        DispatchError::Append(error) => dispatch::is_closed(error),
        DispatchError::Load(LoadError::Store(StoreError::StreamErased { .. })) => true,
        _ => false,
    }
}

/// The ledger of an instance, read without the types of its facts. `None` if there is no such instance.
pub(crate) async fn ledger_of(store: &dyn Store, stream: &StreamId) -> Result<Option<Ledger>, BoxError> {
    let (mut ledger, mut found) = (Ledger::default(), false);
    let mut events = store.read_stream(ReadStream::new(stream.clone()));
    while let Some(event) = events.next().await {
        let event = match event {
            Err(StoreError::StreamNotFound { .. }) => return Ok(None),
            event => event?,
        };
        found = true;
        ledger.fold(&event.data)?;
    }
    Ok(found.then_some(ledger))
}

/// The part of the keys that names the instance at most.
const MAX_INSTANCE: usize = 320;

/// The idempotency key of a request, or of an attempt to undo it. It holds the version of the step, which is unique by
/// the expected version of the step's append.
pub(crate) fn request_key(
    stream: &StreamId,
    request: RequestId,
    undo: Option<u32>,
) -> Result<IdempotencyKey, NameError> {
    let RequestId { step, index } = request;
    let name = stream.as_str();
    let name = if name.len() <= MAX_INSTANCE {
        SmolStr::new(name)
    } else {
        smol_str::format_smolstr!("sha256:{}", crate::store::digest(name.as_bytes()))
    };
    let undo = undo.map(|attempt| format!("/undo/{attempt}")).unwrap_or_default();
    IdempotencyKey::from_stored(format!("{RESERVED}process/{name}/{step}/{index}{undo}"))
}
