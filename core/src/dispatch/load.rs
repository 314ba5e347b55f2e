//! Loading an aggregate: cache, then snapshot, then the tail of its stream.
//!
//! Where aggregates that are met for the first time are new ones again and again, as orders are, the next is expected to be
//! new too: a command is decided on the empty state, and its append, which expects no stream, finds out. If that was wrong,
//! or the command writes nothing, the aggregate is loaded after all.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;

use futures_util::StreamExt;

use super::engine::Engine;
use super::warm::Warm;
use super::{LoadError, snapshot};
use crate::telemetry::ReadKind;
use crate::{Apply, EventRef, NameError, ReadStream, StoreError, StreamId, StreamVersion, Timestamp};

impl Engine {
    /// Loads from snapshot and tail; the empty state if there is no such stream.
    pub(super) async fn load<A: Apply>(&self, stream: &StreamId) -> Result<Warm<A>, LoadError> {
        let load = async {
            let mut warm = snapshot::find::<A>(&*self.store, stream).await.unwrap_or_default();
            let snapshot = warm.version;
            self.catch_up(stream, &mut warm).await?;
            Ok((snapshot, warm))
        };
        self.observe_load(stream, load).await
    }

    /// A look at an aggregate in the cache, without a read: it may be older than its stream. `None` if it is not there, or if
    /// a command is being decided on it.
    pub(crate) fn peek<A: Apply, T>(&self, stream: &StreamId, look: impl FnOnce(&A) -> T) -> Option<T> {
        let slot = self.cache.find::<A>(stream)?;
        let turn = slot.turn.try_lock().ok()?;
        turn.as_ref().map(|warm| look(&warm.state))
    }

    /// Loads an aggregate that is not in the cache, and notes whether it is a new one.
    pub(super) async fn load_uncached<A: Apply>(&self, stream: &StreamId) -> Result<Warm<A>, LoadError> {
        let warm = self.load::<A>(stream).await?;
        self.cache.record_first_load::<A>(warm.version == StreamVersion::EMPTY);
        Ok(warm)
    }

    /// Takes the events after the state's version into it.
    pub(super) async fn catch_up<A: Apply>(&self, stream: &StreamId, warm: &mut Warm<A>) -> Result<(), LoadError> {
        let mut failed = None;
        let read = ReadStream::new(stream.clone()).after(warm.version);
        let before = warm.version;
        let mut apply = |event: EventRef<'_>| {
            if failed.is_none() {
                failed = warm.apply(stream, event).err();
            }
        };
        let started = self.metrics.store.read();
        let read = self.store.fold_stream(read, &mut apply).await;
        self.metrics.store.read_end(ReadKind::Stream, started, warm.version.get() - before.get());
        if let Some(failed) = failed {
            return Err(failed);
        }
        match read {
            // A stream that isn't there is the empty state; one that vanished behind a snapshot is not.
            Err(StoreError::StreamNotFound { .. }) if before == StreamVersion::EMPTY => Ok(()),
            read => Ok(read?),
        }
    }

    /// The state as it was at this version of its stream, and with the events before the first that was recorded later than this time.
    async fn load_past<A: Apply>(
        &self,
        stream: &StreamId,
        version: StreamVersion,
        time: Option<Timestamp>,
    ) -> Result<Warm<A>, LoadError> {
        let mut warm = Warm::default();
        let mut events = self.store.read_stream(ReadStream { to: version, ..ReadStream::new(stream.clone()) });
        while let Some(event) = events.next().await {
            match event {
                Ok(event) if time.is_some_and(|time| event.recorded_at > time) => break,
                Ok(event) => warm.apply(stream, EventRef::from(&event))?,
                Err(StoreError::StreamNotFound { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(warm)
    }
}

/// A load that can be narrowed to a point in the past before it is awaited.
///
/// # Cancel safety
/// Reads only: it can be dropped at any point.
#[must_use = "nothing is loaded until this is awaited"]
pub struct Load<'a, A> {
    engine: &'a Engine,
    stream: Result<StreamId, NameError>,
    version: StreamVersion,
    time: Option<Timestamp>,
    aggregate: PhantomData<fn() -> A>,
}

impl<'a, A: Apply> Load<'a, A> {
    pub(crate) fn new(engine: &'a Engine, id: &A::Id) -> Self {
        Self { engine, stream: A::stream(id), version: StreamVersion::MAX, time: None, aggregate: PhantomData }
    }

    /// As it was at this version of its stream; the newest if it isn't that far yet.
    pub fn at_version(mut self, version: u64) -> Self {
        self.version = StreamVersion::new(version);
        self
    }

    /// As it was at this time: with the events before the first one that was recorded later.
    pub fn at(mut self, time: Timestamp) -> Self {
        self.time = Some(time);
        self
    }

    async fn run(self) -> Result<A, LoadError> {
        let engine = self.engine;
        engine.names.claim_aggregate::<A>()?;
        let stream = self.stream?;
        let warm = if self.time.is_some() || self.version < StreamVersion::MAX {
            engine.load_past(&stream, self.version, self.time).await?
        } else {
            let slot = engine.cache.slot::<A>(&stream);
            let mut turn = slot.turn.lock().await;
            let warm = match turn.take() {
                Some(mut warm) => {
                    let started = slot.entry.metrics().cached_load();
                    engine.catch_up(&stream, &mut warm).await?;
                    slot.entry.metrics().loaded_from_cache(started);
                    warm
                }
                None => engine.load(&stream).await?,
            };
            turn.insert(warm).clone()
        };
        if warm.version == StreamVersion::EMPTY { Err(LoadError::NotFound { stream }) } else { Ok(warm.state) }
    }
}

impl<'a, A: Apply> IntoFuture for Load<'a, A> {
    type Output = Result<A, LoadError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
