//! The start of a projection: set-up, and the comparison of its filter with the one that it was built with.

use super::Projection;
use super::transaction::Model;
use crate::run::consumer::{FilterChanged, Verdict, verdict};
use crate::{BoxError, Checkpoint, Filter, FilterChange, ReadModel};

impl<P: Projection> Model<P> {
    /// Sets the read model up, and compares the filter that its checkpoint was made with.
    pub(super) async fn set_up(&self, filter: &Filter, on_change: FilterChange) -> Result<Checkpoint, BoxError> {
        let Self { projection, read_model, .. } = self;
        let name = &*self.frame.name;
        let (mut transaction, stored) = read_model.begin(name).await?;
        let verdict = verdict(stored.filter, stored.position, filter.id(), on_change);
        let mut checkpoint = Checkpoint { filter: Some(filter.id()), ..stored };
        match verdict {
            Verdict::Same | Verdict::Adopt => {}
            Verdict::Refuse => {
                let before = read_model.filter(&mut transaction, name).await?.unwrap_or_else(Filter::everything);
                return Err(FilterChanged::new(self.frame.title(), stored.position, &before, filter).into());
            }
            Verdict::StartOver => {
                let connection = P::ReadModel::connection(&mut transaction);
                self.bounded(projection.reset(connection)).await?;
                checkpoint = Checkpoint { filter: checkpoint.filter, ..Checkpoint::START };
            }
        }
        let connection = P::ReadModel::connection(&mut transaction);
        self.bounded(projection.setup(connection)).await?;
        if !matches!(verdict, Verdict::Same) {
            read_model.remember_filter(&mut transaction, name, filter).await?;
        }
        read_model.commit(transaction, name, stored, checkpoint).await?;
        if matches!(verdict, Verdict::StartOver) {
            self.frame.reporter.start_over();
        }
        Ok(checkpoint)
    }
}
