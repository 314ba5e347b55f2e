//! The start of a projection: set-up, the comparison of its filter with the one that it was built with, and starting over.

use super::Projection;
use super::transaction::Model;
use crate::run::consumer::{FilterChanged, Verdict, verdict};
use crate::run::rebuild::NoReset;
use crate::{BoxError, Checkpoint, Filter, FilterChange, FilterId, Position, ReadModel};

impl<P: Projection> Model<P> {
    /// Sets the read model up, and compares the filter that its checkpoint was made with. `on_change` is `None` once it was
    /// set up.
    pub(super) async fn set_up(
        &self,
        filter: &Filter,
        on_change: Option<FilterChange>,
    ) -> Result<Checkpoint, BoxError> {
        let read_model = &self.read_model;
        let name = &*self.frame.name;
        let (mut transaction, stored) = read_model.begin(name).await?;
        let ordered = stored.filter == Some(FilterId::REBUILD);
        let before = if ordered { read_model.filter(&mut transaction, name).await? } else { None };
        let built_with = if ordered { before.map(|before| before.id()) } else { stored.filter };
        let verdict = verdict(built_with, stored.position, filter.id(), on_change);
        if matches!(verdict, Verdict::Refuse) {
            let before = read_model.filter(&mut transaction, name).await?.unwrap_or_else(Filter::everything);
            return Err(FilterChanged::new(self.frame.title(), stored.position, &before, filter).into());
        }
        let connection = P::ReadModel::connection(&mut transaction);
        let mut checkpoint = Checkpoint { filter: Some(filter.id()), ..stored };
        let over = if matches!(verdict, Verdict::StartOver) {
            self.bounded(self.projection.reset(connection)).await?;
            true
        } else if ordered {
            self.start_over_if_it_can(connection).await?
        } else {
            false
        };
        if over {
            checkpoint = Checkpoint { filter: checkpoint.filter, ..Checkpoint::START };
        }
        self.bounded(self.projection.setup(connection)).await?;
        if ordered || !matches!(verdict, Verdict::Same) {
            read_model.remember_filter(&mut transaction, name, filter).await?;
        }
        read_model.commit(transaction, name, stored, checkpoint).await?;
        if over {
            self.started_over(stored.position);
        }
        Ok(checkpoint)
    }

    /// Follows an order to start over. Returns whether it did: a projection without `reset` goes on as it is.
    async fn start_over_if_it_can(
        &self,
        connection: &mut <P::ReadModel as ReadModel>::Connection,
    ) -> Result<bool, BoxError> {
        match self.bounded(self.projection.reset(connection)).await {
            Err(error) if error.is::<NoReset>() => {
                tracing::error!(projection = &*self.frame.name, %error, "a rebuild was ordered and is refused");
                Ok(false)
            }
            outcome => outcome.map(|()| true),
        }
    }

    fn started_over(&self, from: Position) {
        tracing::info!(projection = &*self.frame.name, %from, "the projection starts over");
        self.frame.reporter.start_over(from);
    }
}
