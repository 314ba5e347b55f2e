//! The manifests of the services: the messages that each sends and receives.

use std::sync::Arc;

use anyhow::Result;
use recount::Recount;
use recount::memory::MemoryStore;
use recount::messaging::{Broker, InProcess, Manifest, Service};

use super::parts::{Fulfilling, assemble, register};
use super::topology::{Names, Part};
use crate::tables::Tables;

/// The manifests of all services of a shop, which are set up, but not started.
pub fn manifests<T: Tables<ReadModel: Clone>>(
    shop: &str,
    tables: &T,
    read_model: &T::ReadModel,
) -> Result<Vec<Manifest>> {
    let names = Names::new(shop)?;
    let broker: Arc<dyn Broker> = Arc::new(InProcess::new());
    let manifest = |part: Part| {
        let recount = register(part, Recount::builder(MemoryStore::new())).build();
        let service = Service::new(recount, Arc::clone(&broker), &names.service(part))?;
        let (service, _) = assemble(part, service, &names, Fulfilling::ByEvents, (tables, read_model))?;
        Ok(service.manifest().clone())
    };
    Part::ALL.into_iter().map(manifest).collect()
}
