//! One running service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use recount::messaging::{Broker, Service, ServiceGateway};
use recount::{Address, Consumers, Recount, Status};
use tempfile::TempDir;

use super::broker::declare;
use super::entry::{Desk, Entry};
use super::parts::{Fulfilling, assemble, register};
use super::topology::{Names, Part};
use crate::shop::connect;
use crate::tables::ReadModels;

/// How long a service has to finish its current work.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often its consumers are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A service that runs in this process.
pub struct Member {
    part: Part,
    recount: Recount,
    consumers: Consumers,
    entry: Option<Entry>,
    _scratch: Option<TempDir>,
}

/// The settings of one service.
pub struct Start<'a> {
    pub part: Part,
    pub names: &'a Names,
    /// The address of its store.
    pub store: &'a str,
    pub fulfilling: Fulfilling,
}

impl Member {
    /// Opens the store, declares the topics and groups at the broker, and starts everything.
    pub async fn start(start: Start<'_>, broker: Arc<dyn Broker>) -> Result<Self> {
        let Start { part, names, store, fulfilling } = start;
        let address: Address = store.parse().context("--store")?;
        let opened = format!("can't open the store {address}");
        let connected = connect(address, |builder| register(part, builder)).await.context(opened)?;
        let (recount, read_models, scratch) = connected;
        declare(&*broker, &names.plan()?).await?;
        let service = Service::new(recount.clone(), broker, &names.service(part))?.version(env!("CARGO_PKG_VERSION"));
        let (service, gateway) = with_parts(part, service, names, fulfilling, &read_models)?;
        let consumers = service.start();
        let entry = match part {
            Part::Order => {
                let fulfilling = gateway.filter(|_| fulfilling == Fulfilling::ByRequests);
                Some(Entry::open(Desk { recount: recount.clone(), fulfilling }).await?)
            }
            _ => None,
        };
        Ok(Self { part, recount, consumers, entry, _scratch: scratch })
    }

    pub fn part(&self) -> Part {
        self.part
    }

    pub fn recount(&self) -> &Recount {
        &self.recount
    }

    /// The address at which it takes orders, if it is the service that does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.entry.as_ref().map(Entry::address)
    }

    /// Waits until one of its consumers stops, which is an error.
    pub async fn failed(&self) -> anyhow::Error {
        loop {
            for progress in self.consumers.progress() {
                if let Status::Stopped { error } = &progress.status {
                    let name = &progress.name;
                    return anyhow!("{} {name} of service {} stopped: {error}", progress.kind, self.part);
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes no more orders, lets the consumers finish, and closes the store.
    pub async fn stop(self) {
        if let Some(entry) = self.entry {
            entry.close().await;
        }
        if let Err(unfinished) = self.recount.shutdown(PATIENCE).await {
            eprintln!("service {}: {unfinished}", self.part);
        }
    }
}

/// The service with its publications, its subscriptions and its consumers.
fn with_parts(
    part: Part,
    service: Service,
    names: &Names,
    fulfilling: Fulfilling,
    read_models: &ReadModels,
) -> Result<(Service, Option<ServiceGateway>)> {
    match read_models {
        ReadModels::Sqlite(tables) => assemble(part, service, names, fulfilling, (tables, &tables.0)),
        ReadModels::Postgres(tables) => assemble(part, service, names, fulfilling, (tables, tables.read_model())),
    }
}

#[cfg(test)]
mod tests {
    use recount::messaging::{Directory, InProcess};

    use super::*;

    #[tokio::test]
    async fn the_six_services_fit_together() {
        let names = Names::new("shop").unwrap();
        let mut manifests = Vec::new();
        for part in Part::ALL {
            let connected = connect("memory://".parse().unwrap(), |builder| register(part, builder)).await;
            let (recount, read_models, _scratch) = connected.unwrap();
            let service = Service::new(recount, Arc::new(InProcess::new()), &names.service(part)).unwrap();
            let (service, _) = with_parts(part, service, &names, Fulfilling::ByEvents, &read_models).unwrap();
            manifests.push(service.manifest().clone());
        }
        let directory = Directory::of(manifests);
        assert_eq!(directory.instances.len(), 6);
        let warnings: Vec<_> = directory.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(
            directory.explain("payment.captured").map(|it| it.published[0].service.clone()).as_deref(),
            Some("shop-payment")
        );
        assert!(!directory.explain("warehouse.reserve_stock").is_none_or(|it| it.sent.is_empty()));
    }
}
