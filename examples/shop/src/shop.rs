//! The shop as a whole: its parts, wired together by the events they hear of.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use recount::memory::MemoryStore;
use recount::postgres::PostgresStore;
use recount::sqlite::{SqliteReadModel, SqliteStore};
use recount::telemetry::OpenTelemetryContext;
use recount::{Address, ConsumerKind, Consumers, Position, Progress, Recount, Status, Store};
use tempfile::TempDir;

use crate::analytics::Sales;
use crate::cdnow::Orders;
use crate::import::import;
use crate::inventory::{Shipping, StockLevels};
use crate::notification::Notifications;
use crate::payment::Payments;
use crate::progress::{Bars, Count, EVERY};
use crate::tables::{Postgres, ReadModels, Sqlite, Tables};

/// How long the parts have to finish their current work.
const PATIENCE: Duration = Duration::from_secs(60);

/// The parts that run, and the store they share.
pub struct Shop {
    pub recount: Recount,
    pub read_models: ReadModels,
    consumers: Consumers,
    /// Where the read models are when the events are in memory. Dropped last, it takes its files along.
    scratch: Option<TempDir>,
}

impl Shop {
    /// The parts that follow the events, in the order in which one waits for the other.
    pub const FOLLOWERS: [&'static str; 3] = ["payments", "shipping", "read models"];

    /// Opens the store, and starts everything that listens.
    pub async fn open(url: &str) -> Result<Self> {
        let address: Address = url.parse().context("--store")?;
        let opened = format!("can't open the store {address}");
        let (recount, read_models, scratch) = connect(address).await.context(opened)?;
        let consumers = match &read_models {
            ReadModels::Sqlite(tables) => follow(&recount, tables, &tables.0),
            ReadModels::Postgres(tables) => follow(&recount, tables, tables.read_model()),
        };
        Ok(Self { recount, read_models, consumers, scratch })
    }

    /// Imports the orders, and waits until every part of the shop has handled the resulting events.
    pub async fn take_in(&mut self, orders: &Orders, bars: &Bars) -> Result<()> {
        let Self { recount, consumers, .. } = self;
        let count = Count::default();
        let drawn = async {
            let head = recount.store().watch();
            loop {
                bars.show(&count, &positions(&consumers.progress()), *head.borrow());
                tokio::time::sleep(EVERY).await;
            }
        };
        let work = async {
            import(recount, orders, |done| count.set(done)).await?;
            bars.orders_done(&count);
            // The next part handles the events that this part causes, so the head is asked for anew.
            for (part, name) in [(0, "payments"), (1, "shipping")] {
                let head = recount.store().head().await?;
                consumers.wait_for_one(name, head).await.map_err(stopped)?;
                bars.part_done(part, head);
            }
            let head = recount.store().head().await?;
            consumers.wait_for(head).await.map_err(stopped)?;
            bars.part_done(2, head);
            Ok(())
        };
        tokio::select! {
            outcome = work => outcome,
            () = drawn => Ok(()),
        }
    }

    /// Lets the parts finish their current work, closes the store, and leaves no temporary data behind.
    pub async fn close(self) {
        if let Err(unfinished) = self.recount.shutdown(PATIENCE).await {
            eprintln!("{unfinished}");
        }
        if self.scratch.is_some() {
            self.read_models.close().await;
        }
    }
}

/// Starts everything that follows the events.
fn follow<T: Tables<ReadModel: Clone>>(recount: &Recount, tables: &T, read_model: &T::ReadModel) -> Consumers {
    recount
        .consumers()
        .reaction(Payments)
        .reaction(Shipping)
        .projection(Sales(tables.clone()), read_model.clone())
        .projection(StockLevels(tables.clone()), read_model.clone())
        .projection(Notifications(tables.clone()), read_model.clone())
        .start()
}

/// How far payments, shipping and the read models are.
fn positions(progress: &[Progress]) -> [Position; 3] {
    let of = |name: &str| progress.iter().find(|it| &*it.name == name).map_or(Position::START, |it| it.position);
    let read = progress.iter().filter(|it| it.kind == ConsumerKind::Projection).map(|it| it.position).min();
    [of("payments"), of("shipping"), read.unwrap_or_default()]
}

/// A part that has stopped, as an error.
fn stopped(progress: Progress) -> anyhow::Error {
    let Progress { kind, name, position, status, .. } = progress;
    match status {
        Status::Stopped { error } => anyhow!("{kind} {name} stopped at {position}: {error}"),
        status => anyhow!("{kind} {name} is at {position}: {status:?}"),
    }
}

async fn connect(address: Address) -> Result<(Recount, ReadModels, Option<TempDir>)> {
    match address {
        Address::Sqlite { path, create } => {
            let store = SqliteStore::builder(path).create(create).open().await?;
            let read_model = store.read_model();
            Ok((traced(store), ReadModels::Sqlite(Sqlite(read_model)), None))
        }
        Address::Memory => {
            // The read models want SQL; like the events they are gone afterwards.
            let (read_model, scratch) = scratch().await?;
            Ok((traced(MemoryStore::new()), ReadModels::Sqlite(Sqlite(read_model)), Some(scratch)))
        }
        Address::Postgres { url } => {
            let store = PostgresStore::open(&url).await?;
            let tables = Postgres::open(store.read_model(), &url).await?;
            Ok((traced(store), ReadModels::Postgres(tables), None))
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
