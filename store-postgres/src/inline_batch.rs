//! A batch of appends in a transaction with its inline projections.

use recount_core::{AppendError, Appended, StoreError};

use crate::database::Line;
use crate::inline::{BATCH, Projections};
use crate::request::Work;
use crate::writer::{Failed, Writer};

impl Writer {
    /// Writes the batch in a transaction in which the inline projections take it in. If they are far behind, they catch
    /// up first, in transactions of their own.
    pub(crate) async fn project(
        &self,
        projections: &Projections,
        line: &mut Option<Line>,
        batch: &[Work],
    ) -> Result<Vec<Result<Appended, AppendError>>, Failed> {
        let events: usize = batch.iter().map(|work| work.append.event_count()).sum();
        let mut limit = Some(BATCH + events as u64);
        loop {
            projections.begin(line).await?;
            match self.call_and_advance(projections, line, batch, limit).await {
                Ok((outcomes, true)) => return projections.commit(line).await.map(|()| outcomes),
                Ok((_, false)) => {
                    let behind = Failed::Answer(StoreError::Closed);
                    if let Failed::Call(cause) = projections.undo(line, behind).await {
                        return Err(Failed::Call(cause));
                    }
                    projections.catch_up().await?;
                    limit = None;
                }
                Err(failed) => return Err(projections.undo(line, failed).await),
            }
        }
    }

    /// The outcomes, and whether the projections have caught up.
    async fn call_and_advance(
        &self,
        projections: &Projections,
        line: &mut Option<Line>,
        batch: &[Work],
        limit: Option<u64>,
    ) -> Result<(Vec<Result<Appended, AppendError>>, bool), Failed> {
        let outcomes = self.call(line, batch).await?;
        let written = outcomes.iter().flatten().any(|appended| !appended.repeated);
        let caught_up = match line {
            Some(line) if written => projections.advance(&mut line.connection, limit).await?.caught_up,
            _ => true,
        };
        Ok((outcomes, caught_up))
    }
}
