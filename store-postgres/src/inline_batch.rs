//! A batch of appends in a transaction with its inline projections.

use std::error::Error;
use std::sync::Arc;

use recount_core::{Append, AppendError, Appended, EventId, Position, StoreError};

use crate::database::Line;
use crate::error::Class;
use crate::inline::{BATCH, OPERATION, Projections};
use crate::inline_transaction::lost;
use crate::patience;
use crate::request::Work;
use crate::writer::{Failed, Writer};

type Outcomes = Vec<Result<Appended, AppendError>>;

impl Writer {
    /// Writes the batch in a transaction in which the inline projections take it in. If they are far behind, they catch
    /// up first, in transactions of their own.
    pub(crate) async fn project(
        &self,
        projections: &Projections,
        line: &mut Option<Line>,
        batch: &[Work],
    ) -> Result<Outcomes, Failed> {
        let events: usize = batch.iter().map(|work| work.append.event_count()).sum();
        let mut limit = Some(BATCH + events as u64);
        loop {
            projections.begin(line).await?;
            let outcomes = match self.call(line, batch).await {
                Ok(outcomes) => outcomes,
                Err(failed) => return Err(projections.undo(line, failed).await),
            };
            let Some(last) = last_written(batch, &outcomes) else {
                return projections.commit(line).await.map(|()| outcomes);
            };
            let advanced = match line {
                Some(line) => projections.advance(&mut line.connection, limit).await,
                None => Err(lost()),
            };
            match advanced {
                Ok(advanced) if advanced.caught_up => return projections.commit(line).await.map(|()| outcomes),
                Ok(_) => {
                    let undone = projections.roll_back(line).await;
                    undone.map_err(|error| Failed::Call(error.unwrap_or_else(patience::silence).into()))?;
                    projections.catch_up().await?;
                    limit = None;
                }
                Err(failed) => {
                    let failed = projections.undo(line, failed).await;
                    return self.unless_recorded(projections, failed, outcomes, last).await;
                }
            }
        }
    }

    /// The failure of the batch. If a handler has committed it before, the failure of each append that is recorded.
    async fn unless_recorded(
        &self,
        projections: &Projections,
        failed: Failed,
        outcomes: Outcomes,
        last: (EventId, Position),
    ) -> Result<Outcomes, Failed> {
        let answer = match &failed {
            Failed::Answer(error) => Some(error),
            // After a lost connection the caller looks for the batch in any case.
            Failed::Call(cause) if cause.class() == Class::Lost => return Err(failed),
            Failed::Call(_) => None,
        };
        let Some(reason) = projections.committed(answer, last).await else { return Err(failed) };
        self.wake.appended(Some(last.1));
        let reason: Arc<dyn Error + Send + Sync> = Arc::from(reason);
        let unknown = || StoreError::OutcomeUnknown { operation: OPERATION, source: Box::new(Arc::clone(&reason)) };
        let outcome = |outcome| match outcome {
            Ok(Appended { repeated: false, .. }) => Err(unknown().into()),
            outcome => outcome,
        };
        Ok(outcomes.into_iter().map(outcome).collect())
    }
}

/// The last event of the last append that was written.
fn last_written(batch: &[Work], outcomes: &Outcomes) -> Option<(EventId, Position)> {
    let written = batch.iter().zip(outcomes).rev().filter_map(|(work, outcome)| match outcome {
        Ok(appended) if !appended.repeated => last_event(&work.append, appended),
        _ => None,
    });
    written.into_iter().next()
}

/// The last event of an append, and its position.
pub(crate) fn last_event(append: &Append, appended: &Appended) -> Option<(EventId, Position)> {
    let last = append.streams.iter().flat_map(|part| &part.events).last()?;
    Some((last.id, appended.position))
}
