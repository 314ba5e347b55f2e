//! How the suite opens a store with inline projections.

use std::sync::Arc;

use recount_core::{BoxError, FilterChange, Projection, ReadModel, Store, StoreError};

use crate::read_model;

/// A store under test, empty at first, with its read model in its own database. Its
/// [`store`](read_model::Harness::store) opens it without inline projections.
pub trait Harness: read_model::Harness {
    /// Opens the store with these inline projections, each with this choice, as another process would. Handlers have a
    /// second.
    fn open_inline<P: Projection<ReadModel = Self::Model>>(
        &self,
        projections: Vec<P>,
        choice: FilterChange,
    ) -> impl Future<Output = Result<Arc<dyn Store>, StoreError>> + Send;

    /// Runs statements of SQL as they are, as a handler may.
    fn execute(
        &self,
        connection: &mut <Self::Model as ReadModel>::Connection,
        sql: &'static str,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}
