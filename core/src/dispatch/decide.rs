//! Recording decisions over a dynamic consistency boundary.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt;
use serde::Serialize;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::engine::Engine;
use super::observe::{load_span, record_failed_load};
use super::request::{Request, request_options};
use super::turn::encode;
use super::{DispatchError, LoadError, Receipt, Refusal};
use crate::domain::trace::{Token, TokenSink, trace};
use crate::telemetry::{AggregateMetrics, LoadSource, ReadKind};
use crate::{
    Append, AppendCondition, AppendError, Context, Decision, Event, EventData, ExpectedVersion, Idempotency,
    IdempotencyKey, Metadata, Position, Query, ReadAll, StreamAppend, StreamId, StreamVersion, TRACE_TARGET,
};

/// A decision that is made and recorded when it is awaited.
///
/// # Cancel safety
/// Dropped, the decision was recorded wholly or not at all.
#[must_use = "nothing is decided until this is awaited"]
pub struct Decide<'a, D> {
    engine: &'a Engine,
    decision: D,
    request: Request,
    /// The content of a keyed decision.
    content: Option<Result<Vec<u8>, serde_json::Error>>,
}

impl<'a, D: Decision> Decide<'a, D> {
    pub(crate) fn new(engine: &'a Engine, decision: D) -> Self {
        Self { engine, decision, request: Request::new(), content: None }
    }

    request_options!();

    /// Makes the decision idempotent: the same key with the same decision always returns the first outcome and appends
    /// nothing. An outcome without events is recorded too, and a refusal if [requested](Self::keep_refusal).
    ///
    /// The same key with another decision is [refused](AppendError::KeyReused). Two decisions are the same if they
    /// have the same type name and the same `Serialize` output, without fields that are `None`. Rename decisions that
    /// share a name in different modules with `#[serde(rename = "…")]`. Use sorted collections: a `HashSet` serializes in
    /// another order each time. The key is unique in the store.
    pub fn idempotency_key(mut self, key: IdempotencyKey) -> Self
    where
        D: Serialize,
    {
        let mut content = Vec::new();
        let traced = trace(&self.decision, &mut Content { tokens: &mut content, decision: name_of::<D>() });
        self.content = Some(traced.map(|()| content));
        self.request.key = Some(key);
        self
    }

    /// Makes the decision, and records its span and metrics.
    async fn run(self) -> Result<Receipt<D::Event>, DispatchError<D::Error>> {
        let engine = self.engine;
        let started = engine.metrics.commands.start();
        let name = name_of::<D>();
        let span = tracing::info_span!(
            target: TRACE_TARGET,
            "decide",
            otel.name = format_args!("decide {name}"),
            otel.status_code = Empty,
            recount.command = name,
            recount.outcome = Empty,
            recount.attempts = Empty,
            error.type = Empty,
        );
        let traceparent = engine.enter_trace(&span, &self.request.metadata);
        let recorded = (!span.is_disabled()).then(|| span.clone());
        // A decision has no aggregate.
        let metrics = engine.metrics.aggregate::<D>("");
        let outcome = self.decide_once(traceparent.as_ref(), &metrics).instrument(span).await;
        engine.record_end(&metrics, name, started, recorded, outcome.as_ref());
        outcome
    }

    /// Makes the decision, unless its key has an outcome.
    async fn decide_once(
        &self,
        traceparent: Option<&Arc<str>>,
        metrics: &AggregateMetrics,
    ) -> Result<Receipt<D::Event>, DispatchError<D::Error>> {
        let engine = self.engine;
        let idempotency = self.name()?;
        let decided = match (self.decide(idempotency.as_ref(), traceparent, metrics).await, &idempotency) {
            // The append of the refusal has checked the key: there was no earlier outcome.
            (Err(error @ DispatchError::Rejected(_)), Some(_)) if self.request.keeps_refusal => Err(error),
            // An earlier attempt may have been recorded. No append checks the key here, so look it up.
            (Err(error), Some(named)) if error.is_of_the_state() => {
                match engine
                    .store
                    .find_append(&named.key)
                    .await
                    .map_err(AppendError::from)?
                    .map(|first| first.repeat(named))
                {
                    Some(Ok(first)) => engine.first_outcome(named, first).await,
                    Some(Err(reused)) => Err(reused.into()),
                    None => Err(error),
                }
            }
            (outcome, _) => outcome,
        };
        match decided {
            Err(DispatchError::Append(AppendError::KeyReused { key })) => Err(engine.key_taken(key).await),
            outcome => outcome,
        }
    }

    async fn decide(
        &self,
        idempotency: Option<&Idempotency>,
        traceparent: Option<&Arc<str>>,
        metrics: &AggregateMetrics,
    ) -> Result<Receipt<D::Event>, DispatchError<D::Error>> {
        let engine = self.engine;
        engine.names.claim_events::<D::Event>().map_err(LoadError::from)?;
        let boundary = self.decision.boundary().map_err(LoadError::from)?.within(&D::Event::query());
        let metadata = self.request.metadata(traceparent);
        let mut backoff = engine.retry.backoff();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (state, after) = self.fold(&boundary).await?;
            let context =
                Context { now: (engine.clock)(), stream: None, version: StreamVersion::EMPTY, metadata: &metadata };
            let events = match self.decision.decide(&state, &context) {
                Ok(events) => events,
                Err(refusal) => return self.refuse(refusal, idempotency, &metadata).await,
            };
            if events.is_empty() && idempotency.is_none() {
                return Ok(Receipt::nothing(StreamVersion::EMPTY));
            }
            let condition = AppendCondition { fail_if: boundary.clone(), after };
            let (streams, events) = self.by_stream(encode(&events, &metadata)?, events)?;
            let append =
                Append { streams, condition: Some(condition), idempotency: idempotency.cloned(), ..Append::default() };
            match (engine.append(append).await, idempotency) {
                (Ok(first), Some(named)) if first.repeated => return engine.first_outcome(named, first).await,
                (Ok(appended), _) => {
                    metrics.attempts(attempts);
                    let version = appended.streams.last().map_or(StreamVersion::EMPTY, |stream| stream.version);
                    return Ok(Receipt {
                        version,
                        position: (!events.is_empty()).then_some(appended.position),
                        events,
                        repeated: false,
                    });
                }
                (Err(AppendError::Conflict(conflict)), _) if conflict.can_retry() => match backoff.next() {
                    Some(pause) => {
                        metrics.conflicts.add(1);
                        Span::current().record("recount.attempts", attempts + 1);
                        tokio::time::sleep(pause).await;
                    }
                    None => return Err(DispatchError::Contended { attempts, source: conflict }),
                },
                (Err(error), _) => return Err(error.into()),
            }
        }
    }

    /// The appends of the events to their streams, and the events in the order in which they are recorded: those of a
    /// stream together.
    fn by_stream(
        &self,
        data: Vec<EventData>,
        events: Vec<D::Event>,
    ) -> Result<(Vec<StreamAppend>, Vec<D::Event>), LoadError> {
        let mut streams: Vec<StreamAppend> = Vec::new();
        let mut placed = Vec::with_capacity(events.len());
        for (data, event) in data.into_iter().zip(events) {
            let stream = self.decision.stream(&data).and_then(StreamId::unreserved)?;
            let known = streams.iter().position(|append| append.stream == stream);
            let place = known.unwrap_or_else(|| {
                streams.push(StreamAppend { stream, expected: ExpectedVersion::Any, events: Vec::new() });
                streams.len() - 1
            });
            streams[place].events.push(data);
            placed.push((place, event));
        }
        placed.sort_by_key(|(place, _)| *place);
        Ok((streams, placed.into_iter().map(|(_, event)| event).collect()))
    }

    fn name(&self) -> Result<Option<Idempotency>, DispatchError<D::Error>> {
        match (&self.request.key, &self.content) {
            (Some(key), Some(Ok(content))) => Ok(Some(Idempotency::new(key.clone(), content))),
            (Some(_), Some(Err(error))) => Err(DispatchError::Malformed {
                command: std::any::type_name::<D>().to_owned(),
                source: serde::ser::Error::custom(error),
            }),
            _ => Ok(None),
        }
    }

    /// The outcome of a decision that was refused.
    async fn refuse(
        &self,
        refusal: D::Error,
        idempotency: Option<&Idempotency>,
        metadata: &Metadata,
    ) -> Result<Receipt<D::Event>, DispatchError<D::Error>> {
        let Some(named) = idempotency.filter(|_| self.request.keeps_refusal) else {
            return Err(DispatchError::Rejected(refusal));
        };
        let (decision, data) = (std::any::type_name::<D>(), Refusal::describe(&refusal, D::refusal_json(&refusal)));
        match self.engine.keep_refusal(decision, named, data, metadata).await? {
            Some(first) => self.engine.first_outcome(named, first).await,
            None => Err(DispatchError::Rejected(refusal)),
        }
    }

    /// Folds the events of the boundary into the decision's state. Also returns the position of the last one.
    async fn fold(&self, boundary: &Query) -> Result<(D::State, Position), LoadError> {
        let span = load_span(name_of::<D>(), None);
        let recorded = (!span.is_disabled()).then(|| span.clone());
        let reads = &self.engine.metrics.store;
        let started = reads.read();
        let folded = self.read(boundary).instrument(span).await;
        match &folded {
            Ok((.., replayed)) => {
                reads.read_end(ReadKind::All, started, *replayed);
                if let Some(span) = recorded {
                    span.record("recount.source", LoadSource::Stream.name());
                    span.record("recount.replayed", replayed);
                }
            }
            Err(error) => record_failed_load(recorded, error),
        }
        folded.map(|(state, after, _)| (state, after))
    }

    /// The state, the position of its last event, and the number of events.
    async fn read(&self, boundary: &Query) -> Result<(D::State, Position, u64), LoadError> {
        let mut replayed = 0;
        let mut state = D::State::default();
        let mut after = Position::START;
        let mut events = self.engine.store.read_all(ReadAll::new(boundary.clone()));
        while let Some(recorded) = events.next().await {
            let recorded = recorded?;
            let event = D::Event::from_recorded(&recorded).map_err(|source| LoadError::Decode {
                stream: recorded.stream.clone(),
                version: recorded.version,
                source,
            })?;
            self.decision.apply(&mut state, &event);
            after = recorded.position;
            replayed += 1;
        }
        Ok((state, after, replayed))
    }
}

/// Collects the tokens of a decision. Omits fields that are `None`, so that an optional field can be added later.
struct Content<'a> {
    tokens: &'a mut Vec<u8>,
    /// The name of the decision's type.
    decision: &'static str,
}

/// The name of a type without its module and parameters.
fn name_of<T>() -> &'static str {
    let path = std::any::type_name::<T>();
    let path = path.split_once('<').map_or(path, |(path, _)| path);
    path.rsplit_once("::").map_or(path, |(_, name)| name)
}

impl TokenSink for Content<'_> {
    const OMITS_NONE: bool = true;

    fn token(&mut self, token: Token<'_>) {
        let named = matches!(token, Token::Struct(_) | Token::Newtype(_) | Token::UnitStruct(_));
        if self.tokens.is_empty() && !named {
            // A variant, or a decision that is written as the value within it.
            self.tokens.token(Token::Struct(self.decision));
        }
        self.tokens.token(token);
    }
}

impl<'a, D: Decision> IntoFuture for Decide<'a, D> {
    type Output = Result<Receipt<D::Event>, DispatchError<D::Error>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
