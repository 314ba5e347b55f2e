//! The shop as a whole: its parts, wired together by the events they hear of.

use anyhow::{Context, Result, bail};
use recount::memory::MemoryStore;
use recount::postgres::PostgresStore;
use recount::sqlite::{SqliteReadModel, SqliteStore};
use recount::telemetry::OpenTelemetryContext;
use recount::{Address, Projections, Recount, Store};
use tempfile::TempDir;

use crate::analytics::Sales;
use crate::cdnow::Orders;
use crate::import::import;
use crate::inventory::{self, StockLevels};
use crate::notification::Notifications;
use crate::payment;
use crate::progress::{Bars, Count, EVERY};
use crate::reaction::Reaction;

/// The parts that run, and the store they share.
pub struct Shop {
    pub recount: Recount,
    pub read_model: SqliteReadModel,
    projections: Projections,
    payments: Reaction,
    shipping: Reaction,
    /// Where the read model is when the events are not in a file. Dropped last, it takes its files along.
    scratch: Option<TempDir>,
}

impl Shop {
    /// The parts that follow the events, in the order in which one waits for the other.
    pub const FOLLOWERS: [&'static str; 3] = ["payments", "shipping", "read models"];

    /// Opens the store, and starts everything that listens.
    pub async fn open(url: &str) -> Result<Self> {
        let address: Address = url.parse().context("--store")?;
        let opened = format!("can't open the store {address}");
        let (recount, read_model, scratch) = connect(address).await.context(opened)?;
        let projections = recount
            .projections()
            .add(Sales, read_model.clone())
            .add(StockLevels, read_model.clone())
            .add(Notifications, read_model.clone())
            .start();
        Ok(Self {
            payments: Reaction::start(recount.clone(), "payments", payment::heard),
            shipping: Reaction::start(recount.clone(), "shipping", inventory::heard),
            recount,
            read_model,
            projections,
            scratch,
        })
    }

    /// Brings in the orders, and waits until every part of the shop has done what follows from them.
    pub async fn take_in(&mut self, orders: &Orders, bars: &Bars) -> Result<()> {
        let Self { recount, payments, shipping, projections, .. } = self;
        let count = Count::default();
        let (paid, shipped) = (payments.progress(), shipping.progress());
        let drawn = async {
            let head = recount.store().watch();
            loop {
                let read = projections.progress().iter().map(|progress| progress.position).min().unwrap_or_default();
                bars.show(&count, &[*paid.borrow(), *shipped.borrow(), read], *head.borrow());
                tokio::time::sleep(EVERY).await;
            }
        };
        let work = async {
            import(recount, orders, |done| count.set(done)).await?;
            bars.orders_done(&count);
            // What one part does is what the next one waits for, so the head is asked for anew.
            let head = recount.store().head().await?;
            payments.wait_for(head).await?;
            bars.part_done(0, head);
            let head = recount.store().head().await?;
            shipping.wait_for(head).await?;
            bars.part_done(1, head);
            let head = recount.store().head().await?;
            if let Err(stopped) = projections.wait_for(head).await {
                bail!("projection {} is at {}: {:?}", stopped.projection, stopped.position, stopped.status);
            }
            bars.part_done(2, head);
            Ok(())
        };
        tokio::select! {
            outcome = work => outcome,
            () = drawn => Ok(()),
        }
    }

    /// Lets the parts finish what they are doing, closes the store, and leaves nothing behind that isn't to stay.
    pub async fn close(self) {
        drop((self.payments, self.shipping));
        self.projections.shutdown().await;
        self.recount.close().await;
        if self.scratch.is_some() {
            self.read_model.pool().close().await;
        }
    }
}

async fn connect(address: Address) -> Result<(Recount, SqliteReadModel, Option<TempDir>)> {
    match address {
        Address::Sqlite { path, create } => {
            let store = SqliteStore::builder(path).create(create).open().await?;
            let read_model = store.read_model();
            Ok((traced(store), read_model, None))
        }
        Address::Memory => {
            // The read models want SQL; like the events they are gone afterwards.
            let (read_model, scratch) = scratch().await?;
            Ok((traced(MemoryStore::new()), read_model, Some(scratch)))
        }
        Address::Postgres { url } => {
            let store = PostgresStore::open(&url).await?;
            // Made anew from the events each time: that takes seconds, and the same SQL serves all stores.
            let (read_model, scratch) = scratch().await?;
            Ok((traced(store), read_model, Some(scratch)))
        }
        other => bail!("the shop has no use for {other}"),
    }
}

/// The handle; its events carry the trace that they belong to if traces are exported.
fn traced(store: impl Store) -> Recount {
    Recount::builder(store).trace_context(OpenTelemetryContext).build()
}

/// A read model that goes with the program.
async fn scratch() -> Result<(SqliteReadModel, TempDir)> {
    let scratch = tempfile::Builder::new().prefix("shop-").tempdir()?;
    let read_model = SqliteReadModel::open(scratch.path().join("read-model.db")).await?;
    Ok((read_model, scratch))
}
