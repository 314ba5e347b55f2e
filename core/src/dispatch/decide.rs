//! Recording decisions over a dynamic consistency boundary.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use futures_util::StreamExt;
use tracing::Instrument;

use super::engine::encode;
use super::request::{Request, request_options};
use super::{DispatchError, LoadError, Receipt};
use crate::{
    Append, AppendCondition, AppendError, Context, Decision, Event, ExpectedVersion, Idempotency, IdempotencyKey,
    Position, Query, ReadAll, Recount, StreamAppend, StreamVersion,
};

/// A decision that is made and recorded when it is awaited.
///
/// # Cancel safety
/// Dropped, the decision was recorded wholly or not at all.
#[must_use = "nothing is decided until this is awaited"]
pub struct Decide<'a, D> {
    recount: &'a Recount,
    decision: D,
    request: Request,
}

impl<'a, D: Decision> Decide<'a, D> {
    pub(crate) fn new(recount: &'a Recount, decision: D) -> Self {
        Self { recount, decision, request: Request::new() }
    }

    request_options!();

    async fn run(self) -> Result<Receipt<D::Event>, DispatchError<D::Error>> {
        let inner = &self.recount.inner;
        inner.names.claim_events::<D::Event>().map_err(LoadError::from)?;
        let boundary = self.decision.boundary().map_err(LoadError::from)?.within(&D::Event::query());
        let idempotency = self.request.key.clone().map(|key| name(key, &boundary));
        if let Some(named) = &idempotency
            && let Some(first) = inner.store.find_append(&named.key).await.map_err(AppendError::from)?
        {
            return Ok(inner.first_outcome(first.repeat(named)?).await?);
        }
        let metadata = self.request.metadata();
        let mut backoff = inner.retry.backoff();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (state, after) = self.fold(&boundary).await?;
            let context =
                Context { now: (inner.clock)(), stream: None, version: StreamVersion::EMPTY, metadata: &metadata };
            let events = self.decision.decide(&state, &context).map_err(DispatchError::Rejected)?;
            if events.is_empty() {
                return Ok(Receipt::nothing(StreamVersion::EMPTY));
            }
            let condition = AppendCondition { fail_if: boundary.clone(), after };
            let mut append =
                Append { condition: Some(condition), idempotency: idempotency.clone(), ..Append::default() };
            for event in encode(&events, &metadata)? {
                let stream = self.decision.stream(&event).map_err(LoadError::from)?;
                match append.streams.iter_mut().find(|append| append.stream == stream) {
                    Some(append) => append.events.push(event),
                    None => {
                        append.streams.push(StreamAppend {
                            stream,
                            expected: ExpectedVersion::Any,
                            events: vec![event],
                        });
                    }
                }
            }
            match inner.store.append(append).await {
                Ok(first) if first.repeated => return Ok(inner.first_outcome(first).await?),
                Ok(appended) => {
                    let version = appended.streams.last().map_or(StreamVersion::EMPTY, |stream| stream.version);
                    return Ok(Receipt { version, position: Some(appended.position), events, repeated: false });
                }
                Err(AppendError::Conflict(conflict)) if conflict.can_retry() => match backoff.next() {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(DispatchError::Contended { attempts, source: conflict }),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What the events of the boundary say, and how far that reaches.
    async fn fold(&self, boundary: &Query) -> Result<(D::State, Position), LoadError> {
        let mut state = D::State::default();
        let mut after = Position::START;
        let mut events = self.recount.inner.store.read_all(ReadAll::new(boundary.clone()));
        while let Some(recorded) = events.next().await {
            let recorded = recorded?;
            let event = D::Event::from_recorded(&recorded).map_err(|source| LoadError::Decode {
                stream: recorded.stream.clone(),
                version: recorded.version,
                source,
            })?;
            self.decision.apply(&mut state, &event);
            after = recorded.position;
        }
        Ok((state, after))
    }
}

/// The content of a keyed decision is its boundary: that is what it asks about.
fn name(key: IdempotencyKey, boundary: &Query) -> Idempotency {
    Idempotency::new(key, format!("{boundary:?}").as_bytes())
}

impl<'a, D: Decision> IntoFuture for Decide<'a, D> {
    type Output = Result<Receipt<D::Event>, DispatchError<D::Error>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let span = tracing::debug_span!("decide", decision = std::any::type_name::<D>());
        Box::pin(self.run().instrument(span))
    }
}
