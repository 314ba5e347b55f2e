//! Inline projections: handlers that a store runs inside the transactions of its appends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::consumer::{FilterChanged, Verdict, bounded, verdict};
use crate::store::transient::permanent;
use crate::{
    BoxError, Checkpoint, Event, Filter, FilterChange, FilterId, Metadata, NameCollision, Position, Projection, Query,
    ReadModel, RecordedEvent, StoreError, StoredNames,
};

/// A projection with its types erased.
#[async_trait]
trait Erased<C>: Send + Sync {
    async fn setup(&self, connection: &mut C) -> Result<(), BoxError>;
    async fn reset(&self, connection: &mut C) -> Result<(), BoxError>;
    async fn on(&self, recorded: &RecordedEvent, connection: &mut C) -> Result<(), BoxError>;
}

#[async_trait]
impl<P: Projection> Erased<<P::ReadModel as ReadModel>::Connection> for P {
    async fn setup(&self, connection: &mut <P::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        Projection::setup(self, connection).await
    }

    async fn reset(&self, connection: &mut <P::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        Projection::reset(self, connection).await
    }

    async fn on(
        &self,
        recorded: &RecordedEvent,
        connection: &mut <P::ReadModel as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        let event = P::Event::from_recorded(recorded)?;
        let handler = Projection::on(self, &event, recorded, connection);
        Metadata::caused_by(recorded).scope(handler).await
    }
}

/// A projection that a store runs inside the transactions of its appends. The store itself does the work around the
/// handlers, such as reading and moving the checkpoint.
pub struct Inline<M: ReadModel> {
    projection: Box<dyn Erased<M::Connection>>,
    name: Arc<str>,
    query: Query,
    filter: Filter,
    on_change: FilterChange,
}

impl<M: ReadModel> Inline<M> {
    /// The projection's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The events that it takes.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The filter of the query, which the checkpoint records.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// An error of this projection, which refuses the append.
    #[must_use]
    pub fn failed(&self, source: BoxError) -> StoreError {
        StoreError::Projection { projection: self.name.to_string(), source }
    }

    /// Sets the read model up, in a transaction that also stores the checkpoint that is returned and the filter. `before`
    /// is the filter that was stored with the checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Projection`] if the projection selects other events than its checkpoint was made of, unless
    /// [`FilterChange`] says how to go on, or if the set-up fails or takes longer than the limit.
    pub async fn set_up(
        &self,
        stored: Checkpoint,
        before: Option<Filter>,
        connection: &mut M::Connection,
        limit: Duration,
    ) -> Result<Checkpoint, StoreError> {
        let mut checkpoint = stored;
        // An order to rebuild, which inline projections don't follow, stands in the place of the filter.
        let ordered = stored.filter == Some(FilterId::REBUILD);
        let built_with = if ordered { before.as_ref().map(Filter::id) } else { stored.filter };
        match verdict(built_with, stored.position, self.filter.id(), Some(self.on_change)) {
            Verdict::Same | Verdict::Adopt => {}
            Verdict::Refuse => return Err(self.changed(&stored, before)),
            Verdict::StartOver => {
                let reset = bounded(limit, self.projection.reset(&mut *connection)).await;
                reset.map_err(|error| self.failed(error))?;
                checkpoint = Checkpoint::START;
            }
        }
        checkpoint.filter = Some(self.filter.id());
        let setup = bounded(limit, self.projection.setup(connection)).await;
        setup.map(|()| checkpoint).map_err(|error| self.failed(error))
    }

    /// Whether the stored checkpoint was made of other events, by a program that has run since this one started. This
    /// program must not move it.
    #[must_use]
    pub fn is_changed(&self, stored: &Checkpoint) -> bool {
        stored.filter.is_some_and(|filter| filter != self.filter.id() && filter != FilterId::REBUILD)
    }

    /// The error for a checkpoint that [was made of other events](Self::is_changed).
    #[must_use]
    pub fn changed(&self, stored: &Checkpoint, before: Option<Filter>) -> StoreError {
        let (title, before) = (format!("inline projection {}", self.name), before.unwrap_or_else(Filter::everything));
        self.failed(FilterChanged::new(title, stored.position, &before, &self.filter).into())
    }

    /// Takes one event in. A panic and a handler that takes longer than the limit are failures like any other.
    ///
    /// # Errors
    /// The handler's error, or that of decoding the event.
    pub async fn on(
        &self,
        recorded: &RecordedEvent,
        connection: &mut M::Connection,
        limit: Duration,
    ) -> Result<(), BoxError> {
        bounded(limit, self.projection.on(recorded, connection)).await
    }
}

/// A handler or the set-up of an inline projection ended the transaction that it ran in.
#[derive(Debug, thiserror::Error)]
#[error(
    "a handler of inline projection {projection} ended the transaction by a COMMIT or ROLLBACK of its own, so what it \
     wrote may be kept without its checkpoint: remove that statement"
)]
pub struct EndedTransaction {
    projection: String,
}

permanent!(EndedTransaction);

impl EndedTransaction {
    /// For the projection of this name; a store that does not know which of several it was names them all.
    #[must_use]
    pub fn by(projection: impl Into<String>) -> Self {
        Self { projection: projection.into() }
    }

    /// The error of an append of which nothing is recorded.
    #[must_use]
    pub fn unrecorded(self) -> StoreError {
        StoreError::Projection { projection: self.projection.clone(), source: self.into() }
    }

    /// The source of a [`StoreError::OutcomeUnknown`] for an append that is recorded up to this position all the same.
    #[must_use]
    pub fn recorded(self, position: Position) -> BoxError {
        let reason = format!(
            "a handler of inline projection {} ended the transaction by a COMMIT of its own: the append is recorded up \
             to position {position}, and the next append has the projection handle its events again; remove the COMMIT",
            self.projection
        );
        reason.into()
    }

    /// The error where the transaction had no append: `error`, unless it is that of an [unrecorded](Self::unrecorded)
    /// append.
    #[must_use]
    pub fn without_append(operation: &'static str, error: StoreError) -> StoreError {
        match error {
            StoreError::Projection { source, .. } if source.is::<Self>() => StoreError::Backend { operation, source },
            error => error,
        }
    }
}

/// The inline projections of a store, in the order in which they were added.
pub struct Inlines<M: ReadModel> {
    entries: Vec<Inline<M>>,
    names: StoredNames,
    refused: Option<StoreError>,
}

impl<M: ReadModel> Default for Inlines<M> {
    fn default() -> Self {
        Self { entries: Vec::new(), names: StoredNames::default(), refused: None }
    }
}

impl<M: ReadModel> fmt::Debug for Inlines<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Inline::name)).finish()
    }
}

/// Two inline projections of a store have one name.
#[derive(Debug, thiserror::Error)]
#[error(
    "there are two inline projections of this name, which would share one checkpoint: give one of them another name"
)]
struct NameTwice;

impl<M: ReadModel> Inlines<M> {
    /// Adds a projection.
    pub fn add<P: Projection<ReadModel = M>>(&mut self, projection: P) {
        let name: Arc<str> = projection.name().into();
        let claimed: Result<(), NameCollision> = self.names.claim_events::<P::Event>();
        let twice = self.iter().any(|other| *other.name == *name);
        let query = P::Event::query();
        let filter = Filter::of(&query);
        let (projection, on_change) = (Box::new(projection), FilterChange::Refuse);
        let added = Inline { projection, name, query, filter, on_change };
        let problem = claimed.err().map(BoxError::from).or_else(|| twice.then(|| NameTwice.into()));
        self.refused = self.refused.take().or_else(|| problem.map(|problem| added.failed(problem)));
        self.entries.push(added);
    }

    /// How the projection that was added last goes on if it selects other events than its checkpoint was made of.
    pub fn on_filter_change(&mut self, choice: FilterChange) {
        if let Some(last) = self.entries.last_mut() {
            last.on_change = choice;
        }
    }

    /// Fails if two projections have the same name, or if two types of events share a stored name.
    ///
    /// # Errors
    /// [`StoreError::Projection`] of the first such projection.
    pub fn check(&mut self) -> Result<(), StoreError> {
        self.refused.take().map_or(Ok(()), Err)
    }

    /// The stored names of the events that the projections decode.
    #[must_use]
    pub fn names(&self) -> &StoredNames {
        &self.names
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The projections.
    pub fn iter(&self) -> std::slice::Iter<'_, Inline<M>> {
        self.entries.iter()
    }
}

impl<'i, M: ReadModel> IntoIterator for &'i Inlines<M> {
    type Item = &'i Inline<M>;
    type IntoIter = std::slice::Iter<'i, Inline<M>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
