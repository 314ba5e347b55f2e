//! Loading an aggregate: cache, then snapshot, then the tail of its stream.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;

use futures_util::StreamExt;

use super::cache::Warm;
use super::{LoadError, snapshot};
use crate::recount::Inner;
use crate::{
    Apply, Event, NameError, ReadStream, RecordedEvent, Recount, StoreError, StreamId, StreamVersion, Timestamp,
};

impl Inner {
    /// Loads from snapshot and tail; the empty state if there is no such stream.
    pub(super) async fn load<A: Apply>(&self, stream: &StreamId) -> Result<Warm<A>, LoadError> {
        let mut warm = snapshot::find::<A>(&*self.store, stream).await.unwrap_or_default();
        self.catch_up(stream, &mut warm).await?;
        Ok(warm)
    }

    /// Takes the events after the state's version into it.
    pub(super) async fn catch_up<A: Apply>(&self, stream: &StreamId, warm: &mut Warm<A>) -> Result<(), LoadError> {
        let read = ReadStream::new(stream.clone()).after(warm.version);
        self.fold(read, warm, |_| true).await
    }

    async fn fold<A: Apply>(
        &self,
        read: ReadStream,
        warm: &mut Warm<A>,
        mut wanted: impl FnMut(&RecordedEvent) -> bool,
    ) -> Result<(), LoadError> {
        let mut events = self.store.read_stream(read);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) if wanted(&event) => warm.apply(&event)?,
                Ok(_) => break,
                // A stream that isn't there is the empty state; one that vanished behind a snapshot is not.
                Err(StoreError::StreamNotFound { .. }) if warm.version == StreamVersion::EMPTY => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl<A: Apply> Warm<A> {
    pub(super) fn apply(&mut self, recorded: &RecordedEvent) -> Result<(), LoadError> {
        let event = A::Event::from_recorded(recorded).map_err(|source| LoadError::Decode {
            stream: recorded.stream.clone(),
            version: recorded.version,
            source,
        })?;
        self.state.apply(&event);
        self.version = recorded.version;
        Ok(())
    }
}

/// A load that can be narrowed to a point in the past before it is awaited.
///
/// # Cancel safety
/// Reads only: it can be dropped at any point.
#[must_use = "nothing is loaded until this is awaited"]
pub struct Load<'a, A> {
    recount: &'a Recount,
    stream: Result<StreamId, NameError>,
    version: StreamVersion,
    time: Option<Timestamp>,
    aggregate: PhantomData<fn() -> A>,
}

impl<'a, A: Apply> Load<'a, A> {
    pub(crate) fn new(recount: &'a Recount, id: &A::Id) -> Self {
        Self { recount, stream: A::stream(id), version: StreamVersion::MAX, time: None, aggregate: PhantomData }
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
        let inner = &self.recount.inner;
        let stream = self.stream?;
        let warm = if self.time.is_some() || self.version < StreamVersion::MAX {
            let mut warm = Warm::<A>::default();
            let read = ReadStream { to: self.version, ..ReadStream::new(stream.clone()) };
            let in_time = |event: &RecordedEvent| self.time.is_none_or(|time| event.recorded_at <= time);
            inner.fold(read, &mut warm, in_time).await?;
            warm
        } else {
            let slot = inner.cache.slot::<A>(&stream);
            let mut turn = slot.turn.lock().await;
            let warm = match turn.take() {
                Some(mut warm) => {
                    inner.catch_up(&stream, &mut warm).await?;
                    warm
                }
                None => inner.load(&stream).await?,
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
